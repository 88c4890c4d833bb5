"""Stored models: written from a run with a card, found by name, loaded from the one copy of their weights."""

import hashlib
import json
from pathlib import Path

import tensorflow as tf

from zoo import cards, data, plots, registry
from zoo.evaluation.likelihood import evaluate
from zoo.serving.saved_model import export
from zoo.training import Run, build, write_atomically


def load(name, version=None):
    """The stored model of a recipe, compiled: ready to encode, sample, evaluate or train further.

    Args:
        name: Name of a recipe with stored weights (`zoo list`).
        version: Integer; by default the newest.

    Returns:
        The model that the recipe builds with the card's arguments, with the weights of its SavedModel.

    Raises:
        ValueError: If nothing is stored under this name or version, or the files are damaged.
    """
    registry.find(name)
    directory = cards.model_directory(name)
    if directory is None:
        raise ValueError(f"Recipe {name!r} has no stored weights. Train it with `zoo train {name}`.")
    card = cards.read_card(directory)
    if version is not None and version != card["version"]:
        archived = directory / str(version) / "assets.extra" / "card.json"
        if not archived.is_file():
            raise ValueError(f"{name!r} has no version {version!r}. The newest is {card['version']}.")
        card = json.loads(archived.read_text(encoding="utf-8"))
    cards.check_files(directory, card)
    model = build(registry.find(name).build(card["arguments"]))
    read_weights(model, directory / str(card["version"]))
    return model


def read_weights(model, version_directory):
    """Reads the weights of an exported model into one of the same architecture.

    Raises:
        ValueError: If they cannot be read or do not fit.
    """
    prefix = Path(version_directory) / "variables" / "variables"
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        values = [reader.get_tensor(f"model_weights/{i}/.ATTRIBUTES/VARIABLE_VALUE") for i in range(len(model.weights))]
        for weight, value in zip(model.weights, values, strict=True):
            weight.assign(value)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(f"The weights {str(prefix)!r} cannot be read: {error}") from None


def open_model(target):
    """(model, recipe's name, its `Recipe`) of a run directory or of a stored model's name."""
    if Path(target).is_dir():
        run = Run.open(target)
        return run.load_model(), run.record["recipe"], run.spec
    if "/" in str(target):
        raise ValueError(f"There is no run directory {str(target)!r}.")
    model = load(target)
    return model, target, registry.find(target).build(cards.find_card(target)["arguments"])


def push(run_directory, *, data_dir=None, num_samples=5000, root=None, allow_dirty=False, verbose=1):
    """Measures a finished run on its test split and stores it: SavedModel, card and pictures.

    Args:
        run_directory: A run directory.
        data_dir: As in `zoo.data.load`.
        num_samples: Importance samples of the measured `nll`.
        root: Directory of stored models; by default the checkout's `saved_models/`.
        allow_dirty: Store also a run of code that no commit holds.
        verbose: 1 shows progress.

    Returns:
        The card.

    Raises:
        ValueError: If the run is not finished, or was made from uncommitted code.
    """
    run = Run.open(run_directory)
    record, spec = run.record, run.spec
    if record["status"] != "finished":
        raise ValueError(f"{str(run.path)!r} is not finished. Finish it with `zoo train {record['recipe']} --resume`.")
    revision = record["git"]
    if not allow_dirty and (revision is None or revision.endswith("-dirty")):
        raise ValueError(
            f"{str(run.path)!r} was trained by code that no commit holds (git: {revision}), so nobody could repeat it. "
            "Commit and train again, or pass --allow-dirty."
        )
    model = run.load_model()
    parts = {part: data.load(spec.dataset.name, getattr(spec.dataset, part), data_dir=data_dir) for part in ("train", "test")}
    examples = data.load(spec.dataset.name, spec.dataset.test, data_dir=data_dir, binarization=spec.dataset.binarization)
    numbers = evaluate(model, examples, num_samples=num_samples, split=spec.dataset.test, verbose=verbose)
    card = {
        "recipe": record["recipe"],
        "arguments": record["arguments"],
        "seed": record["seed"],
        "data": {
            "name": str(spec.dataset.name),
            "train": spec.dataset.train,
            "validation": spec.dataset.validation,
            "test": spec.dataset.test,
            "binarization": spec.dataset.binarization,
            "sha256": {part: hashlib.sha256(arrays["image"].tobytes()).hexdigest() for part, arrays in parts.items()},
        },
        "numbers": numbers,
        "evaluation": {"seed": 0, "num_samples": num_samples},
        "training": {
            "epochs": record["epochs"],
            "of": spec.epochs,
            "seconds": record["seconds"],
            "machine": record["machine"],
            "mode": record["mode"],
            "precision": record["precision"],
        },
        "versions": record["versions"],
        "git": revision,
    }
    directory = Path(root or cards.roots()[0]) / record["recipe"]
    version_directory = export(model, directory, card=card)
    plots.samples(model, path=directory / "samples.png")
    plots.reconstructions(model, examples, path=directory / "reconstructions.png")
    # Last, and atomically: from here on the new version is the one that is loaded.
    content = (version_directory / "assets.extra" / "card.json").read_bytes()
    write_atomically(directory / "card.json", content)
    return json.loads(content)
