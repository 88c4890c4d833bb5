"""The ELBO of a model with a class among its latents: summed over all classes, or relaxed."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.inference.handlers import EveryClass, Handler, Relaxed
from zoo.inference.objective import with_gradient_of
from zoo.inference.regularizers import Regularizer
from zoo.inference.reparameterized import ELBO
from zoo.inference.trace import Trace
from zoo.random import RowNoise
from zoo.schedules import Schedule
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class Enumeration(ELBO):
    """The ELBO of a model with a class among its latents, summed over all classes: exact in y.

    Kingma et al., NIPS 2014, eq. 7. https://arxiv.org/abs/1406.5298
    """

    needs_reparameterization = False

    def __init__(self, *, regularizer: Regularizer | None = None, **kwargs: Any) -> None:
        if kwargs.get("num_samples", 1) != 1:
            raise ValueError(
                f"{type(self).__name__} draws the other latents once for each class. Received: "
                f"num_samples={shown(kwargs['num_samples'])}."
            )
        super().__init__(regularizer=regularizer, **kwargs)

    def check(self, model: keras.Model) -> None:
        super().check(model)
        if model.class_latent is None:
            raise ValueError(
                f"{type(self).__name__} needs a class to sum over, which {type(model).__name__} "
                "does not have. Use ELBO."
            )

    def handler(self, model: keras.Model, noise: RowNoise) -> Handler:
        return EveryClass(noise, model.class_latent)


@keras.saving.register_keras_serializable(package="zoo")
class Relaxation(Enumeration):
    """The ELBO with a relaxed class, softmax((logits + Gumbel) / temperature), in its gradient:
    biased, and one decoding instead of K.

    Only the gradient is the relaxation's; the value is that of `Enumeration`.

    Args:
        temperature: Positive number, or schedule of `zoo.schedules`.

    Reference:
        Jang, Gu & Poole, ICLR 2017, https://arxiv.org/abs/1611.01144; Maddison, Mnih & Teh, ICLR
        2017, https://arxiv.org/abs/1611.00712
    """

    def __init__(
        self,
        temperature: float | Schedule = 0.67,
        *,
        regularizer: Regularizer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(regularizer=regularizer, **kwargs)
        if not isinstance(temperature, Schedule) and not (
            validation.is_number(temperature) and 0 < temperature < math.inf
        ):
            raise ValueError(
                "`temperature` must be a positive number or a schedule. Received: "
                f"temperature={shown(temperature)}."
            )
        self.temperature = temperature if isinstance(temperature, Schedule) else float(temperature)

    def loss(
        self, model: keras.Model, batch: Mapping[str, Any], noise: RowNoise, training: bool = False
    ) -> tuple[tf.Tensor, Trace]:
        value, enumerated = super().loss(model, batch, noise, training)
        temperature = self.temperature
        if callable(temperature):
            temperature = temperature(model.training_step)
        relaxed = model.run(Relaxed(noise, model.class_latent, temperature), batch, training)
        surrogate = self.regularization(model, enumerated) - relaxed.log_likelihood
        return with_gradient_of(value, surrogate), enumerated

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": keras.saving.serialize_keras_object(self.temperature),
        }
