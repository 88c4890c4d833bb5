"""The contract of everything that training can minimize."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.inference.regularizers import KL, Regularizer
from zoo.inference.trace import Trace
from zoo.random import RowNoise
from zoo.validation import shown


def with_gradient_of(value: tf.Tensor, surrogate: tf.Tensor) -> tf.Tensor:
    """`value`, differentiated as `surrogate` is."""
    return tf.stop_gradient(value - surrogate) + surrogate


class Objective(keras.layers.Layer):
    """The contract: `loss(model, batch, noise, training)`, and `check(model)` for what it is not
    for.

    Args:
        num_samples: S, samples of z per example and step.
        regularizer: What is subtracted from E_q[log p(x|z)], a `Regularizer`; KL(q || p) if left
            out. Objectives that bound log p(x) by other means have no place for another one.

    Raises:
        ValueError: If S < 1, or the regularizer is none.
    """

    # Whether gradients pass through z, and whether the bound has no place for a regularizer other
    # than KL(q || p).
    needs_reparameterization = True
    needs_plain_kl = True
    least_samples = 1
    # Whether the loss is a function of means over the batch (`zoo.shards.batch_mean`).
    batch_statistics = False

    def __init__(
        self, num_samples: int = 1, *, regularizer: Regularizer | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_samples = validation.integer("num_samples", num_samples, self.least_samples)
        if not isinstance(regularizer, Regularizer | None):
            raise ValueError(
                "`regularizer` must be one of `zoo.objectives`, such as KL(). Received: "
                f"regularizer={shown(regularizer)}."
            )
        self.regularizer = KL() if regularizer is None else regularizer
        if self.needs_plain_kl and not self.regularizer.is_kl:
            raise ValueError(
                f"{type(self).__name__} bounds log p(x) by other means than a regularizer. "
                f"Use ELBO. Received: regularizer={type(regularizer).__name__}."
            )

    def check(self, model: keras.Model) -> None:
        """Raises ValueError, with the reason, where the objective is not defined for a model."""
        name = type(self).__name__
        fixed = [latent for latent, facts in model.latents.items() if not facts.is_reparameterized]
        if self.needs_reparameterization and fixed:
            raise ValueError(
                f"{name} differentiates through the draw of {fixed[0]}, which "
                f"{model.latents[fixed[0]].family} does not allow. "
                f"Use ScoreFunction or VIMCO. Received: objective={name}."
            )
        if self.needs_plain_kl and not model.regularizer.is_kl:
            raise ValueError(
                f"{name} bounds log p(x), and {type(model).__name__} has a regularizer of its own, "
                f"which such a bound has no place for. Use ELBO. Received: objective={name}."
            )

    def loss(
        self,
        model: keras.Model,
        batch: Mapping[str, Any],
        noise: RowNoise,
        training: bool = False,
    ) -> tuple[tf.Tensor, Trace]:
        """The loss of a batch and the pass that it comes from.

        Args:
            model: A model with latents, `zoo.VAE` or another.
            batch: Dict of x as the likelihood takes it, float32 [B, ...], and what stands beside
                it.
            noise: `RowNoise` of B rows.
            training: Whether networks are to do what they do in training alone.

        Returns:
            Loss [B] in nats, and the `Trace` of S samples.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        regularizer = keras.saving.serialize_keras_object(self.regularizer)
        return {**super().get_config(), "num_samples": self.num_samples, "regularizer": regularizer}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Objective":
        return cls(**{name: _of_plain(value) for name, value in config.items()})


def _of_plain(value):
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
