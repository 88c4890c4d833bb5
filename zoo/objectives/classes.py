"""The ELBO of a model with a class among its latents: summed over all classes, or relaxed."""

import math

import keras
import tensorflow as tf

from zoo import validation
from zoo.objectives.objective import Objective, with_gradient_of
from zoo.random import Stream, draw, gumbel
from zoo.schedules import Schedule
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class Enumeration(Objective):
    """The ELBO of a model with a class among its latents, summed over all classes: exact in y.

    Kingma et al., NIPS 2014, eq. 7. https://arxiv.org/abs/1406.5298
    """

    needs_reparameterization = False
    needs_plain_kl = False

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "num_samples": 1})

    def check(self, model):
        super().check(model)
        if not hasattr(model, "enumerated"):
            raise ValueError(f"{type(self).__name__} needs a class to sum over, which {type(model).__name__} does not have. Use ELBO.")

    def loss(self, model, batch, noise, training=False):
        out = model.enumerated(batch, noise, training)
        return model.regularizer(out) - model.expected_log_likelihood(batch["image"], out), out


@keras.saving.register_keras_serializable(package="zoo")
class Relaxation(Enumeration):
    """The ELBO with a relaxed class, softmax((logits + Gumbel) / temperature), in its gradient: biased, and one decoding instead of K.

    Only the gradient is the relaxation's; the value is that of `Enumeration`.

    Args:
        temperature: Positive number, or schedule of `zoo.schedules`.

    Reference:
        Jang, Gu & Poole, ICLR 2017, https://arxiv.org/abs/1611.01144; Maddison, Mnih & Teh, ICLR 2017, https://arxiv.org/abs/1611.00712
    """

    def __init__(self, temperature=0.67, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(temperature, Schedule) and not (validation.is_number(temperature) and 0 < temperature < math.inf):
            raise ValueError(f"`temperature` must be a positive number or a schedule. Received: temperature={shown(temperature)}.")
        self.temperature = temperature if isinstance(temperature, Schedule) else float(temperature)

    def loss(self, model, batch, noise, training=False):
        value, enumerated = super().loss(model, batch, noise, training)
        posterior = enumerated.posterior
        temperature = self.temperature(model.training_step) if callable(self.temperature) else self.temperature
        q_y = posterior.given("y")
        noisy = q_y.logits_parameter() + gumbel(noise.of_latent(0), Stream.LATENT, q_y.event_shape)
        y = tf.nn.softmax(noisy / temperature)  # [B, K]
        z = draw(posterior.given("z", {"y": y}), noise.of_latent(1), Stream.LATENT)
        likelihood = model.decode({"y": y, "z": z}, training=training)
        surrogate = model.regularizer(enumerated) - likelihood.log_prob(batch["image"])
        return with_gradient_of(value, surrogate), enumerated

    def get_config(self):
        return {**super().get_config(), "temperature": keras.saving.serialize_keras_object(self.temperature)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "temperature": keras.saving.deserialize_keras_object(config["temperature"])})
