"""Vectors of numbers in any range, of which some may be missing."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.observations.base import Observation, is_symbolic
from zoo.observations.numbers import as_batch, as_rows
from zoo.random import RowNoise


@keras.saving.register_keras_serializable(package="zoo")
class Vector(Observation):
    """Vectors [D] of numbers.

    Args:
        shape: D, or (D,).
        missing: Whether NaN stands for a number that was not seen. The likelihood then counts what
            was, and the encoder gets 0 in its place and, behind the vector, 1 where a number was
            seen and 0 where not: [B, 2 D].
    """

    key = "vector"
    noun = "vector"

    def __init__(self, shape: int | tuple[int, ...], missing: bool = False) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.missing = missing

    def check(self, x: Any) -> dict[str, Any]:
        vectors = as_rows(x, self.noun, self.shape).astype(np.float32, copy=False)
        if np.isinf(vectors).any():
            raise ValueError("Vectors must hold finite numbers. Received: infinity.")
        if not self.missing and np.isnan(vectors).any():
            count = int(np.isnan(vectors).any(axis=-1).sum())
            raise ValueError(
                f"Vectors must hold finite numbers. Received: {count} vectors with NaN. "
                "Where NaN means that a number is missing, pass "
                f"`observation=zoo.observations.Vector({self.shape[0]}, missing=True)`."
            )
        return {self.key: vectors}

    def check_stream(self, x: Any) -> dict[str, tf.Tensor]:
        x = tf.cast(as_batch(x, self.noun, self.shape), tf.float32)
        good = tf.reduce_all(~tf.math.is_inf(x) if self.missing else tf.math.is_finite(x))
        what = "infinity" if self.missing else "NaN or infinity"
        message = f"Vectors must hold finite numbers. Received: a batch with {what}."
        with tf.control_dependencies([tf.debugging.Assert(good, [message])]):
            return {self.key: tf.identity(x)}

    def prepare(self, stored: Mapping[str, Any], noise: RowNoise) -> dict[str, tf.Tensor]:
        return self._with_mask(tf.cast(stored[self.key], tf.float32))

    def as_tensors(self, x: Any) -> dict[str, tf.Tensor]:
        if not is_symbolic(x):
            checked = self.check(x)[self.key]
            # The tensor itself, through which a gradient may pass.
            x = x if tf.is_tensor(x) else checked
        return self._with_mask(tf.cast(x, tf.float32))

    def _with_mask(self, x):
        if not self.missing:
            return {self.key: x}
        seen = ~tf.math.is_nan(x)
        return {self.key: tf.where(seen, x, 0.0), "observed": tf.cast(seen, tf.float32)}

    def moments(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        vectors = self.check(x)[self.key]
        seen = ~np.isnan(vectors)
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, vectors, 0.0).sum(axis=0, dtype=np.float64) / count
        variance = np.where(seen, (vectors - mean) ** 2, 0.0).sum(axis=0, dtype=np.float64) / count
        scale = np.where(variance > 0, np.sqrt(variance), 1.0)  # of a constant there is none
        return tf.constant(mean, tf.float32), tf.constant(scale, tf.float32)

    def encoder_input(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        x = data[self.key]
        if not self.missing:
            return x
        observed = data.get("observed")
        return tf.concat([x, tf.ones_like(x) if observed is None else observed], axis=-1)

    @staticmethod
    def made_up(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    def blank(self) -> dict[str, tf.Tensor]:
        return self._with_mask(super().blank()[self.key])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "missing": self.missing}
