"""What a run leaves on disk while it trains: enough to go on to the same bits, whenever it is
killed."""

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from zoo.engine.execution import generator_states
from zoo.files import write_atomically
from zoo.forms import NUMBER, check_form

if TYPE_CHECKING:
    from zoo.engine.compiled import CompiledModel

STATE = {
    "history": [{"epoch": int, str: NUMBER}],
    "seconds": NUMBER,
    "step": int,
    "metrics": [NUMBER],
}


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number."""


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer, metrics, history and elapsed seconds in one file that is replaced
    atomically.

    Only finite values are written, so that a run which diverged is resumed from before. Beside the
    weights, only the generators of Keras's own Dropout and noise layers have a state: shuffling,
    binarization and latents are functions of the step.

    Args:
        directory: Where `checkpoint.npz`, `history.csv` and, with `keep="best"`, `best.npz` are
            written.
        keep: "last", or "best": the weights of the epoch with the lowest validation loss are kept
            beside.
        minutes: How long training may go on without a checkpoint. One is written after every epoch
            in any case.
        writes: Whether this process is the one that writes.
    """

    FILES = ("checkpoint.npz", "best.npz")
    per_block = True  # time is looked at once a block
    # So that even an epoch with no step left may be gone on with: it is validated.
    restores_metrics = True
    model: "CompiledModel"  # which Keras sets before it calls anything here

    def __init__(
        self, directory: str | Path, keep: str = "last", minutes: float = 5.0, writes: bool = True
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.keep = keep
        self.minutes = minutes
        self.writes = writes
        self.history = []
        self.seconds = 0.0
        # Of the epoch that a restored run stands in: its metrics so far, and the steps that were
        # taken before.
        self._metric_values, self._initial_step = [], 0

    def restore(self, model: keras.Model) -> tuple[int, int]:
        """Loads the checkpoint, if there is one; returns the numbers of finished epochs and of
        finished steps of the next.

        Raises:
            ValueError: If it cannot be read, is none of this model, or holds values that are not
                finite.
        """
        path = self.directory / "checkpoint.npz"
        if not path.is_file():
            return 0, 0
        model.build_optimizer()
        state = read_arrays(path, self._variables(model), STATE)
        self.history, self.seconds = state["history"], state["seconds"]
        self._metric_values, self._initial_step = state["metrics"], state["step"]
        return len(self.history), state["step"]

    def restore_kept(self, model: keras.Model) -> dict[str, Any]:
        """Gives the model the weights that the run keeps; returns their epoch's row of the
        history."""
        if self.keep == "last":
            return self.history[-1]
        read_arrays(self.directory / "best.npz", model.weights)
        return self._best()

    @staticmethod
    def _variables(model):
        return [*model.weights, *generator_states(model), *model.training_state]

    def _best(self):
        return min(self.history, key=lambda row: row["val_loss"])

    # -- Keras's hooks

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._started = time.perf_counter() - self.seconds
        self._saved = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Keras has just reset the metrics.
        for variable, value in zip(self.model.metrics_variables, self._metric_values, strict=False):
            variable.assign(value)
        self._metric_values = []

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if batch < self._initial_step:
            return  # an empty call: the model stands further on
        if time.perf_counter() - self._saved >= 60 * self.minutes:
            metrics = [
                float(variable)
                for variable in map(tf.convert_to_tensor, self.model.metrics_variables)
            ]
            self._assert_finite(logs, len(self.history) + 1, metrics)
            if self.writes:
                self._save(step=batch + 1, metrics=metrics)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = logs or {}
        self._assert_finite(logs, epoch + 1)
        self._initial_step = 0
        self.history.append(
            {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        )
        if not self.writes:
            return
        if self.keep == "best" and self._best() is self.history[-1]:
            write_arrays(self.directory / "best.npz", self.model.weights)
        self._save(step=0)
        table = io.StringIO()
        writer = csv.DictWriter(table, self.history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_atomically(self.directory / "history.csv", table.getvalue().encode())

    def _assert_finite(self, logs, epoch, metrics=()):
        """Raises `TrainingDiverged` where the metrics or the model that would be kept now are not
        finite."""
        loss = float(logs.get("loss", math.nan))
        wrong = {name: float(value) for name, value in logs.items() if not math.isfinite(value)}
        if not math.isfinite(loss):
            problem = f"The loss became {loss}"
        elif wrong or not all(map(math.isfinite, metrics)):
            told = ", ".join(f"{name}={value}" for name, value in wrong.items())
            problem = f"Metrics became NaN or infinite{f' ({told})' if told else ''}"
        elif not all(map(_is_finite, self._variables(self.model))):
            problem = f"Weights became NaN or infinite (the loss was {loss:.6g})"
        else:
            return
        raise TrainingDiverged(
            f"{problem} in epoch {epoch}. Lower the learning rate; {self._what_is_kept()}."
        )

    def _what_is_kept(self):
        path = self.directory / "checkpoint.npz"
        if not path.is_file():
            return (
                f"no checkpoint had been written before, so that {self.directory} keeps nothing "
                "to go on with"
            )
        return f"the last checkpoint before is kept in {self.directory}"

    def _save(self, step, metrics=()):
        self._saved = time.perf_counter()
        self.seconds = self._saved - self._started
        state = {
            "history": self.history,
            "seconds": self.seconds,
            "step": step,
            "metrics": list(metrics),
        }
        write_arrays(self.directory / "checkpoint.npz", self._variables(self.model), state)


def write_arrays(
    path: Path, variables: Sequence[keras.Variable], state: dict[str, Any] | None = None
) -> None:
    """Writes the values of variables, and a state that JSON can hold, in one file."""
    # Of any kind: NumPy has arguments of its own beside, and no array is called as they are.
    arrays: dict[str, Any] = {str(i): _value(variable) for i, variable in enumerate(variables)}
    buffer = io.BytesIO()
    np.savez(buffer, state=json.dumps(state), **arrays)
    write_atomically(path, buffer.getbuffer())


def read_arrays(
    path: Path, variables: Sequence[keras.Variable], form: dict[str, Any] | None = None
) -> Any:
    """Assigns what `write_arrays` wrote; returns its state. Nothing is assigned unless everything
    fits.

    Args:
        path: The file.
        variables: Those that were written.
        form: What the state has to look like, as in `zoo.forms.check_form`.

    Raises:
        ValueError: If the file cannot be read, does not fit, or holds values that are not finite.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            state = json.loads(str(archive["state"]))
            values = [archive[str(i)] for i in range(len(variables))]
            if len(archive.files) != 1 + len(variables):
                raise ValueError(
                    f"it holds {len(archive.files) - 1} arrays, and the model has {len(variables)}"
                )
        if form is not None:
            check_form(state, form, "its state")
        for variable, value in zip(variables, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise ValueError(
                    f"an array has the shape {value.shape}, and the model's has "
                    f"{tuple(variable.shape)}"
                )
    except Exception as error:  # a truncated archive fails in many ways
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"The checkpoint {str(path)!r} cannot be read: {reason}. Train again into another "
            "directory."
        ) from None
    if not all(map(_is_finite, values)):
        raise ValueError(
            f"The checkpoint {str(path)!r} holds weights that are NaN or infinite, which no "
            "training comes back from. Train again into another directory, with a lower learning "
            "rate."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return state


def _value(variable):
    return np.asarray(tf.convert_to_tensor(variable))


def _is_finite(variable):
    value = variable if isinstance(variable, np.ndarray) else _value(variable)
    return bool(np.all(np.isfinite(value)))
