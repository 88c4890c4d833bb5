"""Storing a trained model: measured on its test split, written with a card, and with what a person
reads and looks at."""

import dataclasses
import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo import data, observations, plots, registry, validation
from zoo.data.examples import first_of
from zoo.evaluation.likelihood import evaluate
from zoo.files import scratch_directory, write_atomically
from zoo.models.architecture import in_float32
from zoo.packing import round_weights
from zoo.runs.run import Run, is_run
from zoo.serving.saved_model import CARD, export
from zoo.store import cards, hub
from zoo.store.pretrained import describe, in_full, load_with_card, task_of
from zoo.versions import versions

LICENSE = "Apache-2.0"
# What a card tells of where a model comes from.
ORIGIN = ("recipe", "arguments", "seed", "data", "training", "versions", "git")
ALSO = ("recipe_sha256", "headline", "evaluation_samples", "about")


def push(
    target: str | Path,
    *other_runs: str | Path,
    data_dir: str | Path | None = None,
    num_samples: int | None = None,
    verified_examples: int | None = None,
    root: str | Path | None = None,
    version: int | None = None,
    replace: bool = False,
    allow_dirty: bool = False,
    verbose: int = 1,
) -> dict[str, Any]:
    """Measures a model on its test split and stores it: SavedModel with packed weights, card,
    README and pictures.

    Args:
        target: Directory of a finished run; or the name of a recipe with stored weights, which are
            measured and written again.
        other_runs: Further runs of the recipe, such as other seeds: each number becomes the mean
            over all runs.
        data_dir: As in `zoo.data.load`.
        num_samples: Importance samples of the measured `nll`; by default the recipe's.
        verified_examples: The first so many test examples are measured by themselves as well, for
            `zoo verify` to recompute in a short time; by default as it was, at first none.
        root: Directory of stored models; by default the checkout's `saved_models/`.
        version: Of a recipe's name: which of its versions; by default the newest.
        replace: Remove the versions with the same arguments.
        allow_dirty: Store also a run of code that no commit holds.
        verbose: 1 shows progress.

    Returns:
        The card.

    Raises:
        ValueError: If the run is not finished, or was made from uncommitted code.
    """
    if verified_examples is not None:
        validation.integer("verified_examples", verified_examples)
    if is_run(target):
        runs = [Run.open(directory) for directory in (target, *other_runs)]
        for run in runs:
            _assert_storable(run, runs[0].record["recipe"], allow_dirty)
        # What was trained in 16 bits is stored, measured and served in 32: on any machine alike.
        models = [in_float32(run.load_model()) for run in runs]
        origin, task = _origin(runs[0]), runs[0].task
    else:
        if other_runs:
            raise ValueError(
                f"A stored model is not averaged with runs. Received: {target!r} and "
                f"{len(other_runs)} more."
            )
        model, card = load_with_card(target, version)
        models, task = [model], task_of(card, model)
        origin = {key: card[key] for key in (*ORIGIN, *ALSO) if key in ORIGIN or key in card}
        if _is_registered(origin["recipe"]):
            origin["training"] = {
                **card["training"],
                "of": in_full(card["recipe"], card["arguments"]),
            }
        if verified_examples is None and "subset" in card:
            verified_examples = card["subset"]["num_examples"]
    dataset = task.dataset
    num_samples = task.evaluation_samples if num_samples is None else num_samples
    as_stored = dataclasses.replace(dataset, binarization="grey")
    parts = {
        part: data.load(as_stored, getattr(dataset, part), data_dir=data_dir)
        for part in ("train", "test")
    }
    if not isinstance(models[0].observation, observations.Image):
        origin["data"]["noun"] = models[0].observation.noun
    origin["data"]["sha256"] = {
        part: data.sha256(arrays[models[0].key]) for part, arrays in parts.items()
    }
    examples = data.load(dataset, dataset.test, data_dir=data_dir)
    protocol = {
        "seed": 0,
        "num_samples": num_samples,
        "metrics": "all" if "factors" in examples else [],
    }
    measure = functools.partial(
        evaluate, split=dataset.test, nll_name=task.nll_name, verbose=verbose, **protocol
    )
    numbers = []
    for number, model in enumerate(models):
        round_weights(model)  # what is measured is what is stored
        directory = runs[number].path / "measured" if is_run(target) else None
        numbers.append(measure(model, examples, progress_dir=directory))
    subset = {}
    if verified_examples is not None:
        of_first = measure(models[0], first_of(examples, verified_examples))
        subset = {"subset": {"num_examples": verified_examples, "numbers": of_first}}
    directory = Path(root or cards.roots()[0]) / origin["recipe"]
    if is_run(target):
        over_runs = _over_runs(numbers, [run.record for run in runs])
    else:
        over_runs = _measured_again(card["numbers"], numbers[0])
    card = {
        **origin,
        "numbers": _numbers_of_other_arguments(directory, origin["arguments"]) | over_runs,
        "evaluation": protocol,
        **subset,
        "parameters": models[0].count_params(),
        "license": LICENSE,
    }
    curves = runs[0].path / "curves.png" if is_run(target) else None
    return _store(models[0], card, directory, examples, replace, curves)


def _store(model, card, directory, examples, replace, curves):
    """Writes a measured model as the next version of a directory, with its run's picture of curves
    if there is one; returns its card."""
    version_directory = export(model, directory, card=card, packed=True)
    try:
        content = (version_directory / CARD).read_bytes()
        card = json.loads(content)
        _draw(model, examples, directory, curves)
        write_atomically(directory / "README.md", readme(directory, card).encode())
        # Atomically: from here on the new version is the one that is loaded.
        write_atomically(directory / "card.json", content)
    except BaseException:
        shutil.rmtree(version_directory, ignore_errors=True)  # no card names it
        raise
    if replace:
        for version in versions(directory):
            older = directory / str(version)
            if (
                version != card["version"]
                and cards.read_version_card(older)["arguments"] == card["arguments"]
            ):
                shutil.rmtree(older)
    if directory.parent == cards.roots()[0]:
        hub.write_index(directory.parent)
    return card


def _draw(model, examples, directory, curves):
    """Replaces the pictures of a directory, once all of them are drawn."""
    with scratch_directory(directory, "pictures") as beside:
        plots.pictures(model, examples, beside)
        if curves is not None and curves.is_file():  # a run is finished without it
            shutil.copyfile(curves, beside / "curves.png")
        for path in beside.glob("*.png"):
            _reduce_colours(path)
            os.replace(path, directory / path.name)


def _reduce_colours(path):
    """A PNG with a palette of 64 colours: half the bytes of a sheet of digits, a quarter of a
    scatter plot's."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(
            64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    reduced.save(path, optimize=True)


def readme(directory: Path, card: dict[str, Any]) -> str:
    """The README.md of a stored model, as it is now: a recipe's docstring tells numbers that were
    not known when they were measured.

    A model of somebody's own recipe brings in its card what its recipe says of itself.
    """
    pictures = sorted(path.name for path in directory.glob("*.png"))
    about = card["about"] if "about" in card else registry.find(card["recipe"]).docstring()
    return cards.readme(card, about, pictures)


def _origin(run):
    """What a run's card tells of where the model comes from."""
    if _is_registered(run.record["recipe"]):
        return describe(run)
    others = {name: registry.find(name).docstring() for name in registry.list_recipes()}
    return {**describe(run), "about": cards.about_own(run.docstring(), others)}


def _is_registered(recipe):
    return recipe in registry.list_recipes()


def _assert_storable(run, recipe, allow_dirty):
    record = run.record
    if record["recipe"] != recipe:
        raise ValueError(
            f"All runs must be of one recipe. Received: {recipe!r} and {record['recipe']!r}."
        )
    if record["status"] != "finished":
        raise ValueError(
            f"{str(run.path)!r} is not finished. Finish it with `zoo train {record['recipe']} "
            "--resume`."
        )
    if not record.get("registered", True) and _is_registered(recipe):
        raise ValueError(
            f"{str(run.path)!r} is a run of a recipe file of your own, which has the name of an "
            "installed recipe: its model would take the place of that one's. Received: "
            f"{recipe!r}. Rename the file and train again."
        )
    for revision in (record["git"], *record.get("git_resumed", [])):
        if not allow_dirty and (revision is None or revision.endswith("-dirty")):
            raise ValueError(
                f"{str(run.path)!r} was trained by code that no commit holds (git: {revision}), "
                "or by a recipe that this commit does not hold, so nobody could repeat it. Commit "
                "and train again, or pass --allow-dirty."
            )


def _measured_again(before, numbers):
    """The numbers of a stored model that was measured again; where they were means over runs, it
    was the first of these."""
    return {key: _mean_over_runs(number, before.get(key, {})) for key, number in numbers.items()}


def _over_runs(numbers, records):
    """The numbers of one run as they are; of several, their mean with each run's value and the
    arguments by which the runs differ."""
    if len(numbers) == 1:
        return numbers[0]
    names = [
        name
        for name, value in records[0]["arguments"].items()
        if any(r["arguments"][name] != value for r in records)
    ]
    differ = [{name: record["arguments"][name] for name in names} for record in records]
    values = {key: [each[key]["value"] for each in numbers] for key in numbers[0]}
    return {
        key: _mean_over_runs(number, {"values": values[key], "runs": differ})
        for key, number in numbers[0].items()
    }


def _mean_over_runs(number, among):
    """A number as the mean over the runs that `among` tells of, of which it is the first; as it is
    where there are none."""
    if "values" not in among:
        return number
    values = [number["value"], *among["values"][1:]]
    stderr = float(np.std(values, ddof=1) / len(values) ** 0.5)
    return {
        **number,
        "value": float(np.mean(values)),
        "values": values,
        "stderr_runs": stderr,
        "runs": among["runs"],
    }


def _numbers_of_other_arguments(directory, arguments):
    """Numbers that the newest version's card holds for other arguments, as for another part of an
    image: they stay, with their version."""
    if not (directory / "card.json").is_file():
        return {}
    card = cards.read_card(directory)
    if card["arguments"] == json.loads(json.dumps(arguments)):
        return {}
    return {
        key: {"version": card["version"], **number}
        for key, number in card["numbers"].items()
        if key.startswith("conditional_nll_")
    }


# python -m zoo.store.push: what is derived from the cards in the checkout, written anew.
if __name__ == "__main__":
    root = cards.roots()[0]
    for path in sorted(root.glob("*/README.md")):
        write_atomically(path, readme(path.parent, cards.read_card(path.parent)).encode())
    hub.write_index(root)
