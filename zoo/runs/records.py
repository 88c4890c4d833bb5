"""The record of a run, run.json: what it says, and how arguments and data are written so that they
hold from anywhere."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.sources import EMBEDDED
from zoo.forms import NUMBER, check_form, check_name
from zoo.recipe import Dataset, Recipe, Task
from zoo.registry import RecipeFile

RECORD = "run.json"
RECIPE = "recipe.py"  # a copy of what was run
# The name of data that a recipe holds itself, as arrays: nobody finds them by a name.
ARRAYS = "arrays of the recipe"

TASK = {
    "family": str,
    "dataset": {"name": str, "train": str, "validation": str, "test": str, "binarization": str},
    "epochs": int,
    "headline": str,
    "evaluation_samples": int,
}
FORM = {"recipe": str, "arguments": {str: object}, "status": str}
OPTIONAL = {
    "task": TASK,
    "files": {str: str},
    "registered": bool,
    "recipe_sha256": str,
    "recipe_file": (str, None),
    "epochs_in_full": int,
    "kept_epoch": int,
    "deterministic": bool,
    "git_resumed": [(str, None)],
    "numbers": {str: NUMBER},
}
FINISHED = {
    "epochs": int,
    "seconds": NUMBER,
    "numbers": {str: NUMBER},
    "seed": int,
    "mode": str,
    "precision": str,
    "machine": str,
    "versions": {str: str},
    "git": (str, None),
}


def read_record(path: Path) -> dict[str, Any]:
    """The content of a run directory's run.json.

    Raises:
        ValueError: If there is none, or it is no record.
    """
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        check_form(record, FORM)
        check_name(record["recipe"], "recipe")
        for name, form in OPTIONAL.items():
            if name in record:
                check_form(record[name], form, name)
        if "task" in record:
            task_of(record)
        if record["status"] == "finished":
            check_form(record, FINISHED)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{str(path)!r} is not a run directory: it holds no run.json. `zoo train` makes one."
        ) from None
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(
            f"The record {str(path / RECORD)!r} is damaged: {reason}. "
            "Train again into another directory."
        ) from None
    return record


def epochs_in_full(file: RecipeFile, arguments: Mapping[str, Any]) -> int:
    """What a recipe takes by default, with the other arguments: training may have been shorter,
    which a card tells."""
    return file.build({name: value for name, value in arguments.items() if name != "epochs"}).epochs


def task_of(record: dict[str, Any]) -> Task:
    """What a record tells of its model's task, which has to be there."""
    task: dict[str, Any] = record["task"]
    dataset = Dataset.of_record(task["dataset"])
    task = {field.name: task[field.name] for field in dataclasses.fields(Task)}
    task["dataset"] = dataset
    return Task(**task)


def as_json(value: Any) -> Any:
    """What JSON holds of a value that it does not know. Paths are made absolute: a run is opened
    from anywhere."""
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"JSON holds no {type(value).__name__}")


def plain(bound: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """Arguments as JSON gives them back.

    Raises:
        ValueError: If JSON cannot hold one of them.
    """
    written = {}
    for name, value in bound.items():
        try:
            written[name] = json.loads(json.dumps(value, default=as_json))
        except (TypeError, ValueError):
            raise ValueError(
                "Arguments of a recipe are kept in the record of its run: numbers, text, paths, "
                "None, and tuples, lists and dicts of these. Received for recipe "
                f"{recipe!r}: {name}={value!r}."
            ) from None
    return written


# -- Data by names that hold from anywhere


def lasting(task: Task) -> Task:
    """A task whose data are found from any working directory."""
    return dataclasses.replace(
        task, dataset=dataclasses.replace(task.dataset, name=_lasting_name(task.dataset.name))
    )


def _lasting_name(name):
    if not isinstance(name, str | Path):
        return ARRAYS
    path = Path(name)
    is_file = path.is_dir() or (path.suffix != "" and path.exists())
    return str(path.absolute()) if is_file and name not in EMBEDDED else str(name)


def of_record(spec: Recipe, record: dict[str, Any]) -> Recipe:
    """A recipe that reads the data which the run was begun with, whatever the working directory is
    now."""
    name = record.get("task", {}).get("dataset", {}).get("name", ARRAYS)
    if name == ARRAYS:
        return spec
    return dataclasses.replace(spec, dataset=dataclasses.replace(spec.dataset, name=name))


def is_run(path: str | Path) -> bool:
    """Whether a directory holds a record of a run."""
    return (Path(path) / RECORD).is_file()
