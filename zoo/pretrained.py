"""Stored models: written from a run with a card, found by name, loaded from the one copy of their weights."""

import hashlib
import json
from pathlib import Path

import numpy as np

from zoo import cards, data, plots, registry
from zoo.evaluation.likelihood import evaluate
from zoo.files import write_atomically
from zoo.serving import configuration
from zoo.serving.saved_model import export, read_weights
from zoo.training import Run, build


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


def open_model(target):
    """(model, recipe's name, its `Recipe`) of a run directory or of a stored model's name."""
    if Path(target).is_dir():
        run = Run.open(target)
        return run.load_model(), run.record["recipe"], run.spec
    if "/" in str(target):
        raise ValueError(f"There is no run directory {str(target)!r}.")
    model = load(target)
    return model, target, registry.find(target).build(cards.find_card(target)["arguments"])


def push(run_directory, *other_runs, data_dir=None, num_samples=None, root=None, allow_dirty=False, verbose=1):
    """Measures a finished run on its test split and stores it: SavedModel, card and pictures.

    Args:
        run_directory: A run directory.
        other_runs: Further runs of the recipe, such as other seeds: each number becomes the mean over all runs.
        data_dir: As in `zoo.data.load`.
        num_samples: Importance samples of the measured `nll`; by default the recipe's.
        root: Directory of stored models; by default the checkout's `saved_models/`.
        allow_dirty: Store also a run of code that no commit holds.
        verbose: 1 shows progress.

    Returns:
        The card.

    Raises:
        ValueError: If the run is not finished, or was made from uncommitted code.
    """
    runs = [Run.open(directory) for directory in (run_directory, *other_runs)]
    run, record, spec = runs[0], runs[0].record, runs[0].spec
    for each in runs:
        _assert_storable(each, record["recipe"], allow_dirty)
    num_samples = num_samples or spec.evaluation_samples
    parts = {part: data.load(spec.dataset.name, getattr(spec.dataset, part), data_dir=data_dir) for part in ("train", "test")}
    examples = data.load(spec.dataset.name, spec.dataset.test, data_dir=data_dir, binarization=spec.dataset.binarization)
    options = {"num_samples": num_samples, "split": spec.dataset.test, "nll_name": spec.nll_name, "verbose": verbose}
    options["metrics"] = "all" if "factors" in examples else ()
    model = run.load_model()
    numbers = [evaluate(model, examples, **options)] + [evaluate(each.load_model(), examples, **options) for each in runs[1:]]
    directory = Path(root or cards.roots()[0]) / record["recipe"]
    card = {
        **_describe(run),
        "numbers": _numbers_of_other_arguments(directory, record["arguments"]) | _over_runs(numbers, [each.record for each in runs]),
        "evaluation": {"seed": 0, "num_samples": num_samples},
    }
    card["data"]["sha256"] = {part: _sha256(arrays["image"]) for part, arrays in parts.items()}
    version_directory = export(model, directory, card=card)
    plots.pictures(model, examples, directory)
    # Last, and atomically: from here on the new version is the one that is loaded.
    content = (version_directory / "assets.extra" / "card.json").read_bytes()
    write_atomically(directory / "card.json", content)
    return json.loads(content)


def _sha256(images, chunk=10_000):
    """Of the decoded uint8 pixels, some images at a time: they may be drawn only now."""
    digest = hashlib.sha256()
    for first in range(0, len(images), chunk):
        digest.update(np.ascontiguousarray(images[first : first + chunk]))
    return digest.hexdigest()


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
        name, model, card = run.record["recipe"], run.load_model(), {**_describe(run), "numbers": {}}
    else:
        model, name, _ = open_model(target)
        card = cards.find_card(name)
    directory = export(model, Path(base) / name, card=card)
    configuration.write(base)
    return directory


def _describe(run):
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
            "of": _epochs_in_full(record),
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


def _assert_storable(run, recipe, allow_dirty):
    record = run.record
    if record["recipe"] != recipe:
        raise ValueError(f"All runs must be of one recipe. Received: {recipe!r} and {record['recipe']!r}.")
    if record["status"] != "finished":
        raise ValueError(f"{str(run.path)!r} is not finished. Finish it with `zoo train {record['recipe']} --resume`.")
    if not allow_dirty and (record["git"] is None or record["git"].endswith("-dirty")):
        raise ValueError(
            f"{str(run.path)!r} was trained by code that no commit holds (git: {record['git']}), so nobody could repeat it. "
            "Commit and train again, or pass --allow-dirty."
        )


def _over_runs(numbers, records):
    """The numbers of one run as they are; of several, their mean with each run's value and the arguments by which the runs differ."""
    if len(numbers) == 1:
        return numbers[0]
    names = [name for name, value in records[0]["arguments"].items() if any(r["arguments"][name] != value for r in records)]
    differ = [{name: record["arguments"][name] for name in names} for record in records]
    combined = {}
    for key, number in numbers[0].items():
        values = [each[key]["value"] for each in numbers]
        stderr = float(np.std(values, ddof=1) / len(values) ** 0.5)
        combined[key] = {**number, "value": float(np.mean(values)), "values": values, "stderr_runs": stderr, "runs": differ}
    return combined


def _numbers_of_other_arguments(directory, arguments):
    """Numbers that the newest version's card holds for other arguments, as for another part of an image: they stay, with their version."""
    if not (directory / "card.json").is_file():
        return {}
    card = cards.read_card(directory)
    if card["arguments"] == json.loads(json.dumps(arguments)):
        return {}
    return {key: {"version": card["version"], **number} for key, number in card["numbers"].items() if key.startswith("conditional_nll_")}


def _epochs_in_full(record):
    """What the recipe takes by default, with the run's other arguments: a run may have been shorter, and its card says so."""
    return registry.find(record["recipe"]).build({k: v for k, v in record["arguments"].items() if k != "epochs"}).epochs
