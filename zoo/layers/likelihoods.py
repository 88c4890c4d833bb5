"""p(x|z): what a pixel is, given the decoder's output."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import validation
from zoo.layers.base import (
    LOG_SCALE_BOUND,
    DistributionLayer,
    bounded_scale,
    raw_of_scale,
    shape_tuple,
)
from zoo.layers.pixels import (
    BernoulliFromLogits,
    ContinuousBernoulliFromLogits,
    DiscretizedLogisticLevel,
    IndependentPixels,
)
from zoo.observations import Image, Observation, Vector
from zoo.typing import Distribution
from zoo.validation import shown

tfd = tfp.distributions


class Likelihood(DistributionLayer):
    """A distribution layer over observations.

    Attributes:
        pixels: What becomes of a level before it is scored, where x is an image: "binarize",
            "dequantize" or "as_given".
        num_levels: Number of levels of a pixel that get probabilities, as bits/dim needs it, or
            None for another kind of outcome.
        observes: The observations that it is defined for.
    """

    pixels = "as_given"
    num_levels = None
    observes: tuple[type[Observation], ...] = (Image,)

    @property
    def observation(self) -> Observation:
        """What x is, unless a model is told another one."""
        return Image(self.event_shape, self.pixels)

    def assert_is_over(self, observation: Observation) -> None:
        """Raises ValueError where the likelihood is not defined for an observation."""
        if not isinstance(observation, self.observes):
            kinds = " or ".join(kind.__name__ for kind in self.observes)
            raise ValueError(
                f"{type(self).__name__} is over an observation {kinds}. Received: "
                f"{type(observation).__name__}."
            )

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """Parameters of the distribution that is centred on an image, for a decoder's output bias
        (`start_at_mean` of models).

        Every likelihood has them. Where the family's mean is its location or a function of one
        parameter, that is solved for; another parameter, such as a scale that the network gives, is
        0 (a scale of 1).

        Args:
            mean: Float tensor [*event_shape], pixels in [0, 1].

        Returns:
            Float32 tensor [num_params].

        Raises:
            TypeError: Where a likelihood of one's own does not define it.
        """
        raise TypeError(
            f"{type(self).__name__} must say which parameters belong to a mean. Received: "
            "no `params_of_mean`. Define `params_of_mean(self, mean)`: [*event_shape] -> "
            "[num_params]."
        )

    def params_of(self, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """The same, where a scale that the network gives is `scale`:
        [*event_shape] -> [num_params]."""
        return self.params_of_mean(mean)

    def start_at(self, mean: tf.Tensor, scale: tf.Tensor) -> None:
        """Sets what the layer itself has learned, such as a shared scale, to that of data with this
        mean and scale."""

    # -- Averages over several p(x|z), as over draws of z

    @property
    def statistics_shape(self) -> tuple[int, ...]:
        """Shape of the `statistics` of one outcome."""
        return self.event_shape

    def statistics(self, distribution: Distribution) -> tf.Tensor:
        """What may be averaged over distributions of this layer, [..., B, *statistics_shape]: the
        mean, unless outcomes are classes."""
        return distribution.mean()

    def typical(self, statistics: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What averaged statistics [B, *statistics_shape] say of an outcome.

        Returns:
            The mean, of a class the most probable one; and the probability of that class, NaN of
            numbers. Each [B, *event_shape].
        """
        return statistics, tf.fill(tf.shape(statistics), math.nan)


def inside_unit_interval(mean: tf.Tensor) -> tf.Tensor:
    """Pixels [*event_shape] as float32 [size] in [0.001, 0.999]: parameters of 0 and 1 themselves
    are infinite."""
    return tf.clip_by_value(tf.reshape(tf.cast(mean, tf.float32), [-1]), 1e-3, 1 - 1e-3)


def parameter_of_mean(mean_of: Callable[[tf.Tensor], tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
    """The parameters in [-1000, 1000] at which an increasing function `mean_of` has these values,
    found by bisection: [n] -> [n]."""
    low, high = tf.fill(mean.shape, -1e3), tf.fill(mean.shape, 1e3)
    for _ in range(32):  # to 2000 / 2^32 = 5e-7
        middle = (low + high) / 2.0
        is_below = mean_of(middle) < mean
        low, high = tf.where(is_below, middle, low), tf.where(is_below, high, middle)
    return (low + high) / 2.0


@keras.saving.register_keras_serializable(package="zoo")
class Bernoulli(Likelihood):
    """Independent binary pixels; parameters are logits."""

    pixels = "binarize"

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        return math.prod(shape_tuple(event_shape, "event_shape"))

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """The logits of `mean`, kept off 0 and 1 by 1e-3."""
        mean = inside_unit_interval(mean)
        return tf.math.log(mean) - tf.math.log1p(-mean)

    def distribution(self, params: tf.Tensor) -> Distribution:
        (logits,) = self.as_event(params)
        return IndependentPixels(
            BernoulliFromLogits(logits, dtype=tf.float32), len(self.event_shape)
        )


@keras.saving.register_keras_serializable(package="zoo")
class ContinuousBernoulli(Likelihood):
    """Independent pixels in [0, 1] with density proportional to p^x (1 - p)^(1 - x).

    Loaiza-Ganem & Cunningham, NeurIPS 2019. https://arxiv.org/abs/1907.06845
    """

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        return Bernoulli.params_size(event_shape)

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """The logits whose distribution has `mean`, kept off 0 and 1 by 1e-3. No closed form is
        known: found by bisection."""
        # Near 0 and 1 the mean is 1 / |logit| from the end: logits of every mean that is left lie
        # within [-1000, 1000].
        return parameter_of_mean(
            lambda logits: ContinuousBernoulliFromLogits(logits=logits).mean(),
            inside_unit_interval(mean),
        )

    def distribution(self, params: tf.Tensor) -> Distribution:
        (logits,) = self.as_event(params)
        return IndependentPixels(
            ContinuousBernoulliFromLogits(logits=logits), len(self.event_shape)
        )


class LocationScale(Likelihood):
    """Independent pixels of a location-scale family; an override says which (`pixel`).

    Args:
        event_shape: Shape of an image.
        scale: A positive number (fixed), "shared" (one learned scale for all pixels) or "per_pixel"
            (the network gives it).
    """

    def __init__(self, event_shape: int | Sequence[int], scale: float | str, **kwargs: Any) -> None:
        super().__init__(event_shape, **kwargs)
        fixed = validation.is_number(scale) and 0 < scale < math.inf
        if not (fixed or scale in ("shared", "per_pixel")):
            raise ValueError(
                "`scale` must be a positive number, 'shared' or 'per_pixel'. Received: "
                f"scale={shown(scale)}."
            )
        self.scale = scale

    @staticmethod
    def params_size(event_shape: int | Sequence[int], scale: float | str = 1.0) -> int:
        return Bernoulli.params_size(event_shape) * (2 if scale == "per_pixel" else 1)

    @property
    def num_params(self) -> int:
        return self.params_size(self.event_shape, self.scale)

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """The location is `mean`; the scale is 1 where the network gives it."""
        loc = tf.reshape(tf.cast(mean, tf.float32), [-1])
        if self.scale != "per_pixel":
            return loc
        # A pixel's two parameters lie side by side.
        return tf.reshape(tf.stack([loc, tf.zeros_like(loc)], axis=-1), [-1])

    def params_of(self, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        if self.scale != "per_pixel":
            return self.params_of_mean(mean)
        loc, raw = (
            tf.reshape(tf.cast(values, tf.float32), [-1]) for values in (mean, raw_of_scale(scale))
        )
        # An element's two parameters lie side by side.
        return tf.reshape(tf.stack([loc, raw], axis=-1), [-1])

    def start_at(self, mean: tf.Tensor, scale: tf.Tensor) -> None:
        if self.scale == "shared":
            self.raw_scale.assign(raw_of_scale(tf.sqrt(tf.reduce_mean(tf.square(scale)))))

    def build(self, params_shape: tuple[int | None, ...]) -> None:
        super().build(params_shape)
        if self.scale == "shared":
            self.raw_scale = self.add_weight(shape=(), initializer="zeros", name="raw_scale")

    def distribution(self, params: tf.Tensor) -> Distribution:
        if self.scale == "per_pixel":
            loc, raw_scale = self.as_event(params, num_maps=2)
            scale = bounded_scale(raw_scale)
        else:
            (loc,) = self.as_event(params)
            scale = (
                self.scale
                if validation.is_number(self.scale)
                else bounded_scale(tf.convert_to_tensor(self.raw_scale))
            )
        return IndependentPixels(self.pixel(loc, scale), len(self.event_shape))

    def pixel(self, loc: tf.Tensor, scale: float | tf.Tensor) -> Distribution:
        """The distribution of each pixel: `loc` [..., B, *event_shape], `scale` alike or a
        scalar."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="zoo")
class Normal(LocationScale):
    """Independent Normal pixels. With one scale for all, fixed or learned, minus the ELBO is a
    weighted squared error plus the KL.

    Of vectors [D] likewise, which may have any range. A density: of pixels that are constant over
    the data it grows without bound, unless they are dequantized.
    """

    observes = (Image, Vector)

    @property
    def observation(self) -> Observation:
        return Vector(self.event_shape) if len(self.event_shape) == 1 else super().observation

    def __init__(
        self, event_shape: int | Sequence[int], scale: float | str = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(event_shape, scale, **kwargs)

    def pixel(self, loc: tf.Tensor, scale: float | tf.Tensor) -> Distribution:
        return tfd.Normal(loc, scale)


@keras.saving.register_keras_serializable(package="zoo")
class Laplace(LocationScale):
    """Independent Laplace pixels: with one scale for all, minus the ELBO is a weighted absolute
    error plus the KL. Less is lost on outliers than under `Normal`, and edges blur less.

    Of vectors [D] likewise, which may have any range. A density: of pixels that are constant over
    the data it grows without bound, unless they are dequantized.
    """

    observes = (Image, Vector)
    # Locations beyond it are taken for it: a row's sum stays finite.
    LOC_BOUND = 1e30

    @property
    def observation(self) -> Observation:
        return Vector(self.event_shape) if len(self.event_shape) == 1 else super().observation

    def __init__(
        self, event_shape: int | Sequence[int], scale: float | str = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(event_shape, scale, **kwargs)

    def params_of(self, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        return super().params_of(mean, _laplace_scale(scale))

    def start_at(self, mean: tf.Tensor, scale: tf.Tensor) -> None:
        super().start_at(mean, _laplace_scale(scale))

    def pixel(self, loc: tf.Tensor, scale: float | tf.Tensor) -> Distribution:
        return tfd.Laplace(tf.clip_by_value(loc, -self.LOC_BOUND, self.LOC_BOUND), scale)


def _laplace_scale(deviation):
    """The scale of a Laplace distribution, whose variance is 2 scale^2."""
    return deviation / math.sqrt(2.0)


@keras.saving.register_keras_serializable(package="zoo")
class DiscretizedLogistic(LocationScale):
    """Independent pixels of 256 levels, given as floats k / 255: a logistic distribution's mass
    around each level.

    Minus its log-probability is a code length, so models of 8-bit images compare by it, in
    bits/dim. Its mean is that of `DiscretizedLogisticLevel`: up to half a level from the mean of
    levels.

    Salimans, Karpathy, Chen & Kingma, "PixelCNN++", ICLR 2017, eqs. 1-2, with one component.
    https://arxiv.org/abs/1701.05517
    """

    num_levels = 256

    def __init__(
        self, event_shape: int | Sequence[int], scale: float | str = "per_pixel", **kwargs: Any
    ) -> None:
        super().__init__(event_shape, scale, **kwargs)

    @staticmethod
    def params_size(event_shape: int | Sequence[int], scale: float | str = "per_pixel") -> int:
        return LocationScale.params_size(event_shape, scale)

    def pixel(self, loc: tf.Tensor, scale: float | tf.Tensor) -> Distribution:
        # Beyond it (x - loc) / scale overflows, and pixels have long lost sight of the location.
        bound = math.exp(LOG_SCALE_BOUND)
        return DiscretizedLogisticLevel(tf.clip_by_value(loc, -bound, bound), scale)
