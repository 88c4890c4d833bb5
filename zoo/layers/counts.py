"""p(x|z) of counts, such as the transcripts of each gene in a cell.

What a network gives are the shares of the genes; how much of a cell was counted, its library size,
stands beside it.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.as_tensor import as_tensor
from zoo.layers.base import bounded_scale, shape_tuple
from zoo.layers.count_distributions import MultinomialCounts, ZeroInflatedCounts
from zoo.layers.likelihoods import Likelihood
from zoo.layers.pixels import IndependentPixels
from zoo.observations import Counts, Observation
from zoo.observations.base import is_symbolic
from zoo.tensors import as_numbers
from zoo.typing import Distribution

tfd = tfp.distributions

# No share is below e^-80, and no chance of a loss nearer to 0 or 1: log-probabilities stay finite
# for every finite parameter.
BOUND = 80.0


class CountLikelihood(Likelihood):
    """Counts [G] with mean l softmax(params).

    l is the library size of the example, how much of it was counted. Draws from the prior are of
    the typical library size, that of the data which the model was started at.

    Args:
        event_shape: G.

    Call arguments:
        params: Tensor [..., B, params_size]; logits of the shares of the library, G of them.
        library: Positive numbers [B] or [], or None for the typical one. In a graph, which cannot
            raise, the row of another number is NaN.

    Raises:
        ValueError: When it is called with a library that holds another number, or another shape.
    """

    observes = (Counts,)

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        (size,) = shape_tuple(event_shape, "event_shape")
        return size

    @property
    def observation(self) -> Observation:
        return Counts(self.event_shape)

    def build(self, params_shape: tuple[int | None, ...]) -> None:
        super().build(params_shape)
        self.typical_library = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="typical_library"
        )

    def __call__(self, params: Any, library: Any = None, **kwargs: Any) -> Any:
        # Not in `call`, whose errors Keras tells in several lines.
        if library is not None and not keras.utils.is_keras_tensor(library):
            library = _checked_library(library, params.shape[-2])
        return super().__call__(params, library=library, **kwargs)

    def call(self, params: tf.Tensor, library: tf.Tensor | None = None) -> Distribution:
        if library is None:
            library = tf.convert_to_tensor(self.typical_library)
        elif is_symbolic(library):
            library = tf.where(_can_be_a_library(library), library, math.nan)
        return as_tensor(self.of_library(tf.cast(params, tf.float32), library), self.tensor_kind)

    def of_library(self, params: tf.Tensor, library: tf.Tensor) -> Distribution:
        """The distribution of float32 parameters [..., B, params_size] and a library [B] or []."""
        raise NotImplementedError

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """The logits of the mean's shares, kept off 0 by a thousandth of the average share."""
        mean = tf.cast(mean, tf.float32)
        return tf.math.log(mean + 1e-3 * tf.reduce_mean(mean) + 1e-12)

    def start_at(self, mean: tf.Tensor, scale: tf.Tensor) -> None:
        self.typical_library.assign(tf.maximum(tf.reduce_sum(mean), 1.0))


def _checked_library(library, num_rows):
    """A library as a float32 tensor [B] or []."""
    library = as_numbers("library", library)
    if library.shape.rank != 0 and not library.shape.is_compatible_with([num_rows]):
        raise ValueError(
            "`library` must hold a number for each row, or be one for all. Received: shape "
            f"{tuple(library.shape)} for {num_rows} rows."
        )
    if is_symbolic(library):
        return library
    wrong = library.numpy()[~_can_be_a_library(library).numpy()]
    if wrong.size:
        raise ValueError(
            "`library` must hold positive numbers: how much is counted of each example. Received: "
            f"{wrong.flat[0]:g}."
        )
    return library


def _can_be_a_library(library):
    return (library > 0) & tf.math.is_finite(library)


def _log_shares(logits):
    return tf.maximum(tf.nn.log_softmax(logits), -BOUND)


def _log_means(logits, library):
    """[..., B, G] of logits [..., B, G] and a library [B] or []."""
    return _log_shares(logits) + tf.math.log(library)[..., None]


class Dispersed(CountLikelihood):
    """Counts whose variance is above their mean by mean^2 / theta: theta is one learned number for
    each of the G things."""

    def build(self, params_shape: tuple[int | None, ...]) -> None:
        super().build(params_shape)
        self.raw_dispersion = self.add_weight(
            shape=self.event_shape, initializer="zeros", name="raw_dispersion"
        )

    def size_and_logits(self, logits: tf.Tensor, library: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """theta [G] and log(mean / theta) [..., B, G], as TFP parameterizes the family."""
        theta = bounded_scale(tf.convert_to_tensor(self.raw_dispersion))
        return theta, _log_means(logits, library) - tf.math.log(theta)


@keras.saving.register_keras_serializable(package="zoo")
class NegativeBinomial(Dispersed):
    """Independent counts [G] with mean l softmax(params) and variance mean + mean^2 / theta.

    l is the library size of the example, how much of it was counted; theta is one learned number
    for each of the G things. Draws from the prior are of the typical library size, that of the data
    which the model was started at.

    Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15,
    2018, with negative binomial counts.

    Args:
        event_shape: G.

    Call arguments:
        params: Tensor [..., B, G], logits of the shares of the library.
        library: Positive numbers [B] or [], or None for the typical one.
    """

    def of_library(self, params: tf.Tensor, library: tf.Tensor) -> Distribution:
        theta, logits = self.size_and_logits(params, library)
        counts = tfd.NegativeBinomial(theta, logits=logits, require_integer_total_count=False)
        return IndependentPixels(counts, len(self.event_shape))


@keras.saving.register_keras_serializable(package="zoo")
class ZeroInflatedNegativeBinomial(Dispersed):
    """As `NegativeBinomial`, and each count may be lost, and is 0 then: with a probability pi that
    the network gives, p(0) = pi + (1 - pi) NB(0) and p(x) = (1 - pi) NB(x).

    Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15,
    2018, eqs. 1-5 of the methods. https://doi.org/10.1038/s41592-018-0229-2

    Args:
        event_shape: G.

    Call arguments:
        params: Tensor [..., B, 2 G]: of each of the G things the logit of its share, and behind it
            that of a loss.
        library: Positive numbers [B] or [], or None for the typical one.
    """

    # The logit of a loss at the start: of few counts.
    START = -3.0

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        return 2 * CountLikelihood.params_size(event_shape)

    def of_library(self, params: tf.Tensor, library: tf.Tensor) -> Distribution:
        shares, dropout_logits = self.as_event(params, num_maps=2)
        theta, logits = self.size_and_logits(shares, library)
        losses = tf.clip_by_value(dropout_logits, -BOUND, BOUND)
        return IndependentPixels(ZeroInflatedCounts(theta, logits, losses), len(self.event_shape))

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """Those of the negative binomial, and a chance of a loss of 5 %."""
        shares = super().params_of_mean(mean)
        return tf.reshape(tf.stack([shares, tf.fill(shares.shape, self.START)], axis=-1), [-1])


@keras.saving.register_keras_serializable(package="zoo")
class Poisson(CountLikelihood):
    """Independent Poisson counts [G] with mean l softmax(params), where l is the library size.

    Args:
        event_shape: G.

    Call arguments:
        params: Tensor [..., B, G], logits of the shares of the library.
        library: Positive numbers [B] or [], or None for the typical one.
    """

    def of_library(self, params: tf.Tensor, library: tf.Tensor) -> Distribution:
        log_rate = _log_means(params, library)
        return IndependentPixels(tfd.Poisson(log_rate=log_rate), len(self.event_shape))


@keras.saving.register_keras_serializable(package="zoo")
class Multinomial(CountLikelihood):
    """Counts [G] of l draws with the shares softmax(params), where l is the library size: they add
    up to it.

    Nothing is said of l itself, so log p is that of the counts given their sum. Draws are of at
    most 2^16 things: beyond it `sample` raises, and a row of an exported model is NaN.

    Args:
        event_shape: G.

    Call arguments:
        params: Tensor [..., B, G], logits of the shares of the library.
        library: Positive numbers [B] or [], or None for the typical one.
    """

    def of_library(self, params: tf.Tensor, library: tf.Tensor) -> Distribution:
        shares = _log_shares(params)
        # One library for each row of the samples before it.
        total = tf.broadcast_to(library, tf.shape(shares)[:-1])
        return MultinomialCounts(tf.ensure_shape(total, shares.shape[:-1]), logits=shares)

    def start_at(self, mean: tf.Tensor, scale: tf.Tensor) -> None:
        self.typical_library.assign(tf.maximum(tf.round(tf.reduce_sum(mean)), 1.0))
