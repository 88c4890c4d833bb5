"""Runs the contract tests on every row of versions that the package is meant for.

    python -m tests.versions                  # all rows whose Python is at hand
    python -m tests.versions 3.10-2.18        # one row
    python -m tests.versions --write          # and keeps what was found, for the README's table

Each row is a virtual environment of its own under build/versions, with the wheel in it and not the
checkout. The contract tests are those of the files in `CONTRACT`; they run on a copy of the tests
that sees no checkout.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "versions"
RESULTS = ROOT / "docs" / "versions.json"
README = ROOT / "README.md"
TABLE = re.compile(r"(<!-- versions -->\n).*?(<!-- end versions -->)", re.DOTALL)
# What the tests of a row read beside the installed package.
NEEDED = ("tests", "pyproject.toml")
# Packages whose versions are told.
TOLD = ("tensorflow", "keras", "tensorflow-probability", "numpy")


class Row(NamedTuple):
    python: str
    tensorflow: str
    keras: str

    @property
    def name(self) -> str:
        return f"{self.python}-{self.tensorflow}"

    @property
    def pins(self) -> list[str]:
        """Requirements: what is built for TensorFlow has its minor version."""
        of_tensorflow = ("tensorflow", "tf-keras", "tensorflow-serving-api")
        return [
            *(f"{package}=={self.tensorflow}.*" for package in of_tensorflow),
            f"keras=={self.keras}.*",
        ]


ROWS = (
    Row("3.10", "2.18", "3.8"),
    Row("3.10", "2.21", "3.12"),
    Row("3.11", "2.21", "3.15"),
    Row("3.12", "2.21", "3.15"),
    Row("3.13", "2.21", "3.15"),
)
# The contract: private names, draws, layers, training in each mode, saving, resuming, the stored
# models' draws and answers, exports.
CONTRACT = (
    "test_compat",
    "test_random",
    "test_tensors",
    "test_layers",
    "test_vae",
    "test_new_kinds",
    "test_blocks",
    "test_training_argument",
    "test_keras_models",
    "test_goldens",
    "test_serving",
    "test_registry",
)
MARKS = "not slow or contract"
# What runs first where there is little time.
QUICK = ("test_compat", "test_random", "test_layers", "test_goldens")


def find_python(version: str) -> str | None:
    """The interpreter of a version, on the path or among pyenv's; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (
        shutil.which(f"python{version}"),
        *sorted(pyenv.glob(f"{version}.*/bin/python")),
    ):
        if candidate is None:
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return str(candidate)
    return None


def build_wheel() -> Path:
    directory = BUILD / "wheel"
    shutil.rmtree(directory, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", directory, ROOT], check=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(row: Row, wheel: Path, interpreter: str) -> Path:
    """The Python of the row's environment; what it holds already is kept, but for the wheel."""
    environment = BUILD / row.name
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", environment], check=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    # The pip that old Pythons bring goes back over versions for minutes.
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    subprocess.run([*pip, f"{wheel}[test]", *row.pins], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", wheel], check=True)
    return python


def run(row: Row, python: Path, files: tuple[str, ...]) -> dict:
    """What the contract tests gave: versions and numbers of tests."""
    work = BUILD / row.name / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, work / name)
    log = BUILD / row.name / "log.txt"
    tests = [f"tests/{name}.py" for name in files]
    command = [python, "-m", "pytest", "-m", MARKS, "--numprocesses", "2", *tests]
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "PYTHONPATH": "",
    }
    with log.open("w") as output:
        subprocess.run(command, cwd=work, env=environment, stdout=output, stderr=output)
    last = log.read_text(encoding="utf-8").strip().splitlines()[-1]
    counts = {
        what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|error)", last)
    }
    return {
        "row": row.name,
        "python": row.python,
        **versions(python),
        "passed": counts.get("passed", 0),
        "failed": counts.get("failed", 0) + counts.get("error", 0),
        "date": datetime.date.today().isoformat(),
        "platform": platform.system(),
    }


def versions(python: Path) -> dict[str, str]:
    code = (
        f"import importlib.metadata as m, json; print(json.dumps([m.version(p) for p in {TOLD}]))"
    )
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return dict(zip(TOLD, json.loads(answer.stdout), strict=True))


def table(results: list[dict]) -> str:
    """All rows as Markdown, with those that were not run yet."""
    lines = [
        "| Python | TensorFlow | Keras | TensorFlow Probability | NumPy | contract tests | on |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = {row["row"]: row for row in results}
    for planned in ROWS:
        row = found.get(planned.name)
        if row is None:
            cells = [planned.python, planned.tensorflow, planned.keras, "", "", "not yet run", ""]
            lines.append(f"| {' | '.join(cells)} |")
            continue
        tests = f"{row['passed']} pass" + (f", {row['failed']} fail" if row["failed"] else "")
        cells = [row["python"], *(row[package] for package in TOLD), tests, row["date"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(results: list[dict]) -> None:
    """Keeps the results, beside those of rows that were not run now, and puts the README's table in
    order."""
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    found = {row["row"]: row for row in [*before, *results]}
    results = [found[row.name] for row in ROWS if row.name in found]
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda marks: marks[1] + table(results) + marks[2], text))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--quick", action="store_true", help=f"run {', '.join(QUICK)} alone")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    if len(rows) < len(arguments.rows):
        parser.error(f"rows are {', '.join(row.name for row in ROWS)}.")
    wheel, results = build_wheel(), []
    for row in rows:
        interpreter = find_python(row.python)
        if interpreter is None:
            print(f"{row.name}: no Python {row.python} is at hand; not run.")
            continue
        python = install(row, wheel, interpreter)
        results.append(run(row, python, QUICK if arguments.quick else CONTRACT))
        print(f"{row.name}: {results[-1]}. All output: {BUILD / row.name / 'log.txt'}", flush=True)
    if arguments.write:
        write(results)
    return 0 if all(row["passed"] and not row["failed"] for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
