"""What the networks of the package share."""

import math
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from zoo.tensors import static_sizes


def size_of(shape: Iterable[int | None] | None) -> int:
    """Number of elements of one example of a batch shape; 0 for no batch at all."""
    return 0 if shape is None else math.prod(static_sizes(tuple(shape)[1:]))


def concatenate_flat(x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
    """[B, ...] and [B, ...] or None -> [B, F]."""
    x = tf.reshape(x, (-1, size_of(x.shape)))
    if condition is None:
        return x
    condition = tf.reshape(tf.cast(condition, x.dtype), (-1, size_of(condition.shape)))
    return tf.concat([x, condition], axis=-1)


class Network(keras.layers.Layer):
    """What the networks share: their arguments are their configuration."""

    _ARGUMENTS = ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in self._ARGUMENTS}}

    def compute_output_shape(
        self,
        x_shape: tuple[int | None, ...],
        condition_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, int]:
        return (x_shape[0], self.output_size)
