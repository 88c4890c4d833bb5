"""p(x|z) of counts."""

from collections.abc import Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.base import bounded_scale, shape_tuple
from zoo.layers.likelihoods import Likelihood
from zoo.layers.pixels import IndependentPixels
from zoo.observations import Counts, Observation
from zoo.random import RowNoise, Stream, draw_elementwise
from zoo.typing import Distribution

tfd = tfp.distributions

# Halvings of the interval that holds a quantile: counts up to 2^24 to the integer.
HALVINGS = 24


@keras.saving.register_keras_serializable(package="zoo")
class NegativeBinomial(Likelihood):
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
        library: Tensor [B], or None for the typical one.
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
        self.raw_dispersion = self.add_weight(
            shape=self.event_shape, initializer="zeros", name="raw_dispersion"
        )
        self.typical_library = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="typical_library"
        )

    def call(self, params: tf.Tensor, library: tf.Tensor | None = None) -> Distribution:
        library = (
            tf.convert_to_tensor(self.typical_library) if library is None else library[:, None]
        )
        log_mean = tf.nn.log_softmax(tf.cast(params, tf.float32)) + tf.math.log(library)
        dispersion = bounded_scale(tf.convert_to_tensor(self.raw_dispersion))
        counts = tfd.NegativeBinomial(
            dispersion, logits=log_mean - tf.math.log(dispersion), require_integer_total_count=False
        )
        return IndependentPixels(counts, len(self.event_shape))

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """The logits of the mean's shares, kept off 0 by a thousandth of the average share."""
        mean = tf.cast(mean, tf.float32)
        return tf.math.log(mean + 1e-3 * tf.reduce_mean(mean) + 1e-12)

    def start_at(self, mean: tf.Tensor, scale: tf.Tensor) -> None:
        self.typical_library.assign(tf.maximum(tf.reduce_sum(mean), 1.0))


@draw_elementwise.register(tfd.NegativeBinomial)
def draw_elementwise_negative_binomial(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """The least count whose distribution function reaches u, found by bisection: a gamma's number
    of tries is not bounded."""
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    mean, deviation = distribution.mean(), distribution.stddev()
    size, failure = (
        tf.broadcast_to(p, tf.shape(u))
        for p in (distribution.total_count, 1.0 - distribution.probs_parameter())
    )
    odds = tf.exp(-distribution.logits_parameter())
    # P(X > x) falls like exp(-x log(1 + odds)) far out, and like a normal's near the mean of many:
    # u is at most 1 - 2^-24.
    high = tf.minimum(
        tf.math.ceil(mean + 10.0 * deviation + 20.0 / tf.math.log1p(odds)), 2.0**24
    ) + tf.zeros_like(u)
    low = tf.zeros_like(u) - 1.0
    for _ in range(HALVINGS):  # P(X <= low) < u <= P(X <= high)
        middle = tf.math.floor((low + high) / 2.0)
        # TFP's own `cdf` holds a function with captured tensors, which no SavedModel can.
        is_enough = tf.math.betainc(size, tf.maximum(middle, 0.0) + 1.0, failure) >= u
        low, high = (
            tf.where(is_enough | (middle < 0), low, middle),
            tf.where(is_enough & (middle >= 0), middle, high),
        )
    return high
