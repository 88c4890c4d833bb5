"""Tensors -> parameters: the neural networks between images and latents, with no probability
inside.

Every network has the same contract: `network(x, condition=None, training=None)` takes x [B, ...] of
any shape and an optional condition [B, ...], and returns [B, output_size]. Any Keras layer or model
with that contract fits in its place; those that do nothing else in training need not name
`training`, and those of unconditional models need not know of conditions.
"""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from zoo.layers.base import shape_tuple
from zoo.validation import shown


def _size(shape):
    """Number of elements of one example of a batch shape; 0 for no batch at all."""
    return 0 if shape is None else math.prod(shape[1:])


def _concatenate_flat(x, condition):
    """[B, ...] and [B, ...] or None -> [B, F]."""
    x = ops.reshape(x, (-1, math.prod(x.shape[1:])))
    if condition is None:
        return x
    condition = ops.reshape(ops.cast(condition, x.dtype), (-1, math.prod(condition.shape[1:])))
    return ops.concatenate([x, condition], axis=-1)


# Keras wraps the reason of a layer that fails in lines of its own, and in bold.
KERAS_REASON = re.compile(
    r"(?:Exception encountered when calling .*?\.call\(\)\.)?(.*?)(?:Arguments received by .*)?",
    re.DOTALL,
)
BOLD = re.compile(r"\x1b\[\d+m")


def reason_of(error: Exception) -> str | None:
    """What an error says in one line, where Keras has wrapped it in several; None where it is one
    line already."""
    message = BOLD.sub("", str(error)).strip()
    return " ".join(KERAS_REASON.fullmatch(message).group(1).split()) if "\n" in message else None


def apply(
    network: Callable[..., Any],
    x: tf.Tensor,
    condition: tf.Tensor | None = None,
    training: bool | None = None,
) -> tf.Tensor:
    """`network(x, condition)` in training or not; of a Functional model with two inputs, the
    condition is the second.

    Keras hands `training` to every layer inside, whether or not the network's own `call` names it.

    Raises:
        ValueError: If there is a condition that the network does not take, or the network fails and
            says so in several lines.
    """
    try:
        return _apply(network, x, condition, training)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise ValueError(
            f"{type(network).__name__} {getattr(network, 'name', network)!r} cannot be called "
            f"on {shown(x)}"
            f"{'' if condition is None else f' and a condition that is {shown(condition)}'}: "
            f"{reason}"
        ) from error


def _apply(network, x, condition, training):
    # Not to a plain function.
    keywords = {"training": training} if isinstance(network, keras.layers.Layer) else {}
    if condition is None:
        return network(x, **keywords)
    inputs = getattr(network, "inputs", None)  # of Functional and Sequential models
    if inputs is not None and len(inputs) == 2:
        return network([x, condition], **keywords)
    if "condition" not in inspect.signature(getattr(network, "call", network)).parameters:
        raise ValueError(
            "A network of a conditional model takes the condition: as `call(x, condition=None)`, "
            "or as the second input of a Functional model. Received: "
            f"{type(network).__name__} {getattr(network, 'name', network)!r}, which does not."
        )
    return network(x, condition=condition, **keywords)


def over_samples(
    network: Callable[..., Any],
    x: tf.Tensor,
    condition: tf.Tensor | None = None,
    training: bool | None = None,
) -> tf.Tensor:
    """Applies a network, which knows one batch dimension, to vectors with sample dimensions before
    it.

    Args:
        network: Network (x [B, D], condition or None) -> [B, P].
        x: Tensor [..., B, D].
        condition: Tensor [B, ...] that serves every leading sample, or None.
        training: As in Keras.

    Returns:
        Tensor [..., B, P].
    """
    if condition is not None:
        repeated = tf.broadcast_to(
            condition, tf.concat([tf.shape(x)[:-1], tf.shape(condition)[1:]], axis=0)
        )
        condition = tf.reshape(repeated, [-1, *condition.shape[1:]])
    # [S B, P]: the samples are folded into the batch.
    params = apply(network, tf.reshape(x, [-1, x.shape[-1]]), condition, training)
    return unfold(params, x.shape[:-2])


def over_pairs(
    network: Callable[..., Any], x: Any, condition: Any, training: bool | None = None
) -> tf.Tensor:
    """Applies a network to pairs of vectors x [..., B, D] and condition [..., B, K] whose leading
    dimensions broadcast. -> [..., B, P]"""
    x, condition = tf.convert_to_tensor(x), tf.convert_to_tensor(condition)
    samples = tf.broadcast_static_shape(x.shape[:-1], condition.shape[:-1])[:-1]
    shape = tf.broadcast_dynamic_shape(tf.shape(x)[:-1], tf.shape(condition)[:-1])

    def flat(vectors):
        return tf.reshape(
            tf.broadcast_to(vectors, tf.concat([shape, tf.shape(vectors)[-1:]], axis=0)),
            [-1, vectors.shape[-1]],
        )

    return unfold(apply(network, flat(x), flat(condition), training), samples)


def over_maps(
    network: Callable[..., Any],
    x: tf.Tensor,
    condition: tf.Tensor | None = None,
    training: bool | None = None,
    rank: int = 3,
) -> tf.Tensor:
    """Applies a network to maps x [..., B, H, W, C] and what stands beside them, whose leading
    dimensions broadcast. -> [..., B, *output]

    Args:
        network: Network (x [B, H, W, C], condition [B, ...] of as many dimensions, or None)
            -> [B, ...].
        x: Tensor.
        condition: Tensor [..., B, H', W', C'], or None.
        training: As in Keras.
        rank: Number of dimensions of one x.
    """
    leading, static = tf.shape(x)[:-rank], x.shape[:-rank]
    if condition is not None:
        leading = tf.broadcast_dynamic_shape(leading, tf.shape(condition)[:-rank])
        static = tf.broadcast_static_shape(static, condition.shape[:-rank])

    def folded(tensor):
        whole = tf.broadcast_to(tensor, tf.concat([leading, tf.shape(tensor)[-rank:]], axis=0))
        return tf.reshape(whole, [-1, *tensor.shape[-rank:]])

    output = apply(network, folded(x), None if condition is None else folded(condition), training)
    return tf.ensure_shape(
        tf.reshape(output, tf.concat([leading, tf.shape(output)[1:]], axis=0)),
        [*static, *output.shape[1:]],
    )


def over_conditions(
    network: Callable[..., Any], x: tf.Tensor, condition: tf.Tensor, training: bool | None = None
) -> tf.Tensor:
    """Applies a network to images x [B, ...], each beside all its conditions [..., B, K].
    -> [..., B, P]"""
    repeated = tf.broadcast_to(x, tf.concat([tf.shape(condition)[:-1], tf.shape(x)[1:]], axis=0))
    flat = tf.reshape(condition, [-1, condition.shape[-1]])
    images = tf.reshape(repeated, [-1, *x.shape[1:]])
    return unfold(apply(network, images, flat, training), condition.shape[:-2])


def unfold(params: tf.Tensor, samples: Sequence[int] | tf.TensorShape) -> tf.Tensor:
    """[S B, P] -> [*samples, B, P]."""
    return tf.reshape(params, [*samples, -1, params.shape[-1]]) if len(samples) else params


class _Network(keras.layers.Layer):
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


def set_output_bias(network: Any, values: tf.Tensor) -> None:
    """Makes `values` [P] what a network gives before it has learned anything: by its own method, or
    the bias of its last layer.

    Raises:
        ValueError: If it has neither.
    """
    if hasattr(network, "set_output_bias"):
        network.set_output_bias(values)
        return
    last = network.layers[-1] if getattr(network, "layers", None) else network
    bias = getattr(last, "bias", None)
    if bias is None or tuple(bias.shape) != tuple(values.shape):
        raise ValueError(
            f"The decoder must end in a layer whose `bias` has {values.shape[0]} numbers, or "
            f"have a method `set_output_bias(values)`. Received: {type(network).__name__} "
            f"{network.name!r}, which ends in {type(last).__name__} {last.name!r}."
        )
    bias.assign(values)


@keras.saving.register_keras_serializable(package="zoo")
class MLP(_Network):
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
        size = _size(x_shape) + _size(condition_shape)
        for layer, units in zip(self.stack, (*self.hidden_units, self.output_size), strict=True):
            layer.build((None, size))
            size = units

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        h = _concatenate_flat(x, condition)  # [B, F]
        for layer in self.stack:
            h = layer(h)
        return h

    def set_output_bias(self, values: Any) -> None:
        """Sets what the network gives before it has learned anything: [output_size]."""
        self.stack[-1].bias.assign(values)


@keras.saving.register_keras_serializable(package="zoo")
class ConvEncoder(_Network):
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
class ConvDecoder(_Network):
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
        h = ops.reshape(h, (-1, *self.start_shape))
        for layer in self.convolutions:
            h = layer(h)
        height, width = self.image_shape[:2]
        # A pixel's parameters lie side by side.
        return ops.reshape(h[:, :height, :width], (-1, self.output_size))

    def set_output_bias(self, values: Any) -> None:
        """Sets what the network gives before it has learned anything, [output_size]: their mean
        over pixels, as a map has one bias."""
        self.convolutions[-1].bias.assign(
            ops.mean(ops.reshape(values, (-1, self.convolutions[-1].filters)), axis=0)
        )
