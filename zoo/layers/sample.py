"""A latent variable inside a Functional or Sequential model."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.random import RowNoise, Stream, draw

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class Sample(keras.layers.Layer):
    """Parameters -> one sample z of the posterior, and KL(q(z|x) || p(z)) added once to the model's loss.

    With a model that ends in a likelihood and `zoo.losses.NegativeLogLikelihood`, the loss is minus the ELBO of Kingma & Welling (2014),
    eq. 7, in nats per example. What `tfp.layers` did with `DistributionLambda` and `KLDivergenceRegularizer`.

    Args:
        posterior: Layer from parameters to q(z|x), such as `zoo.layers.DiagonalNormal(latent_dim)`.
        prior: Layer that returns p(z), such as `zoo.layers.StandardNormal(latent_dim)`.
        seed: Integer. A draw is a function of (seed, training step, row); the step is a weight, so that saving keeps it.

    Call arguments:
        params: Tensor [B, params_size].

    Returns:
        Float32 tensor [B, latent_dim].
    """

    def __init__(self, posterior, prior, seed=0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.posterior = posterior
        self.prior = prior
        self.seed = seed

    def build(self, params_shape):
        self.posterior.build(params_shape)
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")

    def call(self, params, training=False):
        posterior, prior = self.posterior(params), self.prior()
        self.add_loss(tf.reduce_mean(tfd.kl_divergence(posterior, prior)))
        step = tf.convert_to_tensor(self.step)
        if training:
            self.step.assign_add(1)
        return draw(posterior, RowNoise(self.seed, step, tf.range(tf.shape(params)[0])), Stream.LATENT)

    def compute_output_spec(self, params, training=False):
        return keras.KerasTensor((*params.shape[:-1], *self.posterior.event_shape), dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        layers = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("posterior", "prior")}
        return cls(**{**config, **layers})
