"""How a network is called: with a condition or without, over samples, pairs, maps."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf

from zoo.validation import shown

# Keras wraps the reason of a layer that fails in lines of its own, and in bold.
KERAS_LINES = re.compile(
    r"\AException encountered when calling .*?\.call\(\)\.|Arguments received by .*", re.DOTALL
)
BOLD = re.compile(r"\x1b\[\d+m")


@runtime_checkable
class HasInputs(Protocol):
    """Functional models."""

    inputs: Sequence[Any] | None


@runtime_checkable
class HasBias(Protocol):
    """Dense layers, convolutions and what else adds a bias; None where it adds none."""

    bias: keras.Variable | None


@runtime_checkable
class SetsOutputBias(Protocol):
    """A network that says by itself what it gives before it has learned anything."""

    def set_output_bias(self, values: tf.Tensor) -> None: ...


def reason_of(error: Exception) -> str | None:
    """What an error says in one line, where Keras has wrapped it in several; None where it is one
    line already."""
    message = BOLD.sub("", str(error)).strip()
    return " ".join(KERAS_LINES.sub("", message).split()) if "\n" in message else None


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
            f"{_named(network)} cannot be called on {shown(x)}"
            f"{'' if condition is None else f' and a condition that is {shown(condition)}'}: "
            f"{reason}"
        ) from error


def _apply(network, x, condition, training):
    # Not to a plain function.
    keywords = {"training": training} if isinstance(network, keras.layers.Layer) else {}
    if condition is None:
        return network(x, **keywords)
    if _num_inputs(network) == 2:
        return network([x, condition], **keywords)
    if "condition" not in inspect.signature(_function(network)).parameters:
        raise ValueError(
            "A network of a conditional model takes the condition: as `call(x, condition=None)`, "
            "or as the second input of a Functional model. Received: "
            f"{_named(network)}, which does not."
        )
    return network(x, condition=condition, **keywords)


def _num_inputs(network):
    # A Sequential model has one, and until it is built its `inputs` raises.
    if isinstance(network, keras.Sequential) or not isinstance(network, HasInputs):
        return 1
    return len(network.inputs or ())


def _function(network):
    return network.call if isinstance(network, keras.layers.Layer) else network


def _named(network):
    name = network.name if isinstance(network, keras.layers.Layer) else network
    return f"{type(network).__name__} {name!r}"


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


def set_output_bias(network: Any, values: tf.Tensor) -> None:
    """Makes `values` [P] what a network gives before it has learned anything: by its own method, or
    the bias of its last layer.

    Raises:
        ValueError: If it has neither.
    """
    if isinstance(network, SetsOutputBias):
        network.set_output_bias(values)
        return
    last = network.layers[-1] if isinstance(network, keras.Model) and network.layers else network
    bias = last.bias if isinstance(last, HasBias) else None
    if bias is None or tuple(bias.shape) != tuple(values.shape):
        raise ValueError(
            f"The decoder must end in a layer whose `bias` has {values.shape[0]} numbers, or "
            f"have a method `set_output_bias(values)`. Received: {_named(network)}, which ends in "
            f"{_named(last)}."
        )
    bias.assign(values)
