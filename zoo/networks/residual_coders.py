"""Residual networks between an image and a vector, and between an image and a map of latents."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.layers.base import shape_tuple
from zoo.networks.base import Network
from zoo.networks.mlp import MLP
from zoo.networks.residual import (
    Activation,
    ResidualBlock,
    SelfAttention,
    Shape,
    Upsample,
    conv,
    pre_activation,
)
from zoo.tensors import static_sizes

# Arguments of both, in the order of their constructors.
SHARED = (
    "filters",
    "num_blocks",
    "bottleneck",
    "activation",
    "groups",
    "gated",
    "attention",
    "patch",
    "maps",
    "hidden_units",
)


class ResidualNetwork(Network):
    """What the residual encoder and decoder share: levels of blocks, each of half the resolution of
    the one before.

    Args:
        filters: Channels of each level, the finest first.
        num_blocks: Residual blocks of a level.
        bottleneck: Whether blocks are of four convolutions with a quarter of the channels inside
            (He et al., CVPR 2016), not of two.
        activation, groups, gated: As in `zoo.networks.ConvBlock`.
        attention: Whether `SelfAttention` follows each block of the coarsest level.
        patch: Side of the squares of pixels that the finest level sees as one place, a power of 2.
            With 2 nothing is computed at full resolution, which costs most.
        maps: Whether latents are a map, each place of it of a part of the image.
        hidden_units: Widths of dense layers, where latents are no map.
    """

    def __init__(
        self,
        filters: int | Sequence[int] = (32, 64, 128),
        num_blocks: int = 1,
        bottleneck: bool = False,
        activation: Activation = "silu",
        groups: int | None = None,
        gated: bool = False,
        attention: bool = False,
        patch: int = 1,
        maps: bool = False,
        hidden_units: int | Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = shape_tuple(filters, "filters")
        self.num_blocks = validation.integer("num_blocks", num_blocks)
        self.patch = validation.integer("patch", patch)
        if self.patch & (self.patch - 1):
            raise ValueError(f"`patch` must be a power of 2. Received: patch={self.patch}.")
        self.hidden_units = shape_tuple(hidden_units, "hidden_units") if hidden_units else ()
        self.bottleneck, self.activation, self.groups = bottleneck, activation, groups
        self.gated, self.attention, self.maps = gated, attention, maps

    def _blocks(self, level):
        """The layers of a level, at its resolution."""
        channels = self.filters[level]
        inner = max(channels // 4, 1) if self.bottleneck else channels
        layers = []
        for _ in range(self.num_blocks):
            layers.append(
                ResidualBlock(
                    channels,
                    inner,
                    self.bottleneck,
                    self.activation,
                    self.groups,
                    self.gated,
                    dtype=self.dtype_policy,
                )
            )
            if self.attention and level == len(self.filters) - 1:
                layers.append(SelfAttention(channels, 1, self.groups, dtype=self.dtype_policy))
        return layers


@keras.saving.register_keras_serializable(package="zoo")
class ResidualEncoder(ResidualNetwork):
    """Residual blocks of ever lower resolution, then dense layers, or a 1x1 convolution where the
    latents are a map. A condition joins before the dense layers.

    Args:
        output_size: Number of outputs, linear. With `maps`, a multiple of the places of the
            coarsest level.
        filters, num_blocks, bottleneck, activation, groups, gated, attention, patch, maps,
            hidden_units: As in `ResidualNetwork`.

    Raises:
        ValueError: If an argument is out of its range, or a map meets a condition.
    """

    _ARGUMENTS = ("output_size", *SHARED)

    def __init__(
        self,
        output_size: int,
        filters: int | Sequence[int] = (32, 64, 128),
        **others: Any,
    ) -> None:
        super().__init__(filters, **others)
        (self.output_size,) = shape_tuple(output_size, "output_size")
        policy = self.dtype_policy
        self.chain = []
        for level, channels in enumerate(self.filters):
            stride = self.patch if level == 0 else 2
            self.chain.append(conv(channels, max(3, stride), policy, strides=stride))
            self.chain += self._blocks(level)
        self.chain.append(pre_activation(self.activation, self.groups, policy))

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        shape = x_shape
        for layer in self.chain:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if not self.maps:
            self.head = MLP(
                self.hidden_units, self.output_size, self.activation, dtype=self.dtype_policy
            )
            self.head.build(shape, condition_shape)
            return
        if condition_shape is not None:
            raise ValueError(
                "An encoder of maps of latents takes no condition. Received: a condition of shape "
                f"{tuple(condition_shape)}."
            )
        self.head = conv(
            channels_of(self.output_size, static_sizes(shape[1:3]), "output_size"),
            1,
            self.dtype_policy,
        )
        self.head.build(shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = x  # [B, H, W, C]
        for layer in self.chain:
            h = layer(h)
        if not self.maps:
            return self.head(h, condition=condition)
        return tf.reshape(self.head(h), (-1, self.output_size))


@keras.saving.register_keras_serializable(package="zoo")
class ResidualDecoder(ResidualNetwork):
    """Residual blocks of ever higher resolution, from dense layers, or from x itself where it is a
    map, flat or not. The image is cropped where its sides cannot be halved so often.

    Args:
        image_shape: (H, W, C) of the images.
        output_size: Number of outputs: H W times the parameters of a pixel.
        filters, num_blocks, bottleneck, activation, groups, gated, attention, patch, maps,
            hidden_units: As in `ResidualNetwork`. The finest level comes first, so that a decoder
            has the same arguments as its encoder.
        upsampling: "nearest" or "subpixel", as in `Upsample`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    _ARGUMENTS = ("image_shape", "output_size", *SHARED, "upsampling")

    def __init__(
        self,
        image_shape: Sequence[int],
        output_size: int,
        filters: int | Sequence[int] = (32, 64, 128),
        upsampling: str = "nearest",
        **others: Any,
    ) -> None:
        super().__init__(filters, **others)
        self.image_shape = shape_tuple(image_shape, "image_shape")
        if len(self.image_shape) != 3:
            raise ValueError(
                f"`image_shape` must be (H, W, C). Received: image_shape={self.image_shape}."
            )
        (self.output_size,) = shape_tuple(output_size, "output_size")
        self.upsampling = upsampling
        policy = self.dtype_policy
        height, width = self.image_shape[:2]
        factor = self.patch * 2 ** (len(self.filters) - 1)
        self.start_shape = (-(-height // factor), -(-width // factor), self.filters[-1])
        self.chain = []
        for level in reversed(range(len(self.filters))):
            self.chain += self._blocks(level)
            if level:
                self.chain.append(Upsample(self.filters[level - 1], upsampling, dtype=policy))
        self.chain.append(pre_activation(self.activation, self.groups, policy))
        pixel = channels_of(self.output_size, (height, width), "output_size")
        self.output_layer = conv(pixel * self.patch**2, 3, policy, kernel_initializer="zeros")

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        if self.maps:
            height, width, channels = self.start_shape
            self.latent_shape = static_sizes(x_shape[1:])
            if len(x_shape) == 2:
                (size,) = self.latent_shape
                self.latent_shape = (height, width, channels_of(size, (height, width), "z"))
            self.stem = conv(channels, 1, self.dtype_policy)
            self.stem.build((None, *self.latent_shape))
            self.start_shape = (*self.latent_shape[:2], channels)
        else:
            self.stem = MLP(
                self.hidden_units,
                math.prod(self.start_shape),
                self.activation,
                dtype=self.dtype_policy,
            )
            self.stem.build(x_shape, condition_shape)
        shape = (None, *self.start_shape)
        for layer in (*self.chain, self.output_layer):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        if self.maps:
            h = self.stem(tf.reshape(x, (-1, *self.latent_shape)))
        else:
            h = tf.reshape(self.stem(x, condition=condition), (-1, *self.start_shape))
        for layer in self.chain:
            h = layer(h)
        h = self.output_layer(h)
        if self.patch > 1:
            h = tf.nn.depth_to_space(h, self.patch)
        height, width = self.image_shape[:2]
        # A pixel's parameters lie side by side.
        return tf.reshape(h[:, :height, :width], (-1, self.output_size))

    def set_output_bias(self, values: Any) -> None:
        """Sets what the network gives before it has learned anything, [output_size]: their mean
        over pixels, as a map has one bias."""
        pixel = self.output_layer.filters // self.patch**2
        mean = tf.reduce_mean(tf.reshape(values, (-1, pixel)), axis=0)
        _, bias = self.output_layer.weights  # kernel and bias
        bias.assign(tf.tile(mean, [self.patch**2]))


def channels_of(size: int, places: Sequence[int], argument: str) -> int:
    """Channels of a map of `size` numbers at these places.

    Raises:
        ValueError: If they are not so many for each place; the message calls them `argument`.
    """
    height, width = places
    channels, remainder = divmod(size, height * width)
    if remainder:
        raise ValueError(
            f"`{argument}` must be a multiple of the {height} x {width} places of a map. "
            f"Received: {argument}={size}."
        )
    return channels
