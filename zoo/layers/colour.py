"""p(x|z) of colour pictures of 8 bits: the 256 levels of each channel of a pixel."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.layers.base import bounded_log_scale, raw_of_scale, shape_tuple
from zoo.layers.likelihoods import (
    Bernoulli,
    Likelihood,
    inside_unit_interval,
    parameter_of_mean,
)
from zoo.layers.logistic_mixture import LogisticMixtureImage
from zoo.layers.pixels import NUM_LEVELS, CategoricalLevel, IndependentPixels, as_level
from zoo.typing import Distribution

# The scale of a raw scale of 0: a logistic distribution as wide as the levels of photographs are,
# whose standard deviation is about a quarter of the range.
START_SCALE = 0.125
START_LOG_SCALE = math.log(START_SCALE)
# A raw location of 0 is mid-grey; -1 and 1 are black and white.
MID_GREY = 0.5
# Standard deviation of a logistic distribution of scale 1.
LOGISTIC_DEVIATION = math.pi / math.sqrt(3.0)

# Logits of levels beyond it are taken for it: sums of their differences stay finite.
LOGIT_BOUND = 1e4
# Share of a uniform distribution in the levels that a categorical starts from, so that each can be
# learned.
UNIFORM_SHARE = 0.01


def image_shape_of(event_shape: Any) -> tuple[int, int, int]:
    """(H, W, C) as positive Python integers.

    Raises:
        ValueError: If it is another shape.
    """
    shape = shape_tuple(event_shape, "event_shape")
    if len(shape) != 3:
        raise ValueError(
            "`event_shape` must be (H, W, C) of a picture, whose channels are coupled. Received: "
            f"event_shape={shape}. One of grey levels has the shape (H, W, 1)."
        )
    return shape


@keras.saving.register_keras_serializable(package="zoo")
class DiscretizedLogisticMixture(Likelihood):
    """Pictures [H, W, C] of 256 levels, given as floats k / 255: in each pixel a mixture of
    discretized logistics whose channels are coupled.

    A component has a location and a scale for each channel, and one weight for all. The location of
    green moves with the level of red, that of blue with those of red and green: within a component,

        loc_green = a + alpha (red - 1/2),    loc_blue = b + beta (red - 1/2) + gamma (green - 1/2),

    where red and green are the levels x themselves, and alpha, beta and gamma lie in (-1, 1). Any
    number of channels is coupled so, each to those before it; one channel is a plain mixture.

    A parameter of 0 means a start: the location is (1 + raw) / 2, so that 0 is mid-grey; the scale
    is exp(8 tanh(raw / 8)) / 8, so that 0 is an eighth of the range, and every scale lies within
    [e^-8, e^8] / 8; coefficients are tanh(raw), weights softmax(raw).

    Minus its log-probability is a code length, and models compare by it, in bits/dim. The mean, and
    how exact it is, is that of `zoo.layers.logistic_mixture.LogisticMixtureImage`.

    Salimans, Karpathy, Chen & Kingma, "PixelCNN++", ICLR 2017, eqs. 1-3.
    https://arxiv.org/abs/1701.05517

    Args:
        event_shape: (H, W, C).
        num_components: K.

    Call arguments:
        params: Tensor [..., B, params_size]. Those of a pixel lie side by side: K weights, then for
            each channel K locations, for each channel K scales, and for each pair of channels K
            coefficients (green with red, blue with red, blue with green); 10 K of them for colours.

    Raises:
        ValueError: If the shape is none of a picture.
    """

    num_levels = NUM_LEVELS

    def __init__(self, event_shape: Sequence[int], num_components: int = 10, **kwargs: Any) -> None:
        super().__init__(image_shape_of(event_shape), **kwargs)
        self.num_components = validation.integer("num_components", num_components)

    @staticmethod
    def params_size(event_shape: Sequence[int], num_components: int = 10) -> int:
        height, width, channels = image_shape_of(event_shape)
        return height * width * num_components * _num_maps(channels)

    @property
    def num_params(self) -> int:
        return self.params_size(self.event_shape, self.num_components)

    def distribution(self, params: tf.Tensor) -> Distribution:
        height, width, channels = self.event_shape
        num_maps, num_pixels = _num_maps(channels), height * width
        leading, static = tf.shape(params)[:-1], params.shape[:-1]
        pixels = tf.reshape(params, tf.concat([leading, [num_pixels, -1]], axis=0))
        maps = tf.reshape(
            tf.linalg.matrix_transpose(pixels),
            tf.concat([leading, [num_maps, self.num_components, num_pixels]], axis=0),
        )
        maps = tf.ensure_shape(maps, [*static, num_maps, self.num_components, num_pixels])
        logits, *maps = tf.unstack(maps, axis=-3)  # [..., B, K, H W] each
        return LogisticMixtureImage(
            logits,
            [MID_GREY + 0.5 * raw for raw in maps[:channels]],
            [START_LOG_SCALE + bounded_log_scale(raw) for raw in maps[channels : 2 * channels]],
            [tf.tanh(raw) for raw in maps[2 * channels :]],
            self.event_shape,
        )

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """All locations are `mean`; the other parameters are 0."""
        loc = tf.reshape(tf.cast(mean, tf.float32), [-1])
        return self._params(tf.stack([loc] * self.num_components), tf.zeros_like(loc))

    def params_of(self, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Equal components in the middle of K equal parts of one standard deviation on either side
        of the mean. Before it is cut to levels the mixture has this mean and deviation."""
        mean, scale = (tf.reshape(tf.cast(v, tf.float32), [-1]) for v in (mean, scale))
        size = self.num_components
        places = [(2 * k + 1 - size) / size for k in range(size)]
        within = math.sqrt(1.0 - (size**2 - 1) / (3 * size**2))  # variance 1, less that of places
        raw = raw_of_scale(scale * within / (LOGISTIC_DEVIATION * START_SCALE))
        return self._params(tf.stack([mean + scale * place for place in places]), raw)

    def _params(self, locs, raw_scales):
        """Parameters of locations [K, H W C] and raw scales [H W C], with equal weights and no
        coupling."""
        *_, channels = self.event_shape
        size = self.num_components
        locs = tf.transpose(tf.reshape(locs, [size, -1, channels]), [1, 2, 0])  # [H W, C, K]
        scales = tf.repeat(tf.reshape(raw_scales, [-1, channels, 1]), size, axis=-1)
        weight, pairs = tf.zeros_like(locs[:, :1]), [_num_pairs(channels), 0]
        coefficients = tf.pad(locs[:, :0], [[0, 0], pairs, [0, 0]])
        raw_locs = (locs - MID_GREY) / 0.5
        return tf.reshape(tf.concat([weight, raw_locs, scales, coefficients], axis=1), [-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components}


def _num_maps(channels):
    """Parameters of a component in a pixel: its weight, two of each channel, and one of each
    pair."""
    return 1 + 2 * channels + _num_pairs(channels)


def _num_pairs(channels):
    return channels * (channels - 1) // 2


@keras.saving.register_keras_serializable(package="zoo")
class CategoricalLevels(Likelihood):
    """Independent elements of 256 levels, given as floats k / 255, with a logit for each level.

    It knows no order among levels, and can have any distribution; a picture [32, 32, 3] takes
    786,432 parameters. Parameters of 0 mean that all levels are as probable, 8 bits/dim. There are
    always 256 levels, as `zoo.observations.Image` has.

    van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel recurrent neural networks", ICML 2016, section
    3.2. https://arxiv.org/abs/1601.06759
    """

    num_levels = NUM_LEVELS

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        return NUM_LEVELS * Bernoulli.params_size(event_shape)

    def distribution(self, params: tf.Tensor) -> Distribution:
        leading = tf.shape(params)[:-1]
        logits = tf.reshape(params, tf.concat([leading, [*self.event_shape, NUM_LEVELS]], axis=0))
        logits = tf.ensure_shape(logits, [*params.shape[:-1], *self.event_shape, NUM_LEVELS])
        logits = tf.clip_by_value(logits, -LOGIT_BOUND, LOGIT_BOUND)
        return IndependentPixels(CategoricalLevel(logits), len(self.event_shape))

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """Logits that grow or fall evenly with the level, which is the widest distribution with
        this mean. It is kept off 0 and 1 by 1e-3, and found by bisection."""
        levels = as_level(tf.range(NUM_LEVELS))
        slope = parameter_of_mean(
            lambda slope: CategoricalLevel(slope[:, None] * levels).mean(),
            inside_unit_interval(mean),
        )
        return tf.reshape(slope[:, None] * levels, [-1])

    def params_of(self, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Normal densities at the levels, with a hundredth of a uniform distribution."""
        mean, scale = (tf.reshape(tf.cast(v, tf.float32), [-1, 1]) for v in (mean, scale))
        exponents = -0.5 * tf.square((as_level(tf.range(NUM_LEVELS)) - mean) / scale)
        probs = (1.0 - UNIFORM_SHARE) * tf.nn.softmax(exponents) + UNIFORM_SHARE / NUM_LEVELS
        return tf.reshape(tf.math.log(probs), [-1])
