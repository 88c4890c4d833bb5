"""Blocks of maps [B, H, W, C]: what residual networks and the groups of a ladder are made of."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.networks.base import Network
from zoo.tensors import static_sizes

Shape = tuple[int | None, ...]
Activation = str | Callable[..., Any] | None


class MapNetwork(Network):
    """A network (x [B, H, W, C], condition [B, H, W, C'] or None) -> [B, H', W', `filters`]."""

    filters: int

    def compute_output_shape(self, x_shape: Shape, condition_shape: Shape | None = None) -> Shape:
        return (*x_shape[:-1], self.filters)


@keras.saving.register_keras_serializable(package="zoo")
class ConvBlock(MapNetwork):
    """Two or four convolutions, each after an activation, at one resolution; maps that stand beside
    x are appended to its channels.

    Args:
        filters: Channels of the output.
        inner: Channels inside. With `bottleneck` of 1x1, 3x3, 3x3 and 1x1 convolutions, otherwise
            of two 3x3 ones. As many as `filters` if left out.
        bottleneck: Whether it is the block of Child, "Very deep VAEs", ICLR 2021
            (https://arxiv.org/abs/2011.10650).
        activation: Before each convolution.
        groups: Of a GroupNormalization before each activation (Wu & He, ECCV 2018), or None.
        gated: Whether each output is multiplied by a sigmoid gate of its own (Dauphin et al., ICML
            2017, https://arxiv.org/abs/1612.08083).
        zero_output: Whether the last convolution begins at zero.
    """

    _ARGUMENTS = (
        "filters",
        "inner",
        "bottleneck",
        "activation",
        "groups",
        "gated",
        "zero_output",
    )

    def __init__(
        self,
        filters: int,
        inner: int | None = None,
        bottleneck: bool = False,
        activation: Activation = "silu",
        groups: int | None = None,
        gated: bool = False,
        zero_output: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.inner = self.filters if inner is None else validation.integer("inner", inner)
        self.bottleneck, self.zero_output = bottleneck, zero_output
        self.activation, self.groups, self.gated = activation, groups, gated
        sides = (1, 3, 3, 1) if bottleneck else (3, 3)
        outputs = self.filters * (2 if gated else 1)
        channels = [self.inner] * (len(sides) - 1) + [outputs]
        initializers = ["glorot_uniform"] * (len(sides) - 1)
        initializers.append("zeros" if zero_output else "glorot_uniform")
        self.convolutions = [
            conv(number, side, self.dtype_policy, kernel_initializer=initializer)
            for number, side, initializer in zip(channels, sides, initializers, strict=True)
        ]
        self.activations = [pre_activation(activation, groups, self.dtype_policy) for _ in sides]

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        channels = [static_sizes(shape[-1:])[0] for shape in (x_shape, condition_shape) if shape]
        shape = (*x_shape[:-1], sum(channels))
        for before, convolution in zip(self.activations, self.convolutions, strict=True):
            before.build(shape)
            convolution.build(shape)
            shape = convolution.compute_output_shape(shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = x if condition is None else tf.concat([x, condition], axis=-1)
        for before, convolution in zip(self.activations, self.convolutions, strict=True):
            h = convolution(before(h))
        if self.gated:
            values, gates = tf.split(h, 2, axis=-1)
            h = values * tf.sigmoid(gates)
        return h

    def set_output_bias(self, values: Any) -> None:
        """Sets what the network gives before it has learned anything: the mean over pixels of
        `values` [H W C], as a map has one bias."""
        bias = tf.reduce_mean(tf.reshape(values, (-1, self.filters)), axis=0)
        if self.gated:  # a gate of 1/2
            bias = tf.concat([2.0 * bias, tf.zeros_like(bias)], axis=0)
        _, weight = self.convolutions[-1].weights  # kernel and bias
        weight.assign(bias)


@keras.saving.register_keras_serializable(package="zoo")
class ResidualBlock(MapNetwork):
    """x + f(x, condition), with f a `ConvBlock` whose output begins at zero.

    So a network of many blocks begins as the identity, and needs no normalization (Zhang, Dauphin &
    Ma, "Fixup initialization", ICLR 2019, https://arxiv.org/abs/1901.09321). Where x has not
    `filters` channels, a 1x1 convolution gives it as many.

    Args:
        filters, inner, bottleneck, activation, groups, gated: As in `ConvBlock`.
    """

    _ARGUMENTS = ("filters", "inner", "bottleneck", "activation", "groups", "gated")

    def __init__(
        self,
        filters: int,
        inner: int | None = None,
        bottleneck: bool = False,
        activation: Activation = "silu",
        groups: int | None = None,
        gated: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.block = ConvBlock(
            filters,
            inner,
            bottleneck,
            activation,
            groups,
            gated,
            zero_output=True,
            dtype=self.dtype_policy,
        )
        self.filters, self.inner = self.block.filters, self.block.inner
        self.bottleneck = bottleneck
        self.activation, self.groups, self.gated = activation, groups, gated
        self.projection = None

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        self.block.build(x_shape, condition_shape)
        if x_shape[-1] != self.filters:
            self.projection = conv(self.filters, 1, self.dtype_policy, use_bias=False)
            self.projection.build(x_shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        change = self.block(x, condition=condition)
        return change + (x if self.projection is None else self.projection(x))


@keras.saving.register_keras_serializable(package="zoo")
class SelfAttention(MapNetwork):
    """x + the attention of each place to all places, which begins at zero. For maps of low
    resolution: its cost grows with (H W)^2.

    Zhang et al., "Self-attention GAN", ICML 2019, https://arxiv.org/abs/1805.08318, with heads as
    in Vaswani et al., NeurIPS 2017.

    Args:
        filters: Channels C of x.
        num_heads: Number of attentions, each of C / `num_heads` channels.
        groups: Of a GroupNormalization before it, or None.

    Raises:
        ValueError: If `num_heads` does not divide `filters`.
    """

    _ARGUMENTS = ("filters", "num_heads", "groups")

    def __init__(
        self, filters: int, num_heads: int = 1, groups: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.num_heads = validation.integer("num_heads", num_heads)
        self.groups = groups
        if self.filters % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the {self.filters} `filters`. Received: "
                f"num_heads={self.num_heads}."
            )
        self.norm = pre_activation(None, groups, self.dtype_policy)
        self.to_heads = conv(3 * self.filters, 1, self.dtype_policy)
        self.to_output = conv(self.filters, 1, self.dtype_policy, kernel_initializer="zeros")

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        for layer in (self.norm, self.to_heads, self.to_output):
            layer.build(x_shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        height, width, channels = static_sizes(x.shape[1:])
        places, size = height * width, channels // self.num_heads
        heads = tf.reshape(self.to_heads(self.norm(x)), (-1, places, 3, self.num_heads, size))
        # Each [B, heads, H W, size].
        queries, keys, values = tf.unstack(tf.transpose(heads, (2, 0, 3, 1, 4)), axis=0)
        logits = tf.matmul(queries, keys, transpose_b=True) / size**0.5
        weights = tf.cast(tf.nn.softmax(tf.cast(logits, "float32")), values.dtype)
        attended = tf.transpose(tf.matmul(weights, values), (0, 2, 1, 3))
        return x + self.to_output(tf.reshape(attended, (-1, height, width, channels)))


@keras.saving.register_keras_serializable(package="zoo")
class Upsample(MapNetwork):
    """Maps of twice the height and width.

    Args:
        filters: Channels of the output.
        method: "nearest", which repeats each place, after a 1x1 convolution where x has not
            `filters` channels; or "subpixel", a 1x1 convolution to four times as many channels,
            which become places (Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158).

    Raises:
        ValueError: If `method` is neither.
    """

    _ARGUMENTS = ("filters", "method")

    def __init__(self, filters: int, method: str = "nearest", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.method = validation.one_of("method", method, ("nearest", "subpixel"))
        self.filters = validation.integer("filters", filters)
        self.projection = None

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        outputs = self.filters * (4 if self.method == "subpixel" else 1)
        if x_shape[-1] != outputs:
            self.projection = conv(outputs, 1, self.dtype_policy)
            self.projection.build(x_shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = x if self.projection is None else self.projection(x)
        if self.method == "subpixel":
            return tf.nn.depth_to_space(h, 2)
        return tf.repeat(tf.repeat(h, 2, axis=1), 2, axis=2)

    def compute_output_shape(self, x_shape: Shape, condition_shape: Shape | None = None) -> Shape:
        batch, height, width, _ = x_shape
        return (batch, _doubled(height), _doubled(width), self.filters)


@keras.saving.register_keras_serializable(package="zoo")
class StateUpdate(MapNetwork):
    """What a group of a ladder does to the state: z is added to it by a 1x1 convolution, residual
    blocks follow, and where the next group has twice the resolution an `Upsample`.

    Child, "Very deep VAEs", ICLR 2021, fig. 3. https://arxiv.org/abs/2011.10650

    Args:
        filters: Channels of the state.
        num_blocks: Residual blocks after z.
        inner, bottleneck, activation, groups, gated: As in `ConvBlock`.
        upsample_to: Channels of the state at twice the resolution; None at the same.

    Call arguments:
        x: z, [B, H, W, D].
        condition: The state, [B, H, W, `filters`].
    """

    _ARGUMENTS = (
        "filters",
        "num_blocks",
        "inner",
        "bottleneck",
        "activation",
        "groups",
        "gated",
        "upsample_to",
    )

    def __init__(
        self,
        filters: int,
        num_blocks: int = 1,
        inner: int | None = None,
        bottleneck: bool = False,
        activation: Activation = "silu",
        groups: int | None = None,
        gated: bool = False,
        upsample_to: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.num_blocks = validation.integer("num_blocks", num_blocks)
        self.inner, self.bottleneck = inner, bottleneck
        self.activation, self.groups, self.gated = activation, groups, gated
        self.upsample_to = upsample_to
        policy = self.dtype_policy
        self.of_z = conv(self.filters, 1, policy)
        self.chain = [
            ResidualBlock(filters, inner, bottleneck, activation, groups, gated, dtype=policy)
            for _ in range(self.num_blocks)
        ]
        if upsample_to is not None:
            self.chain.append(Upsample(upsample_to, dtype=policy))

    def build(self, x_shape: Shape, condition_shape: Shape) -> None:
        self.of_z.build(x_shape)
        for layer in self.chain:
            layer.build(condition_shape)

    def call(self, x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        state = condition + self.of_z(x)
        for layer in self.chain:
            state = layer(state)
        return state

    def compute_output_shape(self, x_shape: Shape, condition_shape: Shape | None = None) -> Shape:
        if self.upsample_to is None:
            return (*x_shape[:-1], self.filters)
        return self.chain[-1].compute_output_shape(x_shape)


def _doubled(size):
    return None if size is None else 2 * size


def conv(
    filters: int, side: int, policy: keras.DTypePolicy, strides: int = 1, **arguments: Any
) -> keras.layers.Conv2D:
    """A convolution that keeps the size of maps, or divides it by `strides`."""
    return keras.layers.Conv2D(
        filters, side, strides=strides, padding="same", dtype=policy, **arguments
    )


def pre_activation(
    activation: Activation, groups: int | None, policy: keras.DTypePolicy
) -> keras.layers.Layer:
    """GroupNormalization where there are groups, then the activation."""
    layer = keras.layers.Activation(activation, dtype=policy)
    if groups is None:
        return layer
    return keras.Sequential([keras.layers.GroupNormalization(groups, dtype=policy), layer])
