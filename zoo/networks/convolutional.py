"""Convolutional networks."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from zoo.layers.base import shape_tuple
from zoo.networks.base import Network
from zoo.networks.mlp import MLP


@keras.saving.register_keras_serializable(package="zoo")
class ConvEncoder(Network):
    """Strided convolutions that halve the image each time, then dense hidden layers; the condition
    joins before them.

    With `hidden_units=(256, 256)` it is the encoder of Burgess et al., "Understanding disentangling
    in beta-VAE", 2018, for 64x64 images (https://arxiv.org/abs/1804.03599); any other size works.

    Args:
        output_size: Number of outputs, linear.
        filters: Channels of each convolution.
        kernel_size: Side of the kernels.
        hidden_units: Width of the dense layer, or a tuple of several.
        activation: Of all hidden layers.
    """

    _ARGUMENTS = ("output_size", "filters", "kernel_size", "hidden_units", "activation")

    def __init__(
        self,
        output_size: int,
        filters: int | Sequence[int] = (32, 32, 32, 32),
        kernel_size: int | Sequence[int] = 4,
        hidden_units: int | Sequence[int] = 256,
        activation: str | Callable[..., Any] | None = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        (self.output_size,) = shape_tuple(output_size, "output_size")
        self.filters = shape_tuple(filters, "filters")
        shape_tuple(kernel_size, "kernel_size")
        self.kernel_size = kernel_size
        self.hidden_units = shape_tuple(hidden_units, "hidden_units")
        self.activation = activation
        policy = self.dtype_policy
        self.convolutions = [
            keras.layers.Conv2D(
                channels, kernel_size, 2, "same", activation=activation, dtype=policy
            )
            for channels in self.filters
        ]
        self.head = MLP(self.hidden_units, self.output_size, activation, dtype=policy)

    def build(
        self,
        x_shape: tuple[int | None, ...],
        condition_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        shape = x_shape
        for layer in self.convolutions:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.head.build(shape, condition_shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = x  # [B, H, W, C]
        for layer in self.convolutions:
            h = layer(h)
        return self.head(h, condition=condition)


@keras.saving.register_keras_serializable(package="zoo")
class ConvDecoder(Network):
    """Dense layers onto a small map, then transposed convolutions that double it each time, cropped
    to the image.

    Args:
        image_shape: (H, W, C) of the images.
        output_size: Number of outputs: H W times the parameters of a pixel.
        filters: Channels before each doubling.
        kernel_size: Side of the kernels.
        hidden_units: Width of the dense layer, or a tuple of several.
        activation: Of all hidden layers.
    """

    _ARGUMENTS = (
        "image_shape",
        "output_size",
        "filters",
        "kernel_size",
        "hidden_units",
        "activation",
    )

    def __init__(
        self,
        image_shape: Sequence[int],
        output_size: int,
        filters: int | Sequence[int] = (32, 32, 32, 32),
        kernel_size: int | Sequence[int] = 4,
        hidden_units: int | Sequence[int] = 256,
        activation: str | Callable[..., Any] | None = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_shape = shape_tuple(image_shape, "image_shape")
        (self.output_size,) = shape_tuple(output_size, "output_size")
        self.filters = shape_tuple(filters, "filters")
        shape_tuple(kernel_size, "kernel_size")
        self.kernel_size = kernel_size
        self.hidden_units = shape_tuple(hidden_units, "hidden_units")
        self.activation = activation
        height, width = self.image_shape[:2]
        maps, remainder = divmod(self.output_size, height * width)
        if len(self.image_shape) != 3 or remainder:
            raise ValueError(
                f"`output_size` must be a multiple of the {height * width} pixels of "
                f"`image_shape` (H, W, C). Received: image_shape={self.image_shape}, "
                f"output_size={self.output_size}."
            )
        doublings = len(self.filters)
        self.start_shape = (-(-height // 2**doublings), -(-width // 2**doublings), self.filters[0])
        policy = self.dtype_policy
        self.stem = MLP(self.hidden_units, math.prod(self.start_shape), activation, dtype=policy)
        self.stem_activation = keras.layers.Activation(activation, dtype=policy)
        channels = [*self.filters[1:], maps]
        activations = [activation] * (doublings - 1) + [None]
        self.convolutions = [
            keras.layers.Conv2DTranspose(c, kernel_size, 2, "same", activation=a, dtype=policy)
            for c, a in zip(channels, activations, strict=True)
        ]

    def build(
        self,
        x_shape: tuple[int | None, ...],
        condition_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        self.stem.build(x_shape, condition_shape)
        shape = (None, *self.start_shape)
        for layer in self.convolutions:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = self.stem_activation(self.stem(x, condition=condition))
        h = tf.reshape(h, (-1, *self.start_shape))
        for layer in self.convolutions:
            h = layer(h)
        height, width = self.image_shape[:2]
        # A pixel's parameters lie side by side.
        return tf.reshape(h[:, :height, :width], (-1, self.output_size))

    def set_output_bias(self, values: Any) -> None:
        """Sets what the network gives before it has learned anything, [output_size]: their mean
        over pixels, as a map has one bias."""
        _, bias = self.convolutions[-1].weights  # kernel and bias
        bias.assign(ops.mean(ops.reshape(values, (-1, self.convolutions[-1].filters)), axis=0))
