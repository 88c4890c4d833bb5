"""Running a recipe: seed, data, fit, checkpoints, resume, and the record of the run.

A run directory holds

    run.json             what was run, with what, and the validation numbers at the end
    history.csv          the metrics of every epoch
    checkpoint.npz       weights, optimizer, metrics and history: after every epoch, and within one every few minutes
    best.npz             weights of the epoch with the lowest validation loss, for recipes that keep it
    model.weights.h5     the final weights
    *.png                reconstructions, samples, curves
"""

import contextlib
import importlib.metadata
import json
import logging
import math
import os
import platform
import subprocess
from pathlib import Path

import keras
import tensorflow as tf

from zoo import data, registry, replicas
from zoo.checkpoints import Checkpoint
from zoo.files import alone_in, remove_half_written, write_atomically

logger = logging.getLogger("zoo")

PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets", "numpy")


def train(
    recipe,
    arguments=None,
    *,
    out=None,
    data_dir=None,
    resume=False,
    strategy=None,
    tensorboard=False,
    checkpoint_minutes=5.0,
    verbose="auto",
):
    """Trains a recipe into a run directory.

    Args:
        recipe: Name of a recipe, or path of a recipe file.
        arguments: Dict of the recipe's arguments that differ from their defaults.
        out: The run directory; by default `runs/<recipe>`.
        data_dir: As in `zoo.data.load`.
        resume: Go on from the last checkpoint in `out`. On the same machine's CPU the result is the same to the bit as that of a run that
            was never stopped.
        strategy: None (one device), "mirrored" (all devices of this machine), "multi_worker" (this process is one of several, each of which
            calls `train` alike; `out` lies where all can read), or a `tf.distribute.Strategy`. The batch is divided among the devices.
        tensorboard: Write TensorBoard logs to `out/tensorboard`.
        checkpoint_minutes: Checkpoints are written after every epoch, and within an epoch this often.
        verbose: As in Keras's `fit`.

    Returns:
        The run directory, as a `Path`.

    Raises:
        ValueError: If an argument, the data or the run directory are not what they should be.
        TrainingDiverged: If the loss becomes NaN or infinite.
        RuntimeError: If another worker stops.
    """
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
        model = build(spec, num_steps(spec, len(examples["train"]["image"])))
    if spec.initialize is not None:
        spec.initialize(model, examples["train"])
    # Reading a metric within an epoch takes all workers, and their clocks differ.
    checkpoint = Checkpoint(run.path, spec.keep, math.inf if several else checkpoint_minutes, writes)
    callbacks = [checkpoint, _tensorboard(run.path / "tensorboard")] if tensorboard else [checkpoint]
    if writes:
        run.begin(model, strategy)
    initial_epoch, initial_step = checkpoint.restore(model)
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
            f"Another worker stopped answering after epoch {len(checkpoint.history)} ({type(error).__name__}). Start all workers again "
            "with --resume: they go on from the last checkpoint."
        ) from error
    if writes:
        run.finish(model, checkpoint, examples["validation"])
    return run.path


def describe(recipe, arguments=None, *, out=None, data_dir=None):
    """What `train` would run, as lines of text; nothing is written. Raises as `train` does."""
    run = Run.prepare(recipe, arguments or {}, out, resume=False)
    spec = run.spec
    sizes = {part: len(arrays["image"]) for part, arrays in _load(spec, data_dir).items()}
    steps = num_steps(spec, sizes["train"])
    model = build(spec, steps)
    return [
        f"recipe     {run.record['recipe']}: {', '.join(f'{name}={value!r}' for name, value in run.record['arguments'].items())}",
        f"data       {spec.dataset.name} ({spec.dataset.binarization}): {sizes['train']:,} training images ({spec.dataset.train}), "
        f"{sizes['validation']:,} validation images ({spec.dataset.validation})",
        f"model      {spec.family}, {model.count_params():,} parameters",
        f"training   {spec.epochs:,} epochs, {steps:,} steps of {spec.batch_size} images, as {model.execution} on {machine()}",
        f"output     {run.path}",
    ]


def build(spec, num_steps=1):
    """The compiled model of a recipe, with its initial weights drawn from the recipe's seed."""
    keras.utils.set_random_seed(spec.seed)
    model = spec.model()
    model.compile(spec.optimizer(num_steps))
    return model


def num_steps(spec, num_examples):
    """Training steps of the whole run."""
    return spec.epochs * math.ceil(num_examples / spec.batch_size)


def _load(spec, data_dir):
    """The examples of a run: dict of "train", as training sees them, and "validation"."""
    dataset = spec.dataset
    parts = {
        part: data.load(dataset.name, getattr(dataset, part), data_dir=data_dir, binarization=dataset.binarization)
        for part in ("train", "validation")
    }
    if spec.training_examples is not None:
        parts["train"] = spec.training_examples(parts["train"])
    return parts


class Run:
    """A run directory and its record.

    Attributes:
        path: The directory.
        record: The content of run.json.
        spec: The `Recipe` with its arguments bound.
    """

    def __init__(self, path, record):
        self.path = path
        self.record = record
        self.spec = registry.find(record.get("recipe_file") or record["recipe"]).build(record["arguments"])

    @classmethod
    def open(cls, path):
        """The run in an existing directory.

        Raises:
            ValueError: If the directory is not a run, or its record cannot be read.
        """
        path = Path(path)
        try:
            record = json.loads((path / "run.json").read_text(encoding="utf-8"))
            record["recipe"], record["arguments"]
        except FileNotFoundError:
            raise ValueError(f"{str(path)!r} is not a run directory: it holds no run.json. `zoo train` makes one.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"The record {str(path / 'run.json')!r} is damaged: {error}. Train again into another directory.") from None
        return cls(path, record)

    @classmethod
    def prepare(cls, recipe, arguments, out, resume, writes=True):
        """A run that may begin: everything about it checked, nothing written. Where another process writes, the directory is its own."""
        file = registry.find(recipe)
        path = Path(out or Path("runs") / file.name)
        if resume and not _was_killed_at_its_start(path):
            run = cls.open(path)
            run._check_same(file, arguments)
            return run
        bound = file.bind(arguments)
        if writes and not resume and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{str(path)!r} exists and is not empty. Pass --resume to go on with it, or another --out.")
        record = {
            "recipe": file.name,
            "recipe_file": str(file.path) if file.module is None else None,
            "arguments": bound,
            "status": "running",
            "versions": {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES},
            "git": git_revision(),
            "machine": machine(),
        }
        return cls(path, record)

    def _check_same(self, file, arguments):
        """What was typed beside --resume has to be what the run was begun with; what was not typed is the run's."""
        if self.record["recipe"] != file.name:
            raise ValueError(f"{str(self.path)!r} is a run of {self.record['recipe']!r}. Received: {file.name!r}.")
        bound = file.bind(arguments)
        for name in arguments:
            kept = self.record["arguments"].get(name)
            if json.loads(json.dumps(bound[name])) != kept:
                raise ValueError(
                    f"{str(self.path)!r} was begun with {name}={kept!r} and can only go on with it. Received: {name}={bound[name]!r}."
                )

    @contextlib.contextmanager
    def alone(self, resume):
        """Makes the directory, and keeps other processes from training in it, for as long as the `with` and this process last.

        Raises:
            ValueError: If another process trains in it, or did since this run was prepared.
        """
        with alone_in(self.path, "trains"):
            if not resume and (self.path / "run.json").exists():
                raise ValueError(f"Another process has trained in {str(self.path)!r}. Pass --resume to go on, or another --out.")
            yield

    def begin(self, model, strategy=None):
        self.path.mkdir(parents=True, exist_ok=True)
        remove_half_written(self.path)
        self.record["seed"] = self.spec.seed
        self.record["mode"] = model.execution
        self.record["precision"] = model.dtype_policy.name
        self.record["deterministic"] = model.deterministic
        if strategy is not None:
            self.record["strategy"] = {"name": type(strategy).__name__, "replicas": strategy.num_replicas_in_sync}
        self._write_record()

    def finish(self, model, checkpoint, validation):
        from zoo import plots
        from zoo.evaluation import latents

        kept = checkpoint.restore_kept(model)
        model.save_weights(self.weights_path)
        numbers = {name: value for name, value in kept.items() if name.startswith("val_")}
        self.record |= {"status": "finished", "epochs": len(checkpoint.history), "kept_epoch": kept["epoch"]}
        self.record |= {"seconds": round(checkpoint.seconds, 1), "numbers": numbers}
        self._write_record()  # what follows looks at the run and is no part of it
        with _told_if_it_fails("pictures"):
            plots.curves(checkpoint.history, path=self.path / "curves.png")
            plots.pictures(model, validation, self.path)
        with _told_if_it_fails("look at the latents"):
            if message := latents.collapse_of(model, validation):
                self.record["warning"] = message
                logger.warning(message)
                self._write_record()

    @property
    def weights_path(self):
        return self.path / "model.weights.h5"

    def load_model(self):
        """The trained model.

        Raises:
            ValueError: If the run did not finish, or its weights cannot be read.
        """
        if not self.weights_path.is_file():
            raise ValueError(f"{str(self.path)!r} holds no trained weights. Finish it with `zoo train {self.record['recipe']} --resume`.")
        model = build(self.spec)
        model.build_optimizer()  # the file holds its state as well
        try:
            model.load_weights(self.weights_path)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"The weights {str(self.weights_path)!r} cannot be read: {error}") from None
        return model

    def _write_record(self):
        write_atomically(self.path / "run.json", (json.dumps(self.record, indent=2) + "\n").encode())


@contextlib.contextmanager
def _told_if_it_fails(what):
    try:
        yield
    except Exception as error:  # whatever a model of the user's own raises
        logger.warning("The run is finished; its %s failed (%s: %s).", what, type(error).__name__, error)


def _was_killed_at_its_start(path):
    """Whether a run directory was made, and its process killed before there was a record."""
    return path.is_dir() and all(file.name.startswith(".run.json.") for file in path.iterdir())


def git_revision():
    """Revision of the checkout that the package runs from, with "-dirty" where tracked files differ; None outside a checkout."""

    def git(*arguments):
        return subprocess.run(["git", "-C", Path(__file__).parent, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def machine():
    """The processor or GPU that TensorFlow uses, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
        return f"{len(gpus)}x {names[0]}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{cores} CPU core{'s' if cores > 1 else ''}, {name}"


def _tensorboard(path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise ValueError("--tensorboard needs the package tensorboard: pip install 'vae-zoo[tensorboard]'.") from None
    return keras.callbacks.TensorBoard(path)
