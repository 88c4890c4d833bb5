"""From what was typed to a run directory and the recipe that it goes on with."""

import logging
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.runs.records import RECIPE, is_run

logger = logging.getLogger("zoo")


def directory_of(recipe: str | Path, out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    if names_a_run(recipe):
        return Path(recipe)
    name = Path(recipe).stem if str(recipe).endswith(".py") else registry.find(recipe).name
    return Path("runs") / name


def names_a_run(recipe: str | Path) -> bool:
    """Whether a run directory stands where a recipe does; a recipe of this name comes first."""
    return is_run(recipe) and _find(recipe) is None


def was_killed_at_its_start(path: Path) -> bool:
    """Whether a run directory was made, and its process killed before there was a record."""
    return path.is_dir() and all(file.name.startswith(".run.json.") for file in path.iterdir())


def recipe_to_go_on_with(
    path: Path, record: dict[str, Any], recipe: str | Path
) -> registry.RecipeFile:
    """The recipe file that a run was begun with: the one that was named if it is still the same, or
    else the run's copy."""
    is_directory = names_a_run(recipe)
    name = Path(recipe).stem if str(recipe).endswith(".py") else str(recipe)
    if not is_directory and name != record["recipe"]:
        raise ValueError(f"{str(path)!r} is a run of {record['recipe']!r}. Received: {name!r}.")
    named = _find(record.get("recipe_file") or record["recipe"]) if is_directory else _find(recipe)
    if named is not None and record.get("recipe_sha256") in (None, named.sha256):
        logger.info("Going on with %s: this runs its recipe, %s.", path, named.path)
        return named
    copy = path / RECIPE
    if not copy.is_file():
        raise ValueError(
            f"{str(path)!r} can only go on with the recipe that it was begun with, and its copy "
            f"{str(copy)!r} is missing. Received: recipe={str(recipe)!r}. Train again into another "
            "directory."
        )
    file = registry.RecipeFile(record["recipe"], copy.resolve(), None)
    if file.sha256 != record.get("recipe_sha256"):
        raise ValueError(
            f"{str(copy)!r} was changed after the run began (its sha256 differs). Restore it, "
            "or train into another directory."
        )
    if named is not None and not is_directory:
        logger.warning("%s was changed after the run began, and is not used.", named.path)
    logger.info("Going on with %s: this runs its copy of the recipe, %s.", path, copy)
    return file


def _find(recipe):
    try:
        return registry.find(recipe)
    except ValueError:
        return None
