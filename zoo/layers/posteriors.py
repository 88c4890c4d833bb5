"""q(z|x): approximate posteriors over a latent vector."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.as_tensor import LatentMeanAsTensor
from zoo.layers.base import LOG_SCALE_BOUND, DistributionLayer, bounded_scale, shape_tuple
from zoo.typing import Distribution

tfd = tfp.distributions


class Posterior(DistributionLayer):
    """A distribution layer over latents: vectors [D], or maps [H, W, C].

    Args:
        latent_dim: D, or the shape of a map where the layer is defined for maps.
    """

    tensor_kind = LatentMeanAsTensor

    def __init__(self, latent_dim: int | Sequence[int], **kwargs: Any) -> None:
        super().__init__(event_shape=shape_tuple(latent_dim, "latent_dim"), **kwargs)

    @property
    def latent_dim(self) -> int | tuple[int, ...]:
        """D; of maps their shape."""
        return self.event_shape[0] if len(self.event_shape) == 1 else self.event_shape

    def named_parameters(self, posterior: Distribution) -> dict[str, tf.Tensor]:
        """The parameters that a served `encode` answers with: name -> tensor [B, ...]."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["event_shape"]
        return {**config, "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="zoo")
class DiagonalNormal(Posterior):
    """N(loc, diag(scale)^2): the posterior of Kingma & Welling, ICLR 2014, eq. 9.
    https://arxiv.org/abs/1312.6114

    Of maps [H, W, C] each element has a location and a scale, in neighbouring channels of a
    convolution's output.
    """

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        return 2 * math.prod(shape_tuple(event_shape, "latent_dim"))

    def distribution(self, params: tf.Tensor) -> Distribution:
        if len(self.event_shape) > 1:
            loc, raw_scale = self.as_event(params, num_maps=2)
            return tfd.Independent(tfd.Normal(loc, bounded_scale(raw_scale)), len(self.event_shape))
        loc, raw_scale = tf.split(params, 2, axis=-1)
        return tfd.MultivariateNormalDiag(loc, bounded_scale(raw_scale))

    def named_parameters(self, posterior: Distribution) -> dict[str, tf.Tensor]:
        return {"loc": posterior.mean(), "scale": posterior.stddev()}


@keras.saving.register_keras_serializable(package="zoo")
class FullCovarianceNormal(Posterior):
    """N(loc, L L^T) with a lower triangular L of positive diagonal.

    Kingma & Welling, "An Introduction to Variational Autoencoders", 2019, section 2.5.1.
    https://arxiv.org/abs/1906.02691
    """

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        (latent_dim,) = shape_tuple(event_shape, "latent_dim")
        return 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    def distribution(self, params: tf.Tensor) -> Distribution:
        (dim,) = self.event_shape
        loc, raw_diagonal, raw_lower = tf.split(params, [dim, dim, dim * (dim - 1) // 2], axis=-1)
        # Row i of the strict lower triangle holds its i entries; a gather with a zero in front
        # fills the rest.
        positions = [
            [i * (i - 1) // 2 + j + 1 if j < i else 0 for j in range(dim)] for i in range(dim)
        ]
        bound = math.exp(LOG_SCALE_BOUND)
        in_front = [[0, 0]] * (raw_lower.shape.rank - 1) + [[1, 0]]
        padded = tf.pad(bound * tf.tanh(raw_lower / bound), in_front)
        lower = tf.gather(padded, positions, axis=-1)  # [..., B, D, D]
        return tfd.MultivariateNormalTriL(
            loc, tf.linalg.set_diag(lower, bounded_scale(raw_diagonal))
        )

    def named_parameters(self, posterior: Distribution) -> dict[str, tf.Tensor]:
        return {"loc": posterior.loc, "scale_tril": posterior.scale_tril}


@keras.saving.register_keras_serializable(package="zoo")
class Categorical(Posterior):
    """One of K classes, as a one-hot vector; parameters are logits. `latent_dim` is K."""

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        (num_classes,) = shape_tuple(event_shape, "latent_dim")
        return num_classes

    def distribution(self, params: tf.Tensor) -> Distribution:
        return tfd.OneHotCategorical(logits=params, dtype=tf.float32)

    def named_parameters(self, posterior: Distribution) -> dict[str, tf.Tensor]:
        return {"probs": posterior.probs_parameter()}
