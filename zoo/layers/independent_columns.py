"""The distribution of a row of mixed columns, and how its kinds are drawn by row."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.count_distributions import least_count
from zoo.random import RowNoise, Stream, draw, draw_elementwise
from zoo.tensors import static_sizes
from zoo.typing import Distribution

tfd = tfp.distributions

# Halvings of the interval that holds a Poisson's quantile: its rate is at most e^8.
HALVINGS = 13
# What stands for the number of a latent in the draws of the first group of columns.
FIRST_GROUP = 1000


class ClassNumber(tfd.Categorical):
    """`tfd.Categorical` whose log-probability is minus infinity of a number that is no class, where
    TensorFlow's own kernel raises and XLA's gives NaN."""

    def _log_prob(self, number):
        logits = self.logits_parameter()
        num_classes = logits.shape[-1]
        chosen = tf.one_hot(number, num_classes, dtype=logits.dtype)
        log_prob = tf.reduce_sum(chosen * tf.nn.log_softmax(logits), axis=-1)
        return tf.where((number >= 0) & (number < num_classes), log_prob, -float("inf"))


class IndependentColumns(tfd.AutoCompositeTensorDistribution):
    """Independent columns of several kinds: batch [...], event [C].

    Args:
        distributions: Scalar distributions of batch [..., n], a list: n columns of one kind.
        places: For each of them the numbers of its columns among the C.
    """

    def __init__(
        self,
        distributions: Sequence[Distribution],
        places: Sequence[Sequence[int]],
        name: str = "IndependentColumns",
    ) -> None:
        parameters = dict(locals())
        self.distributions = distributions
        self.places = places
        # Where each of the C columns lies among the groups one after another.
        order = [number for group in places for number in group]
        self._order = [order.index(number) for number in range(len(order))]
        through = all(
            of_kind.reparameterization_type == tfd.FULLY_REPARAMETERIZED
            for of_kind in distributions
        )
        super().__init__(
            tf.float32,
            tfd.FULLY_REPARAMETERIZED if through else tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {
            "distributions": tfp.util.ParameterProperties(event_ndims=lambda self: [1] * len(self))
        }

    def _event_shape(self):
        return tf.TensorShape([len(self._order)])

    def _event_shape_tensor(self):
        return tf.constant([len(self._order)])

    def _batch_shape(self):
        return self.distributions[0].batch_shape[:-1]

    def _batch_shape_tensor(self, **unused):
        return self.distributions[0].batch_shape_tensor()[:-1]

    def _together(self, values):
        """A tensor [..., n] of each group -> [..., C]."""
        return tf.gather(tf.concat(values, axis=-1), self._order, axis=-1)

    def log_prob_of_columns(self, x: tf.Tensor) -> tf.Tensor:
        """log p of each column: [..., C], nats."""
        return self._together(
            [
                distribution.log_prob(tf.cast(tf.gather(x, numbers, axis=-1), distribution.dtype))
                for distribution, numbers in zip(self.distributions, self.places, strict=True)
            ]
        )

    def _log_prob(self, x, observed=None, **unused):
        if observed is None:
            return tf.reduce_sum(self.log_prob_of_columns(x), axis=-1)
        # A value that every kind can have, where nothing was seen: an infinite density times 0 is
        # not 0.
        seen = observed > 0
        log_prob = self.log_prob_of_columns(tf.where(seen, x, 1.0))
        return tf.reduce_sum(tf.where(seen, log_prob, 0.0), axis=-1)

    def _mean(self):
        return self._together([_mean_of(distribution) for distribution in self.distributions])

    def statistics(self) -> tf.Tensor:
        """What may be averaged over distributions, where class numbers may not: of columns of
        numbers the mean, of those of classes the probability of each. Float tensor [..., T], one
        kind of columns after another."""
        return tf.concat(
            [_statistics_of(distribution) for distribution in self.distributions], axis=-1
        )


def _statistics_of(distribution):
    """[..., n] of numbers, [..., n K] of classes."""
    if not isinstance(distribution, tfd.Categorical):
        return distribution.mean()
    probs = distribution.probs_parameter()
    size = math.prod(static_sizes(probs.shape[-2:]))
    return tf.reshape(probs, tf.concat([tf.shape(probs)[:-2], [size]], axis=0))


def _mean_of(distribution):
    if isinstance(distribution, tfd.Categorical):
        return tf.cast(distribution.mode(), tf.float32)
    return distribution.mean()


@functools.singledispatch
def draw_kind(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """Draws of the columns of one kind: by `zoo.random.draw_elementwise`, unless that has no rule
    for it, or one that takes a loop. Arguments and shapes as there."""
    return draw_elementwise(distribution, event_shape, noise, stream, num_samples, first_sample)


@draw.register(IndependentColumns)
def draw_columns(
    distribution: IndependentColumns,
    noise: RowNoise,
    stream: Stream = Stream.PIXEL,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    # Each group's draws are its own, and none are those of a latent, whose prior may be a mixture.
    drawn = [
        draw_kind(
            of_kind,
            (len(numbers),),
            noise.of_latent(FIRST_GROUP + number),
            stream,
            num_samples,
            first_sample,
        )
        for number, (of_kind, numbers) in enumerate(
            zip(distribution.distributions, distribution.places, strict=True)
        )
    ]
    return distribution._together([tf.cast(values, tf.float32) for values in drawn])


@draw_kind.register(tfd.StudentT)
def draw_student_t(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """By the polar method of Bailey, Mathematics of Computation 62, 1994, which rejects nothing:
    sqrt(df (u^(-2 / df) - 1)) cos(2 pi v)."""
    shape = (*static_sizes(event_shape), 2)
    u, v = tf.unstack(noise.uniform(stream, shape, num_samples, first_sample), axis=-1)
    # 1 - u lies in (0, 1]: its power is finite.
    growth = tf.math.expm1(-2.0 / distribution.df * tf.math.log(1.0 - u))
    # At u = 0 the root is 0, and its slope infinite.
    is_zero = growth <= 0
    radius = tf.where(is_zero, 0.0, tf.sqrt(distribution.df * tf.where(is_zero, 1.0, growth)))
    t = radius * tf.cos(2.0 * math.pi * v)
    return distribution.loc + distribution.scale * t


@draw_kind.register(tfd.Categorical)
def draw_categorical(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """The least class whose distribution function exceeds u."""
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    below = tf.cumsum(distribution.probs_parameter(), axis=-1)[..., :-1]
    return tf.reduce_sum(tf.cast(below <= tf.expand_dims(u, -1), tf.int32), axis=-1)


@draw_kind.register(tfd.MixtureSameFamily)
def draw_mixture(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """A component, and a draw of it; components are normals."""
    component = draw_kind(
        distribution.mixture_distribution,
        event_shape,
        noise,
        Stream.COMPONENT,
        num_samples,
        first_sample,
    )
    normals = distribution.components_distribution
    chosen = tf.one_hot(component, normals.loc.shape[-1])
    loc, scale = (tf.reduce_sum(chosen * p, axis=-1) for p in (normals.loc, normals.scale))
    return loc + scale * noise.normal(stream, event_shape, num_samples, first_sample)


@draw_kind.register(tfd.Poisson)
def draw_poisson(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """The least count whose distribution function reaches u, found by bisection."""
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    rate = distribution.rate_parameter() + tf.zeros_like(u)
    high = tf.math.ceil(rate + 12.0 * tf.sqrt(rate) + 20.0)
    return least_count(lambda count: tf.math.igammac(count + 1.0, rate) >= u, high, HALVINGS)
