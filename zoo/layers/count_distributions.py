"""Distributions of counts that stay exact and finite, and how counts are drawn by row."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.observations.base import is_symbolic
from zoo.random import RowNoise, Stream, draw, draw_elementwise
from zoo.tensors import static_sizes
from zoo.typing import Distribution

tfd = tfp.distributions

# Halvings of the interval that holds a quantile: counts up to 2^24 to the integer.
HALVINGS = 24
# The rate from which on a Poisson's distribution function is taken by Wilson and Hilferty's
# formula, there exact to 1e-6: the incomplete gamma function's series ends too early.
LARGE_RATE = 1e5
# A multinomial is drawn of at most so many things, some at a time.
MOST_DRAWN = 2**16
DRAWN_AT_ONCE = 2**13
# What stands for the number of a latent in the draws of a multinomial's first part.
FIRST_PART = 1000


class ZeroInflatedCounts(tfd.AutoCompositeTensorDistribution):
    """A negative binomial count that is lost, and 0 then, with the probability pi.

        p(0) = pi + (1 - pi) NB(0),    p(x) = (1 - pi) NB(x)

    Args:
        total_count: Positive float tensor, theta of the negative binomial.
        logits: Float tensor: log(mean / theta) of the negative binomial.
        dropout_logits: Float tensor, the logits of pi.
    """

    def __init__(
        self,
        total_count: Any,
        logits: Any,
        dropout_logits: Any,
        name: str = "ZeroInflatedCounts",
    ) -> None:
        parameters = dict(locals())
        self.total_count = tf.convert_to_tensor(total_count, tf.float32)
        self.logits = tf.convert_to_tensor(logits, tf.float32)
        self.dropout_logits = tf.convert_to_tensor(dropout_logits, tf.float32)
        super().__init__(
            tf.float32,
            tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        names = ("total_count", "logits", "dropout_logits")
        return {name: tfp.util.ParameterProperties() for name in names}

    def _event_shape(self):
        return tf.TensorShape([])

    def counts(self) -> Distribution:
        """The negative binomial."""
        return tfd.NegativeBinomial(
            self.total_count, logits=self.logits, require_integer_total_count=False
        )

    def _log_prob(self, x):
        theta, logits, lost = self.total_count, self.logits, self.dropout_logits
        # log NB(x), in a third of the time of TFP's, which is made for theta of any size.
        chosen = tf.math.lgamma(x + theta) - tf.math.lgamma(theta) - tf.math.lgamma(x + 1.0)
        counts = chosen + x * logits - (theta + x) * tf.math.softplus(logits)
        # With pi = e^l / (1 + e^l): p(0) = (e^l + NB(0)) / (1 + e^l), p(x) = NB(x) / (1 + e^l).
        of_zero = tfp.math.log_add_exp(lost, counts)
        return tf.where(x == 0, of_zero, counts) - tf.math.softplus(lost)

    def _mean(self):
        return tf.sigmoid(-self.dropout_logits) * self.counts().mean()


class MultinomialCounts(tfd.Multinomial):
    """`tfd.Multinomial` whose log-probability of many things keeps its digits.

    Counts that add up to n are independent Poisson counts given their sum:

        log p(x) = sum_g log Poisson(x_g; n p_g) - log Poisson(n; n)

    No term here is of the size of log n!, which the general form subtracts from its like.
    """

    def _log_prob(self, counts):
        n = tf.cast(self.total_count, tf.float32)
        log_rate = tf.nn.log_softmax(self.logits_parameter()) + tf.math.log(n)[..., None]
        each = counts * log_rate - tf.math.lgamma(counts + 1.0) - tf.exp(log_rate)
        return tf.reduce_sum(each, axis=-1) - _log_poisson_at_its_rate(n)


def _log_poisson_at_its_rate(n):
    """log Poisson(n; n) = n log n - n - log n!, for n >= 1: by Stirling's series where the terms
    are large."""
    small, large = tf.minimum(n, 8.0), tf.maximum(n, 8.0)
    series = 0.5 * tf.math.log(2.0 * math.pi * large) + 1.0 / (12.0 * large)
    series -= 1.0 / (360.0 * large**3)
    return tf.where(
        n < 8.0, small * tf.math.log(small) - small - tf.math.lgamma(small + 1), -series
    )


def least_count(
    reaches: Callable[[tf.Tensor], tf.Tensor], high: tf.Tensor, halvings: int = HALVINGS
) -> tf.Tensor:
    """The least count that reaches, found by bisection.

    Args:
        reaches: Function of non-negative whole numbers, float tensor: whether F(count) >= u.
        high: Counts that reach, a tensor of the shape of u.
        halvings: The answer is exact where `high` is below 2**halvings.
    """
    low = tf.zeros_like(high) - 1.0
    for _ in range(halvings):  # F(low) < u <= F(high)
        middle = tf.math.floor((low + high) / 2.0)
        is_enough = reaches(tf.maximum(middle, 0.0))
        low, high = (
            tf.where(is_enough | (middle < 0), low, middle),
            tf.where(is_enough & (middle >= 0), middle, high),
        )
    return high


@draw_elementwise.register(tfd.NegativeBinomial)
def draw_elementwise_negative_binomial(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """The least count whose distribution function reaches u: a gamma's number of tries is not
    bounded."""
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    return _negative_binomial_quantile(distribution, u)


def _negative_binomial_quantile(distribution, u):
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
    # TFP's own `cdf` holds a function with captured tensors, which no SavedModel can.
    return least_count(lambda count: tf.math.betainc(size, count + 1.0, failure) >= u, high)


@draw_elementwise.register(ZeroInflatedCounts)
def draw_elementwise_zero_inflated(
    distribution: ZeroInflatedCounts,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """By one uniform number, as F(x) = pi + (1 - pi) F_NB(x): below pi it is a loss, and what is
    left above it is the negative binomial's."""
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    lost, seen = tf.sigmoid(distribution.dropout_logits), tf.sigmoid(-distribution.dropout_logits)
    left = tf.clip_by_value((u - lost) / seen, 0.0, 1.0 - 2.0**-24)
    return tf.where(u < lost, 0.0, _negative_binomial_quantile(distribution.counts(), left))


@draw_elementwise.register(tfd.Poisson)
def draw_elementwise_poisson(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """The least count whose distribution function reaches u, in float64: in float32 the incomplete
    gamma function of 1e5 is wrong by 0.04."""
    u = tf.cast(noise.uniform(stream, event_shape, num_samples, first_sample), tf.float64)
    rate = tf.cast(distribution.rate_parameter(), tf.float64) + tf.zeros_like(u)

    def reaches(count):
        exact = tf.math.igammac(count + 1.0, tf.minimum(rate, LARGE_RATE))
        # Wilson & Hilferty, PNAS 17, 1931: the cube root of a gamma variable is nearly normal.
        shape = count + 1.0
        z = 3.0 * tf.sqrt(shape) * (1.0 - 1.0 / (9.0 * shape) - (rate / shape) ** (1.0 / 3.0))
        return tf.where(rate < LARGE_RATE, exact, 0.5 * tf.math.erfc(-z / math.sqrt(2.0))) >= u

    high = tf.minimum(tf.math.ceil(rate + 12.0 * tf.sqrt(rate) + 20.0), 2.0**24)
    return tf.cast(least_count(reaches, high), tf.float32)


@draw.register(tfd.Multinomial)
def draw_multinomial(
    distribution: Distribution,
    noise: RowNoise,
    stream: Stream = Stream.LATENT,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    """One uniform number for each of the n things, and how many of them lie below each edge of the
    shares: things and edges are sorted together, which takes a shape that is known.

    Raises:
        ValueError: If n is above 2**16. In a graph, which cannot know, such a row is NaN.
    """
    total, most = tf.cast(distribution.total_count, tf.float32), MOST_DRAWN
    if not is_symbolic(total):
        most = int(tf.reduce_max(total))
    if most > MOST_DRAWN:
        raise ValueError(
            f"A multinomial is drawn of at most {MOST_DRAWN:,} things. Received: a library of "
            f"{most:,}. A smaller `library` can be drawn, or counts that are `Poisson`."
        )
    (size,) = static_sizes(distribution.event_shape)
    edges = tf.cumsum(distribution.probs_parameter(), axis=-1)[..., :-1]
    below = []  # of each part: how many things lie below each edge, [S, B, G - 1]
    for first in range(0, most, DRAWN_AT_ONCE):
        part = noise.of_latent(FIRST_PART + first // DRAWN_AT_ONCE)
        u = part.uniform(stream, (DRAWN_AT_ONCE,), num_samples, first_sample)
        numbers = tf.cast(first + tf.range(DRAWN_AT_ONCE), tf.float32)
        u = tf.where(numbers < total[..., None], u, 2.0)  # things that there are not lie behind all
        here = tf.broadcast_to(edges, tf.concat([tf.shape(u)[:-1], [size - 1]], axis=0))
        order = tf.argsort(tf.concat([here, u], axis=-1), stable=True)
        places = tf.where(order < size - 1, tf.range(size - 1 + DRAWN_AT_ONCE), 2**30)
        # Of the g-th edge's place, g are edges and the rest are things below it.
        below.append(tf.sort(places)[..., : size - 1] - tf.range(size - 1))
    up_to = tf.cast(tf.add_n(below), tf.float32)
    total = total[..., None] + tf.zeros([*tf.unstack(tf.shape(up_to)[:-1]), 1])
    counts = tf.concat([up_to, total], axis=-1) - tf.concat([tf.zeros_like(total), up_to], axis=-1)
    return tf.where(total > MOST_DRAWN, float("nan"), counts)
