"""A recipe at several values of its arguments, and what they trade.

A sweep's directory holds

    beta=0.5, beta=1.0, ...    the run directory of each point
    sweep.json                 the points: their values, validation numbers and active units;
                               means over seeds where several were swept
    rate_distortion.png        the points between rate and distortion
"""

import contextlib
import itertools
import json
import logging
import multiprocessing
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from zoo import data, machine, own_layers, plots, registry
from zoo.annotations import takes_commas
from zoo.data.examples import noun_of
from zoo.files import alone_in, check_directory_target, write_atomically
from zoo.runs import training
from zoo.runs.points import assert_has_rate, means_over_seeds, measure
from zoo.runs.points import table as table
from zoo.runs.records import as_json
from zoo.runs.run import PreparedRun

logger = logging.getLogger("zoo")


class Plan(NamedTuple):
    """What a sweep would do: everything about it checked, nothing written.

    Attributes:
        file: The `registry.RecipeFile`.
        path: The sweep's directory.
        points: Dict from label to the arguments of each point.
        runs: Dict from label to its `PreparedRun`.
        jobs: Points that train at the same time.
    """

    file: registry.RecipeFile
    path: Path
    points: dict[str, dict[str, Any]]
    runs: dict[str, PreparedRun]
    jobs: int

    @property
    def unfinished(self) -> list[str]:
        return [label for label, run in self.runs.items() if run.record["status"] != "finished"]


def sweep(
    recipe: str | Path,
    arguments: Mapping[str, Any],
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    jobs: int | None = None,
    verbose: str | int = "auto",
) -> Path:
    """Trains a recipe at all combinations of the values given, and draws rate against distortion.

    Args:
        recipe: Name of a recipe, or path of a recipe file.
        arguments: Dict of the recipe's arguments, each a value, a list of values, or a string of
            them with commas ("0.5,1,2"). The commas of an argument that is a tuple belong to its
            one value. Over several values of `seed` the numbers are averaged.
        out: The sweep's directory; by default `runs/<recipe>_sweep`.
        data_dir: As in `zoo.data.load`.
        resume: Go on in `out`: finished points are left alone, an unfinished one goes on after its
            last finished epoch, and values that were not swept before are added.
        jobs: Points that train at the same time, each in a process of its own that ends with this
            one; by default one for each core, and one on a GPU.
        verbose: As in Keras's `fit`, where one point trains after the other.

    Returns:
        The sweep's directory, as a `Path`.

    Raises:
        ValueError: If an argument, the data or the directory are not what they should be, or
            another process sweeps there; nothing has been trained then.
        zoo.engine.checkpoints.TrainingDiverged: If the loss of a point becomes NaN or infinite.
    """
    plan = _plan(recipe, arguments, out, resume, jobs, data_dir)
    with alone_in(plan.path, "sweeps"):
        _train_all(
            _tasks(plan, recipe, data_dir),
            plan.jobs,
            len(plan.points) - len(plan.unfinished),
            verbose,
        )
        measured = [
            measure(training.Run.open(plan.path / label, recipe), label, data_dir)
            for label in plan.points
        ]
        means = means_over_seeds(measured)
        record = {"recipe": plan.file.name, "points": measured}
        if means:
            record["means"] = means
        write_atomically(plan.path / "sweep.json", (json.dumps(record, indent=2) + "\n").encode())
        dataset = next(iter(plan.runs.values())).spec.dataset
        noun = noun_of(data.load(dataset, dataset.validation, data_dir=data_dir))
        plots.rate_distortion(measured, path=plan.path / "rate_distortion.png", noun=noun)
    return plan.path


def describe(
    recipe: str | Path,
    arguments: Mapping[str, Any],
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    jobs: int | None = None,
) -> list[str]:
    """What `sweep` would train, as lines of text; nothing is written. Raises as `sweep` does."""
    plan = _plan(recipe, arguments, out, resume, jobs, data_dir)
    dataset = next(iter(plan.runs.values())).spec.dataset
    parts = [
        data.load(dataset, split, data_dir=data_dir)
        for split in (dataset.train, dataset.validation)
    ]
    sizes, noun = [data.num_examples(part) for part in parts], noun_of(parts[0])
    rows = []
    for label, run in plan.runs.items():
        state = "is finished"
        if label in plan.unfinished:
            state = "goes on" if _has_begun(run.path) else "begins"
            state += f": {run.spec.epochs:,} epochs of {run.spec.batch_size} {noun}s a step"
        rows.append((label, state))
    width = max(9, *(len(label) for label, _ in rows))
    return [
        f"{'recipe':{width}}  {plan.file.name}: {len(plan.points)} points, "
        f"{len(plan.unfinished)} to train, {plan.jobs} at a time",
        f"{'data':{width}}  {dataset.name}: {sizes[0]:,} training {noun}s ({dataset.train}), "
        f"{sizes[1]:,} validation {noun}s ({dataset.validation})",
        *(f"{label:{width}}  {state}" for label, state in rows),
        f"{'output':{width}}  {plan.path}",
    ]


def _plan(recipe, arguments, out, resume, jobs, data_dir):
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"`jobs` must be a positive integer. Received: jobs={jobs!r}.")
    file = registry.find(recipe)
    path = Path(out or Path("runs") / f"{file.name}_sweep")
    if not resume and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(
            f"{str(path)!r} exists and is not empty. "
            "Pass --resume to go on with it, or another --out."
        )
    check_directory_target("`out`", path)
    points = expand(file, arguments)
    runs = {
        label: training.Run.prepare(recipe, point, path / label, _has_begun(path / label))
        for label, point in points.items()
    }
    _assert_comparable(runs, arguments)
    plan = Plan(file, path, points, runs, min(jobs or _room(), len(points)))
    for label in plan.unfinished:
        # A mistake in the last point costs no training of the others.
        assert_has_rate(training.model_to_look_at(runs[label].spec, data_dir), label)
    return plan


def _tasks(plan, recipe, data_dir):
    """Label -> the arguments of `training.train`, of every point that is not finished."""
    return {
        label: {
            "recipe": recipe,
            "arguments": plan.points[label],
            "out": plan.path / label,
            "data_dir": data_dir,
            "resume": _has_begun(plan.path / label),
        }
        for label in plan.unfinished
    }


def _room():
    """Dense training keeps one core busy, and a GPU is best left to one process."""
    return 1 if tf.config.list_physical_devices("GPU") else machine.cores()


def _train_all(tasks, jobs, num_finished, verbose):
    """Trains points, each described by the arguments of `training.train`, at most `jobs` of them at
    a time."""
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        for number, (label, task) in enumerate(tasks.items(), 1):
            logger.info(
                "%s: run %d of %d (%d were finished before).",
                label,
                number,
                len(tasks),
                num_finished,
            )
            training.train(**task, verbose=verbose)
        return
    logger.info(
        "%d runs, %d at a time (%d were finished before): %s.",
        len(tasks),
        jobs,
        num_finished,
        ", ".join(tasks),
    )
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(
        jobs, spawn, initializer=_start_worker, initargs=(own_layers.imported,)
    ) as pool:
        labels = {pool.submit(_train_quietly, task): label for label, task in tasks.items()}
        try:
            for number, future in enumerate(futures.as_completed(labels), 1):
                future.result()
                logger.info("%s: finished, %d of %d.", labels[future], number, len(tasks))
        except BaseException:
            # Those that are running end by themselves, and can be resumed.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker(imports):
    machine.end_with_parent()
    for name in imports:
        # A file that is gone since; the recipe that needs it says so.
        with contextlib.suppress(ValueError):
            own_layers.import_layers(name)


def _train_quietly(task):
    with contextlib.suppress(KeyboardInterrupt):  # the process that waits for this one tells it
        training.train(**task, verbose=0)


def expand(file: registry.RecipeFile, arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The points of a sweep: dict from their labels ("beta=0.5") to the arguments of each.

    Args:
        file: The `registry.RecipeFile`.
        arguments: As in `sweep`.

    Raises:
        ValueError: If an argument is unknown or of the wrong type, none has several values, or a
            value is given twice.
    """
    hints = file.hints()
    values = {name: _values(value, hints.get(name)) for name, value in arguments.items()}
    swept = [name for name in values if len(values[name]) > 1]
    if not swept:
        text = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise ValueError(
            "A sweep needs an argument with several values, such as latent_dim=2,4,8. "
            f"Received: {text or 'no arguments'}."
        )
    points = {}
    for combination in itertools.product(*values.values()):
        point = dict(zip(values, combination, strict=True))
        bound = file.bind(point)
        label = ",".join(f"{name}={bound[name]}" for name in swept).replace("/", "_")
        if label in points:
            raise ValueError(f"Each value of a sweep is given once. Received: {label} twice.")
        points[label] = point
    return points


def _values(value, hint):
    if isinstance(value, str) and not takes_commas(hint):
        return value.split(",")
    return value if isinstance(value, list) else [value]


def _has_begun(path):
    return (path / "run.json").is_file()


def _assert_comparable(runs, arguments):
    """Arguments that were not typed are those that a run was begun with: an older run may differ in
    them from the others."""
    (first, run), *others = runs.items()
    for label, other in others:
        for name, value in run.record["arguments"].items():
            received = other.record["arguments"].get(name)
            if name not in arguments and _as_text(received) != _as_text(value):
                raise ValueError(
                    f"Points of a sweep differ in what is swept alone. Received: {first} with "
                    f"{name}={value!r}, {label} with {name}={received!r}. Give {name} beside "
                    "--resume."
                )


def _as_text(value):
    """The same text for an argument that was typed now and for one that a record holds."""
    return json.dumps(value, default=as_json)
