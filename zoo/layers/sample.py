"""A latent variable inside a Functional or Sequential model."""

import numbers
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.compat import layers_inside, outermost_layer
from zoo.random import EVALUATION_STEP, RowNoise, Stream, draw
from zoo.schedules import Schedule, as_schedule
from zoo.validation import shown

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class Sample(keras.layers.Layer):
    """Parameters -> one sample z of the posterior, and KL(q(z|x) || p(z)) added once to the model's
    loss.

    With a model that ends in a likelihood and `zoo.losses.NegativeLogLikelihood`, the loss is minus
    the ELBO of Kingma & Welling (2014), eq. 7, in nats per example. What `tfp.layers` did with
    `DistributionLambda` and `KLDivergenceRegularizer`.

    A draw is a function of what is saved or seen, and no generator has a hidden state:

        in training    (seed, position, training step, row of the batch)
        otherwise      (seed, position, row of the batch, parameters of the row)

    The step is a weight: a resumed run goes on as it would have. Without training, batches draw
    differently, and every pass draws the same. The position is the layer's number among the
    `Sample` layers of the model that is called: they draw independently, and a model that is built
    again, or loaded, draws as the first one did. Parameters count to three digits: compiled and
    eager passes, whose last digits differ, draw alike in all but one row of some thousands.

    Args:
        posterior: Layer from parameters to q(z|x), such as `zoo.layers.DiagonalNormal(latent_dim)`.
        prior: Layer that returns p(z), such as `zoo.layers.StandardNormal(latent_dim)`. Where TFP
            knows no closed form of the KL, it is log q(z|x) - log p(z) at the sample.
        seed: Integer.
        weight: What the KL is multiplied by in the loss: a non-negative number, or a schedule of
            `zoo.schedules` over training steps. The KL is averaged over the batch; `sample_weight`
            does not reach it.

    Call arguments:
        params: Tensor [B, params_size].

    Returns:
        Float32 tensor [B, latent_dim].

    Raises:
        ValueError: If an argument is out of range, or the posterior's samples have no gradient, as
            those of a Categorical.
    """

    def __init__(
        self,
        posterior: keras.layers.Layer,
        prior: keras.layers.Layer,
        seed: int = 0,
        weight: float | Schedule = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
            raise ValueError(f"`seed` must be an integer. Received: seed={shown(seed)}.")
        self.posterior = posterior
        self.prior = prior
        self.seed = int(seed)
        self.weight = as_schedule(weight, "weight")

    def build(self, params_shape: tuple[int | None, ...]) -> None:
        self.posterior.build(params_shape)
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )

    def call(self, params: tf.Tensor, training: bool = False) -> tf.Tensor:
        posterior, prior = self.posterior(params), self.prior()
        if posterior.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
            raise ValueError(
                "`Sample` needs a posterior whose samples have a gradient. Received: "
                f"{type(posterior).__name__}. The zoo's models train those: see `zoo.objectives`."
            )
        step = tf.convert_to_tensor(self.step)
        z = draw(posterior, self._noise(params, step, training), Stream.LATENT)
        self.add_loss(self.weight(step) * tf.reduce_mean(_kl(posterior, prior, z)))
        if training:
            self.step.assign_add(1)
        return z

    def _noise(self, params, step, training):
        rows = tf.range(tf.shape(params)[0])
        if training:
            return RowNoise(self.seed, step, rows, latent=self._position())
        return RowNoise(
            self.seed,
            EVALUATION_STEP,
            _digest(params) + tf.cast(rows, tf.uint32),
            latent=self._position(),
        )

    def _position(self):
        """The layer's number among the `Sample` layers of the model that is called, from 0. Names
        would not do: Keras counts them up."""
        layers = [layer for layer in layers_inside(outermost_layer()) if isinstance(layer, Sample)]
        return next((number for number, layer in enumerate(layers) if layer is self), 0)

    def compute_output_spec(
        self, params: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        return keras.KerasTensor((*params.shape[:-1], *self.posterior.event_shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "seed": self.seed,
            "weight": keras.saving.serialize_keras_object(self.weight),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Sample":
        names = {"posterior", "prior", "weight"} & set(config)
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in names}
        return cls(**{**config, **parts})


def _kl(posterior, prior, z):
    """KL(q || p) in nats [B]: in closed form, or at the sample where TFP knows none."""
    try:
        return tfd.kl_divergence(posterior, prior)
    except NotImplementedError:  # how TFP says that it knows none
        return posterior.log_prob(z) - prior.log_prob(z)


def _digest(params):
    """Parameters [B, params_size] -> uint32 [B] whose last 12 bits are 0, so that a row's number
    fits in.

    Sign, exponent and 11 bits of the sum of magnitudes, which does not cancel: rows that differ in
    rounding alone have the same, unless they lie on two sides of a step, of which there are 2^11 in
    every octave.
    """
    bits = tf.bitcast(tf.reduce_sum(tf.abs(tf.cast(params, tf.float32)), axis=-1), tf.uint32)
    return tf.bitwise.bitwise_and(bits, tf.constant(0xFFFFF000, tf.uint32))
