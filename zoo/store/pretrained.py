"""Trained models: loaded from the one copy of their weights, by name or from a directory.

A model is built from the architecture that lies beside its weights, and the weights are read as
numbers: nothing that lies there is run. Code comes from this package, from the recipes that are
installed, and from what the user has imported.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from zoo import registry, validation
from zoo.engine.compiled import CompiledModel
from zoo.generators import generators_left_alone
from zoo.models import architecture
from zoo.models.exported import CONFIGURATION, read_model, read_weights
from zoo.recipe import Dataset, Task
from zoo.runs.run import Run, epochs_in_full, is_run
from zoo.store import cards, hub
from zoo.versions import versions


def load(source: str | Path, version: int | None = None) -> CompiledModel:
    """A trained model, compiled: ready to encode, sample, evaluate or train further (with Adam at
    3e-4).

    Args:
        source: Name of a recipe with stored weights (`zoo list`), or a directory: of a run, of a
            stored model or an exported one, or of one version of these.
        version: Integer, of a stored or exported model; by default the newest.

    Returns:
        The model. Stored models lie in the checkout or the installed package, or are fetched
        (`zoo.store.hub`). The generators of random numbers of Python, NumPy, TensorFlow and Keras
        are left as they were.

    Raises:
        ValueError: If nothing is stored there, the files are damaged, or the model needs code of
            somebody's own.
        OSError: If the files have to be fetched and cannot.
    """
    if is_run(source):
        if version is not None:
            raise ValueError(
                f"A run has no versions. Received: {str(source)!r} and version={version!r}."
            )
        return Run.open(source).load_model()
    return load_version(_version_directory(source, version))


def load_with_card(
    source: str | Path, version: int | None = None
) -> tuple[CompiledModel, dict[str, Any]]:
    """(model, the card of its version) of a stored or exported model. Arguments and errors as in
    `load`."""
    directory = _version_directory(source, version)
    return load_version(directory), cards.card_of(directory)


def load_version(directory: Path) -> CompiledModel:
    """The compiled model of a version's directory, whose files were checked."""
    with generators_left_alone():
        if (directory / CONFIGURATION).is_file():
            _import_recipe(directory)
            model = read_model(directory)
        else:  # a part of it has no configuration: its recipe is the one way to it
            card = cards.card_of(directory)
            model = registry.find(card["recipe"]).build(card["arguments"]).model()
            read_weights(model, directory)
    return architecture.ready(model)


def _import_recipe(directory):
    """A recipe that is installed here may register layers of its own."""
    with contextlib.suppress(ValueError):
        registry.find(cards.card_of(directory)["recipe"]).load()


def _version_directory(source, version):
    """The checked files of a version, of a name or a directory."""
    version = None if version is None else validation.integer("version", version)
    path = Path(source)
    if (path / "saved_model.pb").is_file():
        if version is not None and str(version) != path.resolve().name:
            raise ValueError(
                f"{str(path)!r} is one version of a model. Received: version={version!r} beside it."
            )
        cards.check_version(path)
        return path
    found = versions(path)
    if found:
        newest = cards.read_card(path)["version"] if (path / "card.json").is_file() else found[-1]
        version = newest if version is None else version
        if version not in found:
            raise ValueError(
                f"{str(path)!r} has no version {version!r}. Its versions are "
                f"{', '.join(map(str, found))}."
            )
        cards.check_version(path / str(version))
        return path / str(version)
    if cards.model_directory(str(source)) is None and str(source) not in hub.read_index():
        _assert_may_be_a_name(source)
    return hub.version_directory(str(source), version)


def _assert_may_be_a_name(source):
    """Raises ValueError, saying what was probably meant, where nothing of this name is stored and
    no recipe has it."""
    path = Path(source)
    if path.is_dir():
        raise ValueError(
            f"{str(source)!r} is not a run directory: it holds no run.json. It holds no "
            "version of a stored or exported model either."
        )
    if len(path.parts) > 1:
        raise ValueError(f"There is no run directory {str(source)!r}, and no stored model.")
    registry.find(str(source))


def assert_there(target: str | Path) -> None:
    """Raises ValueError for a name under which nothing is stored; nothing is read or fetched for
    it."""
    if Path(target).is_dir():
        return
    if cards.model_directory(str(target)) is None and str(target) not in hub.read_index():
        _assert_may_be_a_name(target)
    hub.version_to_load(str(target))


def open_model(target: str | Path) -> tuple[keras.Model, str, Task]:
    """(model, name, what it was trained for) of a run directory, of a stored model's name, or of a
    directory as in `load`."""
    if is_run(target):
        run = Run.open(target)
        return run.load_model(), run.record["recipe"], run.task
    model, card = load_with_card(target)
    return model, card["recipe"], task_of(card, model)


def record_of(target: str | Path) -> dict[str, Any]:
    """What is known of a target of `open_model`: the record of a run, or the card of a stored
    model's newest version."""
    if is_run(target):
        return Run.open(target).record
    if (Path(target) / "card.json").is_file():
        return cards.read_card(target)
    if (Path(target) / "saved_model.pb").is_file():
        return cards.card_of(target)
    return cards.find_card(str(target)) or cards.card_of(hub.version_directory(str(target)))


def task_of(card: Mapping[str, Any], model: keras.Model) -> Task:
    """What a card tells of its model's task; what cards did not tell at first, the recipe of its
    name does.

    Raises:
        ValueError: If the card does not say what the model was trained on.
    """
    if "data" not in card:
        raise ValueError(
            f"The card of {card['recipe']!r} does not tell the data of the model. Load it in "
            "Python: `zoo.load`."
        )
    dataset = Dataset.of_record(card["data"])
    told = {"family": type(model).__name__}
    if "headline" in card:
        told |= {name: card[name] for name in ("headline", "evaluation_samples")}
    else:
        with contextlib.suppress(ValueError):
            recipe = registry.find(card["recipe"]).build(card["arguments"])
            told |= {
                "family": recipe.family,
                "headline": recipe.headline,
                "evaluation_samples": recipe.evaluation_samples,
            }
    return Task(**told, dataset=dataset, epochs=card["training"]["epochs"])


def describe(run: Run) -> dict[str, Any]:
    """The part of a card that tells where a model comes from.

    Raises:
        ValueError: If the run is not finished.
    """
    record, dataset = run.record, run.task.dataset
    if record["status"] != "finished":
        raise ValueError(
            f"{str(run.path)!r} is not finished. Finish it with `zoo train {record['recipe']} "
            "--resume`."
        )
    return {
        "recipe": record["recipe"],
        **({"recipe_sha256": record["recipe_sha256"]} if "recipe_sha256" in record else {}),
        "arguments": record["arguments"],
        "seed": record["seed"],
        "headline": run.task.headline,
        "evaluation_samples": run.task.evaluation_samples,
        "data": {**dataset.record(), "name": str(dataset.name)},
        "training": {
            "epochs": record["epochs"],
            "of": record["epochs_in_full"]
            if "epochs_in_full" in record
            else in_full(record["recipe"], record["arguments"]),
            "kept_epoch": record.get("kept_epoch", record["epochs"]),
            "seconds": record["seconds"],
            "machine": record["machine"],
            "mode": record["mode"],
            "precision": record["precision"],
            "deterministic": record.get("deterministic", False),
        },
        "versions": record["versions"],
        "git": record["git"],
    }


def in_full(recipe: str, arguments: Mapping[str, Any]) -> int:
    """The epochs that a registered recipe takes by default, with the other arguments."""
    return epochs_in_full(registry.find(recipe), arguments)
