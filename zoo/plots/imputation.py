"""Pictures of filled rows beside what was hidden."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zoo.evaluation.imputation import hidden_cells
from zoo.models.imputation import INTERVAL
from zoo.models.latent_variable import LatentVariableModel
from zoo.plots.figures import finished, subplots

NUM_INTERVALS = 80


def imputations(
    model: LatentVariableModel,
    examples: Mapping[str, Any],
    num_samples: int = 1000,
    seed: int = 0,
    path: str | Path | None = None,
) -> Figure:
    """Hidden cells: the truth against what the model puts there, and some of their intervals.

    Args:
        model: A model whose observation may have gaps.
        examples: Dict with the rows with gaps, and without under "complete".
        num_samples: Importance samples.
        seed: Of all draws, and of the choice of the cells whose intervals are shown.

    Raises:
        ValueError: If no cell is hidden whose value is known.
    """
    cells = hidden_cells(
        model, examples[model.key], examples["complete"], num_samples=num_samples, seed=seed
    )
    figure, (points, intervals) = subplots(1, 2, figsize=(9.5, 4), width_ratios=(2, 3))
    low, high = np.percentile([cells.truth, cells.imputed], [0.1, 99.9])
    points.plot([low, high], [low, high], color="0.7", linewidth=0.8, zorder=0)
    size = np.clip(100 / np.sqrt(len(cells.truth)), 2, 8)  # points, fewer of them larger
    points.plot(cells.imputed, cells.truth, ".", markersize=size, alpha=0.4, markeredgewidth=0)
    points.set_xlim(low, high)
    points.set_ylim(low, high)
    error = np.mean((cells.imputed - cells.truth) ** 2)
    points.set_title(
        f"{len(cells.truth):,} hidden cells, mean squared error {error:.3f}", fontsize=9
    )
    points.set_xlabel("imputed", fontsize=8)
    points.set_ylabel("truth", fontsize=8)

    number = min(NUM_INTERVALS, len(cells.truth))
    shown = np.random.default_rng(seed).choice(len(cells.truth), number, replace=False)
    shown = shown[np.argsort(cells.imputed[shown])]
    places, inside = np.arange(number), cells.inside[shown]
    ends = np.stack([cells.lower, cells.upper])[:, shown]
    intervals.vlines(places, *ends, color="0.8", linewidth=2)
    intervals.plot(places, cells.imputed[shown], "_", color="0.4", markersize=3)
    for color, of_kind, label in (("C0", inside, "inside"), ("C3", ~inside, "outside")):
        truth = cells.truth[shown][of_kind]
        intervals.plot(
            places[of_kind], truth, ".", color=color, markersize=4, label=f"truth, {label}"
        )
    intervals.set_title(
        f"{INTERVAL:.0%} intervals of {number} cells; of all, {cells.inside.mean():.1%} hold the "
        "truth",
        fontsize=9,
    )
    intervals.set_xlabel("cells in the order of what is imputed", fontsize=8)
    intervals.set_xticks([])
    intervals.legend(fontsize=8, frameon=False)
    for axis in (points, intervals):
        axis.tick_params(labelsize=8)
    return finished(figure, path)
