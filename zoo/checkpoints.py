"""What a run leaves on disk while it trains: enough to go on to the same bits, whenever it is killed."""

import csv
import io
import json
import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.files import write_atomically


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number."""


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer, metrics, history and elapsed seconds in one file that is replaced atomically.

    Nothing else has state: shuffling, binarization and latents are functions of the optimizer's step.

    Args:
        directory: Where `checkpoint.npz`, `history.csv` and, with `keep="best"`, `best.npz` are written.
        keep: "last", or "best": the weights of the epoch with the lowest validation loss are kept beside.
        minutes: How long training may go on without a checkpoint. One is written after every epoch in any case.
        writes: Whether this process is the one that writes.
    """

    def __init__(self, directory, keep="last", minutes=5.0, writes=True):
        super().__init__()
        self.directory = Path(directory)
        self.keep = keep
        self.minutes = minutes
        self.writes = writes
        self.history = []
        self.seconds = 0.0
        # Of the epoch that a restored run stands in: its metrics so far, and the steps that were taken before.
        self._metric_values, self._initial_step = [], 0

    def restore(self, model):
        """Loads the checkpoint, if there is one; returns the numbers of finished epochs and of finished steps of the next."""
        path = self.directory / "checkpoint.npz"
        if not path.is_file():
            return 0, 0
        model.build_optimizer()
        state = read_arrays(path, [*model.weights, *model.optimizer.variables])
        self.history, self.seconds = state["history"], state["seconds"]
        self._metric_values, self._initial_step = state["metrics"], state["step"]
        return len(self.history), state["step"]

    def restore_kept(self, model):
        """Gives the model the weights that the run keeps; returns their epoch's row of the history."""
        if self.keep == "last":
            return self.history[-1]
        read_arrays(self.directory / "best.npz", model.weights)
        return self._best()

    def _best(self):
        return min(self.history, key=lambda row: row["val_loss"])

    # -- Keras's hooks

    def on_train_begin(self, logs=None):
        self._started = time.perf_counter() - self.seconds
        self._saved = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        # Keras has just reset the metrics.
        for variable, value in zip(self.model.metrics_variables, self._metric_values, strict=False):
            variable.assign(value)
        self._metric_values = []

    def on_train_batch_end(self, batch, logs=None):
        if batch < self._initial_step:
            return  # an empty call: the model stands further on
        if self.writes and time.perf_counter() - self._saved >= 60 * self.minutes:
            self._save(step=batch + 1, metrics=[float(variable) for variable in map(tf.convert_to_tensor, self.model.metrics_variables)])

    def on_epoch_end(self, epoch, logs=None):
        if not all(math.isfinite(value) for value in logs.values()):
            raise TrainingDiverged(
                f"The loss became {logs['loss']} in epoch {epoch + 1}. Lower the learning rate; "
                f"the last checkpoint before is kept in {self.directory}."
            )
        self._initial_step = 0
        self.history.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})
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

    def _save(self, step, metrics=()):
        self._saved = time.perf_counter()
        self.seconds = self._saved - self._started
        state = {"history": self.history, "seconds": self.seconds, "step": step, "metrics": list(metrics)}
        write_arrays(self.directory / "checkpoint.npz", [*self.model.weights, *self.model.optimizer.variables], state)


def write_arrays(path, variables, state=None):
    """Writes the values of variables, and a state that JSON can hold, in one file."""
    buffer = io.BytesIO()
    np.savez(buffer, state=json.dumps(state), **{str(i): np.asarray(tf.convert_to_tensor(v)) for i, v in enumerate(variables)})
    write_atomically(path, buffer.getbuffer())


def read_arrays(path, variables):
    """Assigns what `write_arrays` wrote; returns its state.

    Raises:
        ValueError: If the file cannot be read or does not fit.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            state = json.loads(str(archive["state"]))
            values = [archive[str(i)] for i in range(len(variables))]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except Exception as error:  # a truncated archive fails in many ways
        raise ValueError(f"The checkpoint {str(path)!r} cannot be read: {error}. Train again into another directory.") from None
    return state
