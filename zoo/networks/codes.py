"""The contract of networks over codes."""

import math
from typing import Any, cast

import keras
import tensorflow as tf

from zoo import validation
from zoo.networks.base import Network, size_of
from zoo.tensors import static_sizes

Shape = tuple[int | None, ...]
Cache = Any


class CodeNetwork(Network):
    """Codes int [B, *codes_shape] -> logits of each, float32 [B, N, K].

    The N codes stand in a row: row by row of the grid, and of several codes at a place one after
    the other.

    Attributes:
        num_codes: K.
        codes_shape, num_positions: Of what it was built on; N is their product.
    """

    num_codes: int

    def __init__(self, num_codes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_codes = validation.integer("num_codes", num_codes, least=2)

    def build(self, codes_shape: Shape, condition_shape: Shape | None = None) -> None:
        self.codes_shape = static_sizes(tuple(codes_shape)[1:])
        self.num_positions = math.prod(self.codes_shape)

    def compute_output_shape(
        self, codes_shape: Shape, condition_shape: Shape | None = None
    ) -> Shape:
        return (codes_shape[0], math.prod(static_sizes(codes_shape[1:])), self.num_codes)


def given(condition: tf.Tensor | None) -> tf.Tensor:
    """A condition [B, ...] as vectors [B, C].

    Raises:
        ValueError: If there is none.
    """
    if condition is None:
        raise ValueError("The network was built with a condition. Received: condition=None.")
    return tf.reshape(condition, (-1, size_of(condition.shape)))


def embedding(num_codes: int, width: int, policy: Any) -> keras.layers.Embedding:
    """Codes -> vectors, small enough that what stands beside them counts."""
    initializer = keras.initializers.RandomNormal(stddev=0.02)
    return keras.layers.Embedding(num_codes, width, cast("str", initializer), dtype=policy)
