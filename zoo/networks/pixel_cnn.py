"""The gated PixelCNN: masked convolutions over a grid of codes."""

from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.layers.noise import Dropout
from zoo.networks.base import size_of
from zoo.networks.codes import Cache, CodeNetwork, Shape, embedding, given


@keras.saving.register_keras_serializable(package="zoo")
class GatedPixelCNN(CodeNetwork):
    """Two stacks of gated convolutions: one sees the rows above, the other what stands to the left
    and the first. Together they see all before, and nothing else.

    van den Oord et al., "Conditional image generation with PixelCNN decoders", NeurIPS 2016,
    section 2 and figure 2. https://arxiv.org/abs/1606.05328

    Codes of one row, [B, N], are a grid of height 1. Of several at a place, [B, H, W, n], each row
    of the grid is W n codes wide.

    Args:
        num_codes: K.
        filters: Channels of each stack.
        num_layers: Number of layers.
        kernel_size: Width of the convolutions, odd; they see half of it, and one row more, upwards.
        dropout: Fraction that is dropped of each layer's output in training, by row.

    Raises:
        ValueError: If an argument is out of its range.
    """

    _ARGUMENTS = ("num_codes", "filters", "num_layers", "kernel_size", "dropout")

    def __init__(
        self,
        num_codes: int,
        filters: int = 64,
        num_layers: int = 8,
        kernel_size: int = 5,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_codes, **kwargs)
        self.filters = validation.integer("filters", filters)
        self.num_layers = validation.integer("num_layers", num_layers)
        self.kernel_size = validation.integer("kernel_size", kernel_size)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}.")
        self.dropout = dropout
        policy = self.dtype_policy
        self.embed = embedding(self.num_codes, self.filters, policy)
        self.layers = [
            GatedLayer(self.filters, self.kernel_size, layer == 0, dropout, dtype=policy)
            for layer in range(self.num_layers)
        ]
        self.head = keras.Sequential(
            [
                keras.layers.Activation("relu", dtype=policy),
                keras.layers.Conv2D(self.filters, 1, activation="relu", dtype=policy),
                # All codes are equally likely before anything is learned.
                keras.layers.Conv2D(self.num_codes, 1, kernel_initializer="zeros", dtype=policy),
            ]
        )

    def build(self, codes_shape: Shape, condition_shape: Shape | None = None) -> None:
        super().build(codes_shape)
        self.height = self.codes_shape[0] if len(self.codes_shape) > 1 else 1
        maps = (None, self.height, self.num_positions // self.height, self.filters)
        self.embed.build(codes_shape)
        self.given = None
        if condition_shape is not None:
            # One for each stack of each layer.
            self.given = keras.layers.Dense(
                4 * self.filters * self.num_layers, dtype=self.dtype_policy
            )
            self.given.build((None, size_of(condition_shape)))
        for layer in self.layers:
            layer.build(maps)
        self.head.build(maps)

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        h = self.embed(tf.reshape(codes, (-1, self.height, self.num_positions // self.height)))
        above, left = h, h
        beside_each = [None] * self.num_layers
        if self.given is not None:
            beside = self.given(given(condition))[:, None, None, :]
            beside_each = tf.split(beside, self.num_layers, axis=-1)
        for layer, beside in zip(self.layers, beside_each, strict=True):
            above, left = layer(above, left, beside, training=training)
        logits = self.head(left)
        return tf.cast(tf.reshape(logits, (-1, self.num_positions, self.num_codes)), tf.float32)

    def start(self, num_rows: int | tf.Tensor) -> Cache:
        return tf.zeros([num_rows, self.num_positions], tf.int32)

    def step(
        self,
        previous: tf.Tensor,
        position: tf.Tensor,
        cache: Cache,
        condition: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, Cache]:
        """As in `zoo.typing.CausalNetwork`, by a whole pass over the codes so far."""
        before = tf.range(self.num_positions) == position - 1
        codes = tf.where(before, previous[:, None], cache)
        logits = self(tf.reshape(codes, [-1, *self.codes_shape]), condition=condition)
        return tf.gather(logits, position, axis=1), codes


class GatedLayer(keras.layers.Layer):
    """A layer of both stacks, maps [B, H, W, filters].

    `above` holds at each place what the rows down to its own tell; `left` what the rows above it
    and the places to its left do, and of all layers but the first the place itself.

    Args:
        filters, kernel_size, dropout: As in `GatedPixelCNN`.
        first: Whether `left` are codes, of which a place must not see its own.
    """

    def __init__(
        self, filters: int, kernel_size: int, first: bool, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        policy, half = self.dtype_policy, kernel_size // 2
        self.first = first

        def conv(channels, size):
            return keras.layers.Conv2D(channels, size, dtype=policy)

        self.pad_above = keras.layers.ZeroPadding2D(((half, 0), (half, half)), dtype=policy)
        self.of_above = conv(2 * filters, (half + 1, kernel_size))
        self.pad_left = keras.layers.ZeroPadding2D(((0, 0), (half + first, 0)), dtype=policy)
        self.of_left = conv(2 * filters, (1, half + 1))
        self.shift = keras.layers.ZeroPadding2D(((1, 0), (0, 0)), dtype=policy)
        self.from_above = conv(2 * filters, 1)
        self.output_layer = conv(filters, 1)
        self.drop = Dropout(dropout, dtype=policy) if dropout else None

    def build(self, maps_shape: Shape) -> None:
        self.of_above.build(self.pad_above.compute_output_shape(maps_shape))
        self.of_left.build(self.pad_left.compute_output_shape(maps_shape))
        self.from_above.build((*maps_shape[:3], self.of_above.filters))
        self.output_layer.build(maps_shape)

    def call(
        self,
        above: tf.Tensor,
        left: tf.Tensor,
        beside: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        vertical = self.of_above(self.pad_above(above))
        horizontal = self.of_left(self.pad_left(left))
        if self.first:
            horizontal = horizontal[:, :, :-1]
        horizontal += self.from_above(self.shift(vertical)[:, :-1])
        if beside is not None:
            of_vertical, of_horizontal = tf.split(beside, 2, axis=-1)
            vertical, horizontal = vertical + of_vertical, horizontal + of_horizontal
        output = self.output_layer(_gated(horizontal))
        if self.drop is not None:
            output = self.drop(output, training=training)
        return _gated(vertical), output if self.first else left + output


def _gated(maps):
    values, gates = tf.split(maps, 2, axis=-1)
    return tf.tanh(values) * tf.sigmoid(gates)
