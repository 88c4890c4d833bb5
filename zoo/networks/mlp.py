"""Dense networks."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.layers.base import shape_tuple
from zoo.networks.base import Network, concatenate_flat, size_of


@keras.saving.register_keras_serializable(package="zoo")
class MLP(Network):
    """Dense layers over the flattened input; the condition is appended to it.

    Args:
        hidden_units: Widths of the hidden layers.
        output_size: Number of outputs, linear.
        activation: Of the hidden layers, as in Keras. With "glu" each unit is multiplied by a
            sigmoid gate of its own (Dauphin et al., ICML 2017, https://arxiv.org/abs/1612.08083).
    """

    _ARGUMENTS = ("hidden_units", "output_size", "activation")

    def __init__(
        self,
        hidden_units: int | Sequence[int],
        output_size: int,
        activation: str | Callable[..., Any] | None = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = shape_tuple(hidden_units, "hidden_units")
        (self.output_size,) = shape_tuple(output_size, "output_size")
        self.activation = activation
        pieces = 2 if activation == "glu" else 1  # a unit and its gate
        hidden = [
            keras.layers.Dense(pieces * units, activation, dtype=self.dtype_policy)
            for units in self.hidden_units
        ]
        self.stack = [*hidden, keras.layers.Dense(self.output_size, dtype=self.dtype_policy)]

    def build(
        self,
        x_shape: tuple[int | None, ...],
        condition_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        size = size_of(x_shape) + size_of(condition_shape)
        for layer, units in zip(self.stack, (*self.hidden_units, self.output_size), strict=True):
            layer.build((None, size))
            size = units

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = concatenate_flat(x, condition)  # [B, F]
        for layer in self.stack:
            h = layer(h)
        return h

    def set_output_bias(self, values: Any) -> None:
        """Sets what the network gives before it has learned anything: [output_size]."""
        _, bias = self.stack[-1].weights  # kernel and bias
        bias.assign(values)
