"""What the networks of the package share."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops


def size_of(shape: tuple[int, ...] | None) -> int:
    """Number of elements of one example of a batch shape; 0 for no batch at all."""
    return 0 if shape is None else math.prod(shape[1:])


def concatenate_flat(x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
    """[B, ...] and [B, ...] or None -> [B, F]."""
    x = ops.reshape(x, (-1, math.prod(x.shape[1:])))
    if condition is None:
        return x
    condition = ops.reshape(ops.cast(condition, x.dtype), (-1, math.prod(condition.shape[1:])))
    return ops.concatenate([x, condition], axis=-1)


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
