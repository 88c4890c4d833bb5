"""A run directory: what was run, with what, and what came of it.

    run.json             what was run, with what, the validation numbers at the end, and the
                         sha256 of the other files
    recipe.py            a copy of the recipe's file
    model.json           the model's architecture, which the run is opened by
    history.csv          the metrics of every epoch
    checkpoint.npz       weights, optimizer, metrics and history: after every epoch, and within
                         one every few minutes
    best.npz             weights of the epoch with the lowest validation loss, for recipes that
                         keep it
    model.weights.h5     the final weights
    *.png                reconstructions, samples, curves

A run may be somebody else's. Opening one runs nothing of theirs: its model is built from
`model.json`, and what its recipe says of data and numbers stands in `run.json`. Only going on with
a run executes its recipe, and says so.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from zoo import registry
from zoo.engine.compiled import CompiledModel
from zoo.files import alone_in, remove_half_written, write_atomically
from zoo.generators import generators_left_alone
from zoo.models import architecture
from zoo.recipe import Recipe, Task
from zoo.runs.asked import directory_of, names_a_run, recipe_to_go_on_with, was_killed_at_its_start
from zoo.runs.provenance import git_revision, machine, versions
from zoo.runs.records import (
    RECIPE,
    RECORD,
    as_json,
    epochs_in_full,
    is_run,
    lasting,
    of_record,
    plain,
    read_record,
    task_of,
)

logger = logging.getLogger("zoo")

ARCHITECTURE, WEIGHTS = "model.json", "model.weights.h5"
# What the record holds the sha256 of, where it is there.
HASHED = (RECIPE, ARCHITECTURE, "checkpoint.npz", "best.npz", WEIGHTS)


class Run:
    """A run directory and its record.

    Attributes:
        path: The directory.
        record: The content of run.json.
        task: What the model was trained for, without its code.
        spec: The `Recipe` with its arguments bound; None where the run was opened without running
            it.
    """

    def __init__(
        self,
        path: Path,
        record: dict[str, Any],
        task: Task,
        spec: Recipe | None = None,
    ) -> None:
        self.path = path
        self.record: dict[str, Any] = record
        self.task = task
        self.spec = spec

    @classmethod
    def open(cls, path: str | Path, recipe: str | Path | None = None) -> "Run":
        """The run in an existing directory. Nothing that lies in it is executed.

        Args:
            path: The directory.
            recipe: Name or file of the recipe to build the model by, in place of the kept
                architecture: for those who are about to run that recipe anyway, and whose model may
                hold layers of its own.

        Raises:
            ValueError: If the directory is not a run, or its record cannot be read.
        """
        path = Path(path)
        record = read_record(path)
        if recipe is not None:
            spec = of_record(registry.find(recipe).build(record["arguments"]), record)
            return cls(path, record, lasting(spec.task), spec)
        if "task" in record:
            return cls(path, record, task_of(record))
        return cls._open_older(path, record)

    @classmethod
    def _open_older(cls, path, record):
        """A run from before the record told its task and the directory held an architecture: a
        recipe of the registry still opens it."""
        if record.get("recipe_file"):
            raise ValueError(
                f"{str(path)!r} is a run of an older version, which only its recipe can open: "
                f"{record['recipe_file']}. If you trust that file, `zoo train "
                f"{record['recipe_file']} --resume --out {path}` runs it once and keeps what was "
                "missing."
            )
        spec = registry.find(record["recipe"]).build(record["arguments"])
        return cls(path, record, spec.task, spec)

    @classmethod
    def prepare(
        cls,
        recipe: str | Path,
        arguments: Mapping[str, Any],
        out: str | Path | None = None,
        resume: bool = False,
        writes: bool = True,
    ) -> "PreparedRun":
        """A run that may begin: everything about it checked, nothing written.

        Args:
            recipe: Name of a recipe, or path of a recipe file; to go on, also the run directory
                itself.
            arguments: Dict of the recipe's arguments that differ from their defaults.
            out: The run directory.
            resume: Whether it goes on from what `out` holds.
            writes: False where another process writes the directory, which then is its own.

        Raises:
            ValueError: If an argument or the directory is not what it should be.
        """
        path = directory_of(recipe, out)
        if resume and not was_killed_at_its_start(path):
            return cls._going_on(recipe, arguments, path)
        file = registry.find(recipe)
        if writes and not resume and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(
                f"{str(path)!r} exists and is not empty. "
                "Pass --resume to go on with it, or another --out."
            )
        bound = file.bind(arguments)
        plain(bound, file.name)  # what no record can hold is told now
        spec = file.build(bound)
        record = {
            "recipe": file.name,
            "registered": file.module is not None,
            "recipe_sha256": file.sha256,
            "arguments": bound,
            "epochs_in_full": epochs_in_full(file, bound),
            "status": "running",
            "versions": versions(),
            "git": git_revision(file.source),
            "machine": machine(),
        }
        return PreparedRun(path, record, spec, file)

    @classmethod
    def _going_on(cls, recipe, arguments, path):
        if not is_run(path) and not names_a_run(recipe):
            registry.find(recipe)  # a name that is no recipe's is told as such
        record = read_record(path)
        file = recipe_to_go_on_with(path, record, recipe)
        bound = file.bind(arguments)
        for name in arguments:
            # What was typed beside --resume has to be what the run was begun with; what was not
            # typed is the run's.
            kept = record["arguments"].get(name)
            if plain(bound, file.name)[name] != kept:
                raise ValueError(
                    f"{str(path)!r} was begun with {name}={kept!r} and can only go on with it. "
                    f"Received: {name}={bound[name]!r}."
                )
        spec = of_record(file.build(record["arguments"]), record)
        # A run of before told neither.
        record.setdefault("epochs_in_full", epochs_in_full(file, record["arguments"]))
        record.setdefault("registered", file.module is not None)
        record.pop("recipe_file", None)  # the run keeps a copy now
        revision = git_revision(file.source)
        if revision not in (record.get("git"), *record.get("git_resumed", [])):
            record["git_resumed"] = [*record.get("git_resumed", []), revision]
        return PreparedRun(path, record, spec, file)

    # -- What came of it

    @property
    def weights_path(self) -> Path:
        return self.path / WEIGHTS

    def load_model(self) -> CompiledModel:
        """The trained model, compiled: ready to evaluate, or to train further (with Adam at 3e-4).

        Raises:
            ValueError: If the run did not finish, its files are damaged, or its model cannot be
                built without code of the user's own.
        """
        if not self.weights_path.is_file():
            raise ValueError(
                f"{str(self.path)!r} holds no trained weights. Finish it with `zoo train "
                f"{self.record['recipe']} --resume`."
            )
        self.assert_intact(WEIGHTS)
        model = self._built()
        try:
            model.load_weights(self.weights_path)
        except Exception as error:  # a damaged file fails in many ways
            reason = " ".join(str(error).split())
            raise ValueError(
                f"The weights {str(self.weights_path)!r} cannot be read: {reason}. Train again."
            ) from None
        return architecture.ready(model)

    def _built(self):
        if self.spec is not None and not self.spec.model_of_examples:
            with generators_left_alone():
                return self.spec.model()
        path = self.path / ARCHITECTURE
        if not path.is_file():
            raise ValueError(
                f"{str(self.path)!r} holds no {ARCHITECTURE}, which its model is built from: a "
                "part of the model has no `get_config`. Give it one, and go on with the run: "
                f"`zoo train {self.record['recipe']} --resume`."
            )
        self.assert_intact(ARCHITECTURE)
        if self.record.get("registered"):
            # A recipe that is installed here may register layers of its own.
            with contextlib.suppress(ValueError):
                registry.find(self.record["recipe"]).load()
        return architecture.read(path)

    def docstring(self) -> str:
        """That of the recipe as it was run; it is read, not run."""
        return registry.RecipeFile(self.record["recipe"], self._kept_recipe(), None).docstring()

    def _kept_recipe(self):
        path = self.path / RECIPE
        if path.is_file():
            self.assert_intact(RECIPE)
            return path
        return registry.find(self.record["recipe"]).path

    def assert_intact(self, name: str) -> None:
        """Raises ValueError where a file is not the one that the record was written for."""
        path, expected = self.path / name, self.record.get("files", {}).get(name)
        if expected is not None and path.is_file() and _sha256(path) != expected:
            raise ValueError(
                f"{str(path)!r} cannot be read: it is damaged, for its sha256 is not the one of "
                f"{RECORD}. Restore it, or train again into another directory."
            )


class PreparedRun(Run):
    """A run that may begin, or go on: with the recipe that trains it. `Run.prepare` makes one."""

    spec: Recipe

    def __init__(
        self, path: Path, record: dict[str, Any], spec: Recipe, file: registry.RecipeFile
    ) -> None:
        super().__init__(path, record, lasting(spec.task), spec)
        self._file = file

    @contextlib.contextmanager
    def alone(self, resume: bool) -> Iterator[None]:
        """Makes the directory, and keeps other processes from training in it, for as long as the
        `with` and this process last.

        Raises:
            ValueError: If another process trains in it, or did since this run was prepared.
        """
        with alone_in(self.path, "trains"):
            if not resume and (self.path / RECORD).exists():
                raise ValueError(
                    f"Another process has trained in {str(self.path)!r}. Pass --resume to go on, "
                    "or another --out."
                )
            yield

    def begin(self, model: keras.Model, strategy: Any = None) -> None:
        """Writes what is known before the first step: record, recipe, architecture."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_half_written(self.path)
        kept = {RECIPE: self._file.source, ARCHITECTURE: self._architecture_of(model)}
        kept = {name: content for name, content in kept.items() if content is not None}
        finished = self._is_finished()
        self.record |= {
            "status": "finished" if finished else "running",
            "task": dataclasses.asdict(self.task),
            "recipe_sha256": self._file.sha256,
            "files": (self.record["files"] if finished else {})
            | {name: hashlib.sha256(content).hexdigest() for name, content in kept.items()},
            "seed": self.spec.seed,
            "mode": model.execution,
            "precision": model.dtype_policy.name,
            "deterministic": model.deterministic,
        }
        if strategy is not None:
            self.record["strategy"] = {
                "name": type(strategy).__name__,
                "replicas": strategy.num_replicas_in_sync,
            }
        self._write_record()
        for name, content in kept.items():
            if not (self.path / name).is_file() or (self.path / name).read_bytes() != content:
                write_atomically(self.path / name, content)

    def _architecture_of(self, model):
        """What `model.json` holds: of a run that goes on, what it held, for names of layers differ
        from process to process."""
        path = self.path / ARCHITECTURE
        if path.is_file() and _sha256(path) == self.record.get("files", {}).get(ARCHITECTURE):
            return path.read_bytes()
        try:
            return architecture.as_text(model).encode()
        except ValueError as error:
            logger.warning(
                "The run keeps no architecture, so that only its recipe can open it: %s", error
            )
            return None

    def finish(self, model: keras.Model, checkpoint: Any, validation: Mapping[str, Any]) -> None:
        """Writes the weights that the run keeps, its numbers and its pictures."""
        from zoo.evaluation import codes, latents
        from zoo.models.code_model import CodeModel

        kept = checkpoint.restore_kept(model)
        if self._is_finished():
            # They are what the recipe's `finish` made of them, which would be another thing twice.
            model.load_weights(self.weights_path)
        else:
            if self.spec.finish is not None:
                self.spec.finish(model, dict(validation))
            self._write_weights(model)
        self.record |= {
            "status": "finished",
            "epochs": len(checkpoint.history),
            "kept_epoch": kept["epoch"],
        }
        self.record["seconds"] = round(checkpoint.seconds, 1)
        self.record["numbers"] = {
            name: value for name, value in kept.items() if name.startswith("val_")
        }
        self.record["files"] = {
            name: _sha256(self.path / name) for name in HASHED if (self.path / name).is_file()
        }
        self._write_record()  # what follows looks at the run and is no part of it
        with _told_if_it_fails("pictures"):
            from zoo import plots

            noun = model.observation.noun
            plots.curves(checkpoint.history, path=self.path / "curves.png", noun=noun)
            plots.pictures(model, validation, self.path)
        with _told_if_it_fails("look at the latents"):
            look = codes if isinstance(model, CodeModel) else latents
            if message := look.collapse_of(model, validation):
                self.record["warning"] = message
                logger.warning(message)
                self._write_record()

    def _is_finished(self):
        """Whether the run had come to its end before, and its weights are those of then."""
        digest = self.record.get("files", {}).get(WEIGHTS)
        is_there = digest is not None and self.weights_path.is_file()
        return (
            self.record["status"] == "finished"
            and is_there
            and _sha256(self.weights_path) == digest
        )

    def _write_weights(self, model):
        with tempfile.TemporaryDirectory() as scratch:  # Keras writes a file bit by bit
            path = Path(scratch) / WEIGHTS
            model.save_weights(path)
            write_atomically(self.weights_path, path.read_bytes())

    def _write_record(self):
        content = json.dumps(self.record, indent=2, default=as_json) + "\n"
        write_atomically(self.path / RECORD, content.encode())


@contextlib.contextmanager
def _told_if_it_fails(what):
    try:
        yield
    except Exception as error:  # whatever a model of the user's own raises
        logger.warning(
            "The run is finished; its %s failed (%s: %s).", what, type(error).__name__, error
        )


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
