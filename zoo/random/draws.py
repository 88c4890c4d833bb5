"""Samples of distributions by row: a rule for each family, in which every number comes from a
`RowNoise`."""

import functools
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.random.noise import RowNoise, Stream
from zoo.typing import Distribution

tfd = tfp.distributions


@functools.singledispatch
def draw(
    distribution: Distribution,
    noise: RowNoise,
    stream: Stream = Stream.LATENT,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Samples of a distribution whose batch is the noise's rows (or is empty: then every row draws
    from the same one).

    Differentiable in the parameters for location-scale families.

    Args:
        distribution: A `tfd.Distribution` of batch shape [B] or [].
        noise: `RowNoise` of B rows.
        stream: A `Stream`.
        num_samples: S, or None for one sample without the leading dimension.
        first_sample: Number of the first sample.

    Returns:
        Tensor [S, B, *event_shape], or [B, *event_shape].

    Raises:
        TypeError: Where no rule is known for the family. `draw.register` adds one, and
            `draw_elementwise.register` one for the elements of a `tfd.Independent`.
    """
    raise TypeError(
        f"No rule to draw from {type(distribution).__name__} by row. "
        f"Register one with `zoo.random.draw.register({type(distribution).__name__})`."
    )


@draw.register(tfd.MultivariateNormalDiag)
@draw.register(tfd.MultivariateNormalTriL)
def draw_multivariate_normal(
    distribution: Distribution,
    noise: RowNoise,
    stream: Stream = Stream.LATENT,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    eps = noise.normal(stream, distribution.event_shape, num_samples, first_sample)
    return distribution.loc + distribution.scale.matvec(eps)  # z = loc + scale eps


@draw.register(tfd.OneHotCategorical)
def draw_one_hot(
    distribution: Distribution,
    noise: RowNoise,
    stream: Stream = Stream.LATENT,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    logits = distribution.logits_parameter()
    numbers = _draw_class(logits, noise, stream, num_samples, first_sample)
    return tf.one_hot(numbers, logits.shape[-1])


@draw.register(tfd.MixtureSameFamily)
def draw_mixture(
    distribution: Distribution,
    noise: RowNoise,
    stream: Stream = Stream.LATENT,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    components = distribution.components_distribution
    if not isinstance(components, tfd.MultivariateNormalDiag) or len(components.batch_shape) != 1:
        raise TypeError(
            f"No rule to draw from a mixture of {type(components).__name__} of batch shape "
            f"{components.batch_shape} by row: components must be a MultivariateNormalDiag of "
            "batch shape [K]."
        )
    logits = distribution.mixture_distribution.logits_parameter()  # [K]
    numbers = _draw_class(logits, noise, Stream.COMPONENT, num_samples, first_sample)
    loc, scale = (
        tf.gather(parameter, numbers) for parameter in (components.loc, components.stddev())
    )
    return draw(tfd.MultivariateNormalDiag(loc, scale), noise, stream, num_samples, first_sample)


def _draw_class(logits, noise, stream, num_samples, first_sample):
    """Numbers of classes, int32 [S, B] or [B], by Gumbel's maximum trick."""
    noisy = logits + gumbel(noise, stream, logits.shape[-1:], num_samples, first_sample)
    return tf.argmax(noisy, axis=-1, output_type=tf.int32)


def gumbel(
    noise: RowNoise,
    stream: Stream,
    shape: Sequence[int] | tf.TensorShape,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Standard Gumbel draws; arguments and shapes as in `RowNoise.uniform`."""
    u = noise.uniform(stream, shape, num_samples, first_sample)
    # U lies in [0, 1 - 2^-24]: both logarithms are finite.
    return -tf.math.log(-tf.math.log(tf.maximum(u, 2.0**-25)))


@draw.register(tfd.Independent)
def draw_independent(
    distribution: Distribution,
    noise: RowNoise,
    stream: Stream = Stream.LATENT,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    return draw_elementwise(
        distribution.distribution,
        distribution.event_shape,
        noise,
        stream,
        num_samples,
        first_sample,
    )


# What a uniform of 0, which stands for its cell [0, 2^-24), is taken for: quantiles of 0 are
# infinite or NaN. Inside the cell, and not its middle: 1 - 2^-25 is 1 in float32, and quantiles of
# that are no better.
_IN_FIRST_CELL = 1.5 * 2.0**-25


@functools.singledispatch
def draw_elementwise(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    """Samples of independent elements, by the inverse transform x = F^-1(u) unless the family has a
    rule of its own.

    Args:
        distribution: Scalar `tfd.Distribution` of batch shape [B, *event_shape] or [*event_shape].
        event_shape: Shape of one row.
        noise, stream, num_samples, first_sample: As in `draw`.

    Returns:
        Tensor [S, B, *event_shape], or [B, *event_shape].

    Raises:
        TypeError: Where the family has no quantile function.
    """
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    try:
        return distribution.quantile(tf.where(u > 0, u, _IN_FIRST_CELL))
    except NotImplementedError:  # how TFP says that it knows none
        family = type(distribution).__name__
        raise TypeError(
            f"No rule to draw from {family} by row, and it has no quantile function. "
            f"Register one with `zoo.random.draw_elementwise.register({family})`."
        ) from None


@draw_elementwise.register(tfd.Normal)
def draw_elementwise_normal(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    return distribution.loc + distribution.scale * noise.normal(
        stream, event_shape, num_samples, first_sample
    )


@draw_elementwise.register(tfd.HalfNormal)
def draw_elementwise_half_normal(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    # By the upper tail: TFP's quantile takes the inverse error function of u, which is infinite at
    # 1 - 2^-24 and 0 at 2^-24.
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    return -distribution.scale * tf.math.ndtri(0.5 - 0.5 * u)


@draw_elementwise.register(tfd.Bernoulli)
def draw_elementwise_bernoulli(
    distribution: Distribution,
    event_shape: Sequence[int] | tf.TensorShape,
    noise: RowNoise,
    stream: Stream,
    num_samples: int | tf.Tensor | None,
    first_sample: int | tf.Tensor,
) -> tf.Tensor:
    u = noise.uniform(stream, event_shape, num_samples, first_sample)
    return tf.cast(u < distribution.probs_parameter(), tf.float32)
