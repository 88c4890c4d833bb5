"""One compiled program that trains and scores several models of one form, one after another."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from zoo.models.anomaly_model import column_nats
from zoo.models.latent_variable import LatentVariableModel
from zoo.random import RowNoise

# Rows that are scored at once: the last of them are repeated to fill the shape, so that one program
# serves any number.
CHUNK = 256
# Steps of a pass over the data; fewer rows are repeated to make so many.
PASS_STEPS = 100


class Program:
    """A compiled model whose weights come and go: what it was traced and compiled for serves all
    members of a mixture.

    Args:
        model: A compiled model with latents.
        num_samples: Importance samples of a score.
    """

    def __init__(self, model: LatentVariableModel, num_samples: int) -> None:
        self.model = model
        self.num_samples = num_samples
        model.build_optimizer()
        self._beginning = [np.array(variable) for variable in model.training_state]
        jit = model.execution == "xla-block"
        self._log_prob = tf.function(self._measure, jit_compile=jit, autograph=False)
        self._columns = tf.function(self._tell_columns, jit_compile=jit, autograph=False)

    def train(
        self,
        weights: Sequence[np.ndarray],
        rows: Mapping[str, np.ndarray],
        num_steps: int,
        batch_size: int,
        generator: np.random.Generator,
        jitter: float = 0.0,
    ) -> list[np.ndarray]:
        """Trains from `weights` on, for whole passes of 100 steps.

        Args:
            weights: Those of a new model of the same form.
            rows: Dict of arrays [N, ...].
            num_steps: Steps, rounded to whole passes.
            batch_size: B.
            generator: Of the order of the rows, and of the jitter.
            jitter: Standard deviation of the noise that each repeat of a row has.

        Returns:
            The weights after training.
        """
        steps = min(PASS_STEPS, num_steps)
        num_rows = len(next(iter(rows.values())))
        passes = -(-steps * batch_size // num_rows)
        order = np.concatenate([generator.permutation(num_rows) for _ in range(passes)])
        order = order[
            : len(order) // batch_size * batch_size if passes == 1 else steps * batch_size
        ]
        if not len(order):  # a batch is more than there are rows
            order = generator.permutation(num_rows)
        self.model.set_weights(list(weights))
        for variable, value in zip(self.model.training_state, self._beginning, strict=True):
            variable.assign(value)
        table = {name: array[order] for name, array in rows.items()}
        if jitter:
            table = {
                name: array + jitter * generator.standard_normal(array.shape, np.float32)
                for name, array in table.items()
            }
        observation = self.model.observation
        if observation.key in table:
            table[observation.key] = observation.checked(table[observation.key])
        per_pass = -(-len(order) // batch_size)
        self.model.fit(
            table, batch_size=batch_size, epochs=max(1, round(num_steps / per_pass)), verbose=0
        )
        return self.model.get_weights()

    def log_prob(self, weights: Sequence[np.ndarray], rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """log p(x) of each row, nats [N]. Every row is given the same draws."""
        return self._over_chunks(self._log_prob, weights, rows)

    def columns(self, weights: Sequence[np.ndarray], rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """-log p(x_j|z) of each column, averaged over the importance samples: nats [N, C]."""
        return self._over_chunks(self._columns, weights, rows)

    def _over_chunks(self, function, weights, rows):
        self.model.set_weights(list(weights))
        num_rows, parts = len(next(iter(rows.values()))), []
        for first in range(0, num_rows, CHUNK):
            numbers = np.minimum(np.arange(first, first + CHUNK), num_rows - 1)
            values = function({name: tf.constant(array[numbers]) for name, array in rows.items()})
            parts.append(values.numpy()[: num_rows - first])
        return np.concatenate(parts).astype(np.float64)

    def _noise(self, stored):
        """One row's draws for all: a score does not depend on where its row stands. Images are
        binarized by them."""
        return RowNoise(0, 0, tf.zeros_like(tf.range(tf.shape(next(iter(stored.values())))[0])))

    def _measure(self, stored: dict[str, tf.Tensor]) -> tf.Tensor:
        noise = self._noise(stored)
        data = self.model.prepare(stored, noise)
        return self.model.importance_sums(data, noise, self.num_samples)[0].log_mean(
            self.num_samples
        )

    def _tell_columns(self, stored: dict[str, tf.Tensor]) -> tf.Tensor:
        noise = self._noise(stored)
        return column_nats(self.model, self.model.prepare(stored, noise), noise, self.num_samples)[
            1
        ]
