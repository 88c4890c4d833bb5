"""The distribution of a colour picture: in every pixel a mixture of discretized logistics, whose
channels are coupled.

Salimans, Karpathy, Chen & Kingma, "PixelCNN++", ICLR 2017, eqs. 1-3.
https://arxiv.org/abs/1701.05517
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.base import LOG_SCALE_BOUND
from zoo.layers.pixels import DiscretizedLogisticLevel, class_of_uniform
from zoo.random import RowNoise, Stream, draw
from zoo.tensors import static_sizes
from zoo.validation import shown

tfd = tfp.distributions

# Half of a level's width.
HALF = 0.5 / 255.0
# What stands for the number of a latent in the draws of the components.
COMPONENTS = 1000


@tf.custom_gradient
def log_prob_of_level(distance: tf.Tensor, log_scale: tf.Tensor, side: tf.Tensor) -> Any:
    """log P of a level of 256, nats: the mass of a logistic distribution around it.

    With r = 1 / scale, half a bin h = r / 510, and u = |x - loc| r,

        P(x) = sigmoid(u + h) - sigmoid(u - h) = sigmoid(u + h) sigmoid(h - u) (1 - exp(-2 h)).

    The ends take all beyond them: P(0) = sigmoid(h - u) with u = (loc - x) r, and P(1) likewise
    with u = (x - loc) r. It is the product of `DiscretizedLogisticLevel`, which cancels nothing.

    Its gradient is written out. TensorFlow's own, which keeps and reads every step of the formula,
    takes a fifth longer (`benchmarks/colour_likelihood.py`), and is wrong where branches meet, at
    u = h.

    Args:
        distance: Float tensor, x - loc in the unit of pixels in [0, 1].
        log_scale: Float tensor of the same shape.
        side: Float tensor that broadcasts: -1 of level 0, 1 of level 255, and 0 of others.

    Returns:
        Float tensor of the shape of `distance`, differentiable in `distance` and `log_scale`.
    """
    rate = tf.exp(-log_scale)
    h, signed = HALF * rate, distance * rate
    is_inner, far = side == 0.0, tf.abs(signed)
    inner = tf.cast(is_inner, tf.float32)
    u = tf.where(is_inner, far, side * signed)
    # sigmoid(h - u) = exp(-max(u - h, 0)) / (1 + exp(-|u - h|))
    near_tail = tf.exp(-tf.abs(u - h))
    far_tail = inner * tf.exp(-(far + h))
    width = -tf.math.expm1(-2.0 * h)
    near, beyond = 1.0 / (1.0 + near_tail), 1.0 / (1.0 + far_tail)
    log_prob = tf.math.log(tf.where(is_inner, width, 1.0) * near * beyond) - tf.maximum(u - h, 0.0)

    def gradient(upstream):
        below = tf.where(u > h, near, near_tail * near)  # sigmoid(u - h)
        above = far_tail * beyond  # sigmoid(-u - h)
        by_u = upstream * (above - below)
        # (log(1 - e^-2h))' = 2 / (1 - e^-2h) - 2
        by_h = upstream * (above + below + inner * (2.0 / width - 2.0))
        by_distance = tf.where(is_inner, tf.sign(signed), side) * rate * by_u
        return by_distance, -(u * by_u + h * by_h), None

    return log_prob, gradient


class LogisticMixtureImage(tfd.AutoCompositeTensorDistribution):
    """Pictures [H, W, C] of levels k / 255, k = 0 ... 255. Pixels are independent; the channels of
    one share a mixture of K components.

    Within a component each channel is a discretized logistic, whose location moves with the levels
    of the channels before it:

        loc_c = locs[c] + sum over j < c of coefficient_cj (x_j - 1/2)

    The mean of the levels has no closed form beyond the first channel. Within a component a channel
    has the mean of `DiscretizedLogisticLevel`, up to half a level off, at the means of the channels
    before it. Its scale holds their noise too: of a level cut to [0, 1], the part that is linear.
    With parameters of the layer drawn from N(0, 1) the mean is off by a level of 256 on average,
    and by ten where wide channels are coupled at black or white; with scales of seven levels it is
    off by 0.2 on average.

    Args:
        logits: Float tensor [..., K, P] of P = H W pixels: the components' weights.
        locs: C float tensors [..., K, P], in the unit of pixels in [0, 1].
        log_scales: C float tensors [..., K, P].
        coefficients: C (C - 1) / 2 float tensors [..., K, P]: of channel 1 that of channel 0, of
            channel 2 those of channels 0 and 1, and so on.
        image_shape: (H, W, C).
    """

    # Pixels lie last, where loops run along long rows; components are few.

    def __init__(
        self,
        logits: Any,
        locs: Sequence[Any],
        log_scales: Sequence[Any],
        coefficients: Sequence[Any],
        image_shape: Sequence[int],
        name: str = "LogisticMixtureImage",
    ) -> None:
        parameters = dict(locals())
        self.logits = tf.convert_to_tensor(logits, tf.float32)
        self.locs = _tensors(locs)
        self.log_scales = _tensors(log_scales)
        self.coefficients = _tensors(coefficients)
        self.image_shape = tuple(image_shape)
        super().__init__(
            tf.float32,
            tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        several = tfp.util.ParameterProperties(event_ndims=lambda self: [2] * len(self))
        names = ("locs", "log_scales", "coefficients")
        return {"logits": tfp.util.ParameterProperties(event_ndims=2)} | dict.fromkeys(
            names, several
        )

    def _event_shape(self):
        return tf.TensorShape(self.image_shape)

    def _event_shape_tensor(self):
        return tf.constant(self.image_shape)

    def _batch_shape(self):
        return self.logits.shape[:-2]

    def _batch_shape_tensor(self, **unused):
        return tf.shape(self.logits)[:-2]

    def _log_prob(self, x, observed=None, **unused):
        if observed is not None:
            raise ValueError(
                "`observed` is for likelihoods of independent elements; here the channels of a "
                f"pixel are not. Received: observed={shown(observed)}. "
                "Pass it to `zoo.layers.DiscretizedLogistic`."
            )
        channels = self._channels_of(x)
        # Less the greatest: nothing of the size of the logits is added to log-probabilities.
        log_weights = self.logits - tf.stop_gradient(tf.reduce_max(self.logits, -2, keepdims=True))
        log_joint = log_weights - tf.reduce_logsumexp(log_weights, axis=-2, keepdims=True)
        for number, values in enumerate(channels):
            coefficients = self._coefficients_of(number)
            distance = values - _coupled(self.locs[number], coefficients, channels)
            side = tf.cast(values > 1.0 - HALF, tf.float32) - tf.cast(values < HALF, tf.float32)
            log_joint += log_prob_of_level(distance, self.log_scales[number], side)
        return tf.reduce_sum(tf.reduce_logsumexp(log_joint, axis=-2), axis=-1)

    def _channels_of(self, x):
        """[..., H, W, C] -> C tensors [..., 1, P]."""
        *_, num_channels = self.image_shape
        shape = tf.concat([tf.shape(x)[:-3], [1, -1, num_channels]], axis=0)
        return tf.unstack(tf.reshape(x, shape), num_channels, axis=-1)

    def _coefficients_of(self, number):
        """Those of the channels before the one of this number."""
        first = number * (number - 1) // 2
        return self.coefficients[first : first + number]

    def _mean(self):
        means: list[tf.Tensor] = []
        # Of each channel: how far the noise of each channel up to it moves its level, as scales.
        moved: list[list[tf.Tensor]] = []
        for number, log_scale in enumerate(self.log_scales):
            coefficients = self._coefficients_of(number)
            noises = [
                sum(c * before[i] for c, before in zip(coefficients[i:], moved[i:], strict=True))
                for i in range(number)
            ]
            noises.append(tf.exp(log_scale))
            loc = _coupled(self.locs[number], coefficients, means)
            scale = tf.sqrt(sum(tf.square(noise) for noise in noises))
            means.append(DiscretizedLogisticLevel(loc, scale).mean())
            # Beyond black and white nothing moves a level.
            slope = tf.sigmoid(loc / scale) - tf.sigmoid((loc - 1.0) / scale)
            moved.append([slope * noise for noise in noises])
        weights = tf.nn.softmax(self.logits, axis=-2)
        return self._image([tf.reduce_sum(weights * mean, axis=-2) for mean in means])

    def _image(self, channels):
        """C tensors [..., P] -> [..., H, W, C]."""
        pixels = tf.stack(channels, axis=-1)
        return tf.reshape(pixels, tf.concat([tf.shape(pixels)[:-2], self.image_shape], axis=0))

    def of_uniforms(self, of_component: tf.Tensor, of_levels: tf.Tensor) -> tf.Tensor:
        """The draw of uniform numbers in [0, 1): one of each pixel for its component, [..., H, W],
        and one of each channel for its level, [..., H, W, C]. Returns [..., H, W, C]."""
        pixels = tf.concat([tf.shape(of_component)[:-2], [-1]], axis=0)
        component = class_of_uniform(
            tf.linalg.matrix_transpose(self.logits), tf.reshape(of_component, pixels)
        )
        num_components = self.logits.shape[-2]
        chosen = tf.linalg.matrix_transpose(tf.one_hot(component, num_components))  # [..., K, P]

        def of_chosen(parameter):
            return tf.reduce_sum(chosen * parameter, axis=-2)

        channels: list[tf.Tensor] = []
        for number, u in enumerate(self._channels_of(of_levels)):
            coefficients = [of_chosen(c) for c in self._coefficients_of(number)]
            loc = _coupled(of_chosen(self.locs[number]), coefficients, channels)
            level = DiscretizedLogisticLevel(loc, tf.exp(of_chosen(self.log_scales[number])))
            channels.append(level.quantile(u[..., 0, :]))
        return self._image(channels)

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor(), self.image_shape], axis=0)
        seeds = tfp.random.split_seed(seed, 2)
        return self.of_uniforms(
            tf.random.stateless_uniform(shape[:-1], seeds[0]),
            tf.random.stateless_uniform(shape, seeds[1]),
        )


def _tensors(values):
    return tuple(tf.convert_to_tensor(value, tf.float32) for value in values)


def _coupled(loc, coefficients, before):
    """Locations that move with the values of the channels before."""
    for coefficient, value in zip(coefficients, before, strict=False):
        loc += coefficient * (value - 0.5)
    # Beyond it (x - loc) / scale overflows, and pixels have long lost sight of the location.
    bound = math.exp(LOG_SCALE_BOUND)
    return tf.clip_by_value(loc, -bound, bound)


@draw.register(LogisticMixtureImage)
def draw_logistic_mixture(
    distribution: LogisticMixtureImage,
    noise: RowNoise,
    stream: Stream = Stream.PIXEL,
    num_samples: int | tf.Tensor | None = None,
    first_sample: int | tf.Tensor = 0,
) -> tf.Tensor:
    """By one uniform number for a pixel's component, and one for each of its channels, in their
    order."""
    shape = static_sizes(distribution.event_shape)
    # Components have draws of their own, which are no latent's.
    components = noise.of_latent(COMPONENTS)
    return distribution.of_uniforms(
        components.uniform(stream, shape[:-1], num_samples, first_sample),
        noise.uniform(stream, shape, num_samples, first_sample),
    )
