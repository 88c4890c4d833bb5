"""Trained models: loaded from the one copy of their weights, by the name of a recipe or from a run, and exported."""

from pathlib import Path

import keras

from zoo import cards, hub, registry
from zoo.files import locked
from zoo.serving import configuration
from zoo.serving.saved_model import export, read_weights
from zoo.training import Run, build

# Of the optimizer that a loaded model is compiled with.
FINE_TUNING_RATE = 3e-4


def load(name, version=None):
    """The stored model of a recipe, compiled: ready to encode, sample, evaluate or train further (with Adam at 3e-4).

    Args:
        name: Name of a recipe with stored weights (`zoo list`).
        version: Integer; by default the newest.

    Returns:
        The model that the recipe builds with the card's arguments, with the weights of its SavedModel: read as numbers, so that nothing
        in the files is run. They lie in the checkout or the installed package, or are fetched (`zoo.hub`).

    Raises:
        ValueError: If nothing is stored under this name or version, or the files are damaged.
        OSError: If they have to be fetched and cannot.
    """
    return load_with_card(name, version)[0]


def load_with_card(name, version=None):
    """(model, the card of its version)"""
    recipe = registry.find(name)
    directory = hub.version_directory(name, version)
    card = cards.read_version_card(directory)
    model = build(recipe.build(card["arguments"]))
    read_weights(model, directory)
    model.compile(keras.optimizers.Adam(FINE_TUNING_RATE))  # the recipe's schedule has come to its end
    return model, card


def open_model(target):
    """(model, recipe's name, its `Recipe`) of a run directory or of a stored model's name."""
    if Path(target).is_dir():
        run = Run.open(target)
        return run.load_model(), run.record["recipe"], run.spec
    if "/" in str(target):
        raise ValueError(f"There is no run directory {str(target)!r}.")
    model, card = load_with_card(target)
    return model, target, registry.find(target).build(card["arguments"])


def export_model(target, base):
    """Exports a run or a stored model into a base directory that a server polls, and names it in the server's configuration.

    Args:
        target: Run directory, or name of a recipe with stored weights.
        base: The base directory: the model goes to `<base>/<recipe>/<next version>`.

    Returns:
        The version's directory.
    """
    if Path(target).is_dir():
        run = Run.open(target)
        name, model, card = run.record["recipe"], run.load_model(), {**describe(run), "numbers": {}}
    else:
        name, (model, card) = target, load_with_card(target)
    directory = export(model, Path(base) / name, card=card)
    with locked(base):  # who writes last has to know of all versions
        configuration.write(base)
    return directory


def describe(run):
    """The part of a card that tells where a model comes from."""
    record, dataset = run.record, run.spec.dataset
    return {
        "recipe": record["recipe"],
        "arguments": record["arguments"],
        "seed": record["seed"],
        "data": {
            "name": str(dataset.name),
            "train": dataset.train,
            "validation": dataset.validation,
            "test": dataset.test,
            "binarization": dataset.binarization,
        },
        "training": {
            "epochs": record["epochs"],
            "of": epochs_in_full(record),
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


def epochs_in_full(record):
    """What the recipe takes by default, with the other arguments of a run or a card: training may have been shorter, which a card tells."""
    return registry.find(record["recipe"]).build({k: v for k, v in record["arguments"].items() if k != "epochs"}).epochs
