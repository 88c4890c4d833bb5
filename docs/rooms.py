"""Draws the rooms of the package and the imports between them: `python docs/rooms.py` writes
docs/rooms.png.

A room imports only rooms above it; `tests/test_house.py` keeps that. An arrow leads from a room to
one that it imports.
"""

import ast
from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PACKAGE = Path(__file__).parents[1] / "zoo"
ROOMS = {
    "observations": "what x is: image, vector, table, counts",
    "layers": "parameters to distributions; quantizers, row-keyed noise",
    "networks": "tensors to parameters",
    "inference": "passes, objectives, regularizers, bounds",
    "engine": "the compiled step behind fit, feeds, replicas, checkpoints",
    "models": "one file a family",
    "data": "name to arrays or streams",
    "evaluation": "numbers over a whole split",
    "detection": "detectors of anomalies by scikit-learn's conventions",
    "plots": "pictures",
    "runs": "running a recipe: the run directory, sweeps",
    "serving": "export, checks, servers, client",
    "store": "stored models: cards, loading, storing, verifying",
    "report": "the page",
    "cli": "what can be typed",
}
COLUMNS = 4.4  # inches of the boxes
STEP = 0.62  # inches from room to room


def arrows() -> Counter[tuple[str, str]]:
    """(room, room that it imports) -> number of imports."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.split(".")[0] == "zoo"
            ):
                for alias in node.names:
                    other = f"{node.module}.{alias.name}".split(".")[1]
                    if room in ROOMS and other in ROOMS and other != room:
                        counts[room, other] += 1
    return counts


def draw(path: Path) -> None:
    """Writes the picture."""
    figure = Figure(figsize=(7.0, STEP * len(ROOMS) + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, 6.9)
    axes.set_ylim(-STEP * len(ROOMS), 0.2)
    axes.set_axis_off()
    place = {room: -STEP * (number + 0.5) for number, room in enumerate(ROOMS)}
    for room, what in ROOMS.items():
        box = FancyBboxPatch(
            (0.1, place[room] - 0.2),
            COLUMNS,
            0.4,
            "round,pad=0.02",
            facecolor="#eef2f7",
            edgecolor="#8091a5",
        )
        axes.add_patch(box)
        axes.text(0.2, place[room], room, va="center", fontsize=9, weight="bold")
        axes.text(1.25, place[room], what, va="center", fontsize=7.5)
    for (room, other), number in arrows().items():
        far = (place[other] - place[room]) / (STEP * len(ROOMS))
        axes.add_patch(
            FancyArrowPatch(
                (COLUMNS + 0.14, place[room] + 0.05),
                (COLUMNS + 0.14, place[other] - 0.05),
                connectionstyle=f"arc3,rad={0.25 + 0.22 * far:.3f}",
                arrowstyle="-|>",
                mutation_scale=7,
                linewidth=0.4 + 0.15 * min(number, 10),
                color="#3b6ea5",
                alpha=0.7,
            )
        )
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    draw(Path(__file__).with_name("rooms.png"))
