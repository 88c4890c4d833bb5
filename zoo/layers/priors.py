"""p(z): where latents come from before an image is seen."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.base import shape_tuple

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class StandardNormal(keras.layers.Layer):
    """N(0, I), whatever the condition.

    Args:
        latent_dim: D.

    Returns:
        `tfd.Distribution` of batch shape [] and event shape [D].
    """

    def __init__(self, latent_dim, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        (self.latent_dim,) = shape_tuple(latent_dim, "latent_dim")

    @staticmethod
    def params_size(event_shape):
        """0: nothing about this prior is learned."""
        return 0

    def call(self, condition=None):
        return tfd.MultivariateNormalDiag(tf.zeros([self.latent_dim]), tf.ones([self.latent_dim]))

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}
