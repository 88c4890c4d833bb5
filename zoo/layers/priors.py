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


@keras.saving.register_keras_serializable(package="zoo")
class UniformCategorical(keras.layers.Layer):
    """Each of K classes with probability 1 / K, as one-hot vectors, whatever the condition.

    Args:
        num_classes: K.

    Returns:
        `tfd.Distribution` of batch shape [] and event shape [K].
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        (self.num_classes,) = shape_tuple(num_classes, "num_classes")

    def call(self, condition=None):
        return tfd.OneHotCategorical(logits=tf.zeros([self.num_classes]), dtype=tf.float32)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable(package="zoo")
class Conditional(keras.layers.Layer):
    """A prior that a network computes from the condition: p(z|c).

    Sohn, Lee & Yan, NIPS 2015, section 4. https://papers.nips.cc/paper/5775

    Args:
        network: Network (condition [B, ...]) -> [B, distribution.num_params].
        distribution: Layer from parameters to a distribution, such as `zoo.layers.DiagonalNormal(latent_dim)`.
    """

    def __init__(self, network, distribution, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.network = network
        self.distribution = distribution

    def call(self, condition):
        return self.distribution(self.network(condition))

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("network", "distribution")}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("network", "distribution")}
        return cls(**{**config, **parts})
