"""The contract of every layer that turns parameters into a distribution."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import validation
from zoo.layers.as_tensor import MeanAsTensor, as_tensor
from zoo.typing import Distribution
from zoo.validation import shown

tfd = tfp.distributions

# Raw scales pass through exp(b tanh(r / b)): the identity on log scales near 0, and never outside
# [e^-8, e^8].
LOG_SCALE_BOUND = 8.0


def shape_tuple(shape: Any, argument: str) -> tuple[int, ...]:
    """A shape given as an integer or a sequence of integers, as a tuple of positive Python
    integers.

    Raises:
        ValueError: If it is none; the message calls it `argument`.
    """
    single = validation.as_integer(shape)
    sizes = (shape,) if single is not None or not _is_sequence(shape) else tuple(shape)
    numbers = [validation.as_integer(size) for size in sizes]
    positive = tuple(number for number in numbers if number is not None and number > 0)
    if len(positive) < len(numbers):
        raise ValueError(
            f"`{argument}` must hold positive integers. Received: {argument}={shown(sizes)}."
        )
    return positive


def _is_sequence(shape):
    """Whether it can be walked, which an array without dimensions cannot."""
    try:
        iter(shape)
    except TypeError:
        return False
    return True


def bounded_scale(raw: tf.Tensor) -> tf.Tensor:
    """Positive scale from an unbounded parameter: log-scale near 0, within [e^-8, e^8] for every
    finite float32.

    A softplus reaches 0 and an exponential inf; both turn log-densities into NaN.
    """
    return tf.exp(bounded_log_scale(raw))


def bounded_log_scale(raw: tf.Tensor) -> tf.Tensor:
    """The logarithm of `bounded_scale`."""
    return LOG_SCALE_BOUND * tf.tanh(raw / LOG_SCALE_BOUND)


def raw_of_scale(scale: tf.Tensor) -> tf.Tensor:
    """The parameter whose `bounded_scale` is `scale`, kept within [e^-7, e^7]."""
    return LOG_SCALE_BOUND * tf.atanh(
        tf.clip_by_value(tf.math.log(scale), -7.0, 7.0) / LOG_SCALE_BOUND
    )


class DistributionLayer(keras.layers.Layer):
    """Parameters -> `tfd.Distribution`.

    Computes in float32 whatever the precision policy: log-densities lose their digits in 16 bits.
    Parameters arrive flat in the last dimension, any number of batch dimensions before it.

    The layer may stand last in a Functional or Sequential model, or be one of several outputs, and
    is trained with `zoo.losses.NegativeLogLikelihood` or a function of (y, distribution). Calling
    the model gives the distribution. Where Keras needs a tensor, in `predict`, in metrics such as
    "mse" and in a layer that follows, the distribution is its mean. A layer that follows a
    posterior refuses that mean: `zoo.layers.Sample` draws from it and adds the KL.

    Args:
        event_shape: Int or tuple: the shape of one outcome.

    Call arguments:
        params: Tensor [..., B, params_size].

    Returns:
        `tfd.Distribution` of batch shape [..., B] and event shape `event_shape`.

    Raises:
        ValueError: If a shape or a number of parameters does not fit, or `activity_regularizer` is
            given.
    """

    # What the distribution has beside its own: how it becomes a tensor.
    tensor_kind = MeanAsTensor

    def __init__(self, event_shape: int | Sequence[int], **kwargs: Any) -> None:
        if kwargs.get("activity_regularizer") is not None:
            raise ValueError(
                "A distribution layer takes no `activity_regularizer`: "
                "`zoo.layers.Sample(posterior, prior)` adds KL(posterior || prior). "
                f"Received: activity_regularizer={kwargs['activity_regularizer']!r}."
            )
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.event_shape = shape_tuple(event_shape, "event_shape")

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        """Number of parameters that a network has to give for one outcome of `event_shape`."""
        raise NotImplementedError

    @property
    def num_params(self) -> int:
        """`params_size` of this layer."""
        return self.params_size(self.event_shape)

    def distribution(self, params: tf.Tensor) -> Distribution:
        """The distribution of float32 parameters [..., B, params_size] that were checked."""
        raise NotImplementedError

    def build(self, params_shape: tuple[int | None, ...]) -> None:
        if params_shape[-1] != self.num_params:
            raise ValueError(
                f"{type(self).__name__} for outcomes of shape {self.event_shape} needs "
                f"{self.num_params} parameters in the last dimension. Received: parameters of "
                f"shape {tuple(params_shape)}."
            )

    def call(self, params: tf.Tensor) -> Distribution:
        return as_tensor(self.distribution(tf.cast(params, tf.float32)), self.tensor_kind)

    def compute_output_spec(self, params: keras.KerasTensor) -> keras.KerasTensor:
        # What a Functional model sees is the outcome; the distribution itself travels beside
        # Keras's symbols.
        return keras.KerasTensor((*params.shape[:-1], *self.event_shape), dtype="float32")

    def as_event(self, params: tf.Tensor, num_maps: int = 1) -> list[tf.Tensor]:
        """[..., B, num_maps * size] -> `num_maps` tensors [..., B, *event_shape]; maps lie last, as
        a convolution gives them."""
        leading = tf.shape(params)[:-1]
        maps = tf.reshape(params, tf.concat([leading, [*self.event_shape, num_maps]], axis=0))
        maps = tf.ensure_shape(maps, [*params.shape[:-1], *self.event_shape, num_maps])
        return tf.unstack(maps, axis=-1)

    @property
    def event_size(self) -> int:
        return math.prod(self.event_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "event_shape": self.event_shape}
