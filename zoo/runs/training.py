"""Running a recipe: seed, data, fit, checkpoints, resume. What it leaves is told in
`zoo.runs.run`."""

import contextlib
import importlib
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from zoo import data, validation
from zoo.engine import replicas
from zoo.engine.checkpoints import Checkpoint
from zoo.engine.compiled import CompiledModel
from zoo.recipe import Recipe
from zoo.runs.provenance import machine
from zoo.runs.run import Run

logger = logging.getLogger("zoo")


def train(
    recipe: str | Path,
    arguments: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    strategy: str | tf.distribute.Strategy | None = None,
    tensorboard: bool = False,
    checkpoint_minutes: float = 5.0,
    verbose: int | str = "auto",
) -> Path:
    """Trains a recipe into a run directory.

    Args:
        recipe: Name of a recipe, or path of a recipe file; to go on with a run, also its directory.
        arguments: Dict of the recipe's arguments that differ from their defaults.
        out: The run directory; by default `runs/<recipe>`.
        data_dir: As in `zoo.data.load`.
        resume: Go on from the last checkpoint in `out`, which runs the recipe that the run was
            begun with: the one that is named, or where that was changed since, the run's copy. On
            the same machine's CPU the result is the same to the bit as that of a run that was never
            stopped.
        strategy: None (one device), "mirrored" (all devices of this machine), "multi_worker" (this
            process is one of several, each of which calls `train` alike; `out` lies where all can
            read), or a `tf.distribute.Strategy`. The batch is divided among the devices.
        tensorboard: Write TensorBoard logs to `out/tensorboard`.
        checkpoint_minutes: Checkpoints are written after every epoch, and within an epoch this
            often.
        verbose: As in Keras's `fit`.

    Returns:
        The run directory, as a `Path`.

    Raises:
        ValueError: If an argument, the data or the run directory are not what they should be.
        TrainingDiverged: If the loss becomes NaN or infinite.
        RuntimeError: If another worker stops.
    """
    if not validation.is_number(checkpoint_minutes) or not checkpoint_minutes >= 0:
        raise ValueError(
            "`checkpoint_minutes` must be a non-negative number. Received: "
            f"checkpoint_minutes={checkpoint_minutes!r}."
        )
    if isinstance(strategy, str):
        strategy = replicas.make_strategy(strategy)
    writes = strategy is None or replicas.is_chief(strategy)
    run = Run.prepare(recipe, arguments or {}, out, resume, writes)
    with run.alone(resume) if writes else contextlib.nullcontext():
        return _train(run, data_dir, strategy, writes, tensorboard, checkpoint_minutes, verbose)


def _train(run, data_dir, strategy, writes, tensorboard, checkpoint_minutes, verbose):
    spec = run.spec
    several = strategy is not None and replicas.is_multi_worker(strategy)
    examples = _load(spec, data_dir)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        model = build(
            spec, num_steps(spec, data.num_examples(examples["train"])), examples["train"]
        )
    if spec.initialize is not None:
        spec.initialize(model, examples["train"])
    # Reading a metric within an epoch takes all workers, and their clocks differ.
    checkpoint = Checkpoint(
        run.path, spec.keep, math.inf if several else checkpoint_minutes, writes
    )
    callbacks: list[keras.callbacks.Callback] = [checkpoint]
    if tensorboard:
        callbacks.append(_tensorboard(run.path / "tensorboard"))
    for name in checkpoint.FILES:
        run.assert_intact(name)
    initial_epoch, initial_step = checkpoint.restore(model)
    if writes:
        run.begin(model, strategy)
    try:
        model.fit(
            examples["train"],
            batch_size=spec.batch_size,
            epochs=spec.epochs,
            initial_epoch=initial_epoch,
            initial_step=initial_step,
            validation_data=examples["validation"],
            validation_batch_size=500,
            callbacks=callbacks,
            verbose=verbose,
        )
    except tf.errors.OpError as error:
        if not several:
            raise
        raise RuntimeError(
            f"Another worker stopped answering after epoch {len(checkpoint.history)} "
            f"({type(error).__name__}). Start all workers again with --resume: they go on from the "
            "last checkpoint."
        ) from error
    if writes:
        run.finish(model, checkpoint, examples["validation"])
    return run.path


def describe(
    recipe: str | Path,
    arguments: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> list[str]:
    """What `train` would run, as lines of text; nothing is written. Raises as `train` does."""
    run = Run.prepare(recipe, arguments or {}, out, resume=False)
    spec = run.spec
    examples = _load(spec, data_dir)
    sizes = {part: data.num_examples(arrays) for part, arrays in examples.items()}
    steps = num_steps(spec, sizes["train"])
    model = build(spec, steps, examples["train"])
    noun = model.observation.noun
    what = ", ".join(filter(None, (spec.dataset.binarization, spec.dataset.pictures)))
    return [
        f"recipe     {run.record['recipe']}: "
        f"{', '.join(f'{name}={value!r}' for name, value in run.record['arguments'].items())}",
        f"data       {spec.dataset.name} ({what}): "
        f"{sizes['train']:,} training {noun}s ({spec.dataset.train}), "
        f"{sizes['validation']:,} validation {noun}s ({spec.dataset.validation})",
        f"model      {spec.family}, {model.count_params():,} parameters",
        f"training   {spec.epochs:,} epochs, {steps:,} steps of {spec.batch_size} {noun}s, "
        f"as {model.execution} on {machine()}",
        f"output     {run.path}",
    ]


def build(
    spec: Recipe, num_steps: int | None = None, examples: Mapping[str, Any] | None = None
) -> CompiledModel:
    """The compiled model of a recipe, with its initial weights drawn from the recipe's seed, for a
    run of `num_steps` on `examples`; None: to look at."""
    keras.utils.set_random_seed(spec.seed)
    model = spec.model(examples) if spec.model_of_examples else spec.model()
    length = num_steps or 1  # of schedules
    others = {name: make(length) for name, make in spec.optimizers.items()}
    model.compile(spec.optimizer(length), optimizers=others)
    if num_steps is not None:
        model.fix_execution(num_steps, spec.batch_size)
    return model


def model_to_look_at(spec: Recipe, data_dir: str | Path | None = None) -> CompiledModel:
    """The model of a recipe before training; the examples are read where it is made from them."""
    examples = _load(spec, data_dir)["train"] if spec.model_of_examples else None
    return build(spec, examples=examples)


def num_steps(spec: Recipe, num_examples: int) -> int:
    """Training steps of the whole run."""
    return spec.epochs * math.ceil(num_examples / spec.batch_size)


def _load(spec, data_dir):
    """The examples of a run: dict of "train", as training sees them, and "validation"."""
    dataset = spec.dataset
    parts = {
        part: data.load(dataset, getattr(dataset, part), data_dir=data_dir)
        for part in ("train", "validation")
    }
    if dataset.flip:
        parts["train"] = data.with_mirror_images(parts["train"])
    if spec.training_examples is not None:
        parts["train"] = spec.training_examples(parts["train"])
    return parts


def _tensorboard(path):
    try:
        importlib.import_module("tensorboard")
    except ImportError:
        raise ValueError(
            "--tensorboard needs the package tensorboard: pip install 'vae-zoo[tensorboard]'."
        ) from None
    return keras.callbacks.TensorBoard(path)
