"""Distributions that Keras can handle as tensors: as a tensor, a distribution is its mean."""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.compat import outermost_layer
from zoo.typing import Distribution

tfd = tfp.distributions


class MeanAsTensor:
    """What a distribution has beside its own, so that `predict`, metrics and losses of Keras models
    that end in one take it as it is.

    TensorFlow's `is_tensor` is true of it. A loss that is a function of (y, distribution) therefore
    gets the distribution, and one that computes with tensors, such as "mse", its mean. A
    `tfd.Distribution` in every other way, it may leave compiled functions.
    """

    # Of the distribution.
    batch_shape: tf.TensorShape
    event_shape: tf.TensorShape
    mean: Callable[[], tf.Tensor]

    @property
    def shape(self) -> tf.TensorShape:
        """Of an outcome of each row: [..., B, *event_shape]."""
        return self.batch_shape + self.event_shape

    def is_tensor_like(self) -> bool:
        """Marks the class for `tf.is_tensor`, which looks for this name."""
        return True

    def numpy(self) -> np.ndarray:
        return self.mean().numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.mean(), dtype)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> tf.Tensor:
        mean = self.mean()
        return mean if dtype is None else tf.cast(mean, dtype)


class LatentMeanAsTensor(MeanAsTensor):
    """The same for a posterior, which no layer may take for its mean: a decoder behind it would
    train without noise and without the KL."""

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> tf.Tensor:
        if outermost_layer() is not None:
            self._refuse()
        return super().__tf_tensor__(dtype, name)

    def _refuse(self) -> NoReturn:
        raise TypeError(
            "The layer after a posterior takes a sample of it. Received: the distribution "
            f"itself, {type(self).__name__}. Use `zoo.layers.Sample(posterior, prior)` in the "
            "posterior's place: it draws z and adds the KL to the loss. For the mean, call "
            "`.mean()`."
        )


def as_tensor(distribution: Distribution, kind: type[MeanAsTensor] = MeanAsTensor) -> Distribution:
    """The same object, whose class has what `kind` adds."""
    if not isinstance(distribution, kind):
        family: type = type(distribution)
        distribution.__class__ = _with(kind, family)
    return distribution


@functools.cache
def _with(kind, family):
    # The family's own name: what users see in messages is what they know from TFP. Its metaclass
    # makes it a composite tensor again.
    return type(family)(
        family.__name__,
        (family, kind),
        {"__module__": family.__module__, "__doc__": family.__doc__},
    )
