"""not-MIWAE: what is missing may be missing because of its value, and a model says how.

    generative program   p(x, s, z) = p(z) p(x | z) p(s | x)
    inference program    q(z, x_missing | x_observed) = q(z | x_observed) p(x_missing | z)
    objective            log 1/K sum_k p(x_observed | z_k) p(s | x_observed, x_missing_k) p(z_k)
                                       / q(z_k | x_observed)  <=  log p(x_observed, s)

Ipsen, Mattei & Frellsen, "not-MIWAE: deep generative modelling with missing not at random data",
ICLR 2021, eq. 7. https://arxiv.org/abs/2006.12871
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo.inference import MIWAE, Objective
from zoo.inference.handlers import Handler
from zoo.inference.trace import Trace
from zoo.layers.missing import SeenAndMask
from zoo.models.base import assert_networks
from zoo.models.vae import VAE
from zoo.networks import over_samples
from zoo.random import RowNoise
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class NotMIWAE(VAE):
    """VAE of x with gaps and of which values are seen, s, where that hangs on the values (Ipsen et
    al. 2021).

    The values that were not seen are a latent, `missing`, drawn from p(x|z) in both programs. All
    nats are of what was seen and of s together. `impute` fills by p(x_missing | x_observed, s):
    `missing` by the weights.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`. A draw of the likelihood
            must let gradients through: normal, Student t and log-normal columns do.
        missing_model: Network x [B, C] -> logits [B, C] of each value being seen, such as
            `zoo.layers.SelfMasking()` or a `keras.layers.Dense(C)`. What it may hang on is an
            assumption that no data test.
        objective: `zoo.objectives.MIWAE(20)` if left out.
        others: As in `zoo.VAE`.

    Raises:
        ValueError: If the observation has no gaps or the likelihood has classes, or as `zoo.VAE`
            does.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        missing_model: keras.layers.Layer,
        objective: Objective | None = None,
        **others: Any,
    ) -> None:
        objective = MIWAE() if objective is None else objective
        super().__init__(
            encoder, decoder, posterior, likelihood, prior, objective=objective, **others
        )
        assert_networks(missing_model=missing_model)
        self.missing_model = missing_model
        self.assert_gaps()
        if likelihood.statistics_shape != likelihood.event_shape:
            raise ValueError(
                "What is missing is filled by draws that are averaged, which classes cannot be. "
                f"Received: {type(likelihood).__name__} with columns of classes."
            )

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        of_x = super().program(latent, data, training)  # p(x|z)
        if "observed" not in data:  # generation: nothing was seen
            return of_x
        drawn = latent("missing", prior=lambda: of_x, posterior=lambda: of_x)
        filled = tf.where(data["observed"] > 0, data[self.key], drawn)  # [S, B, C]
        return SeenAndMask(of_x, over_samples(self.missing_model, filled, training=training))

    def latent_means(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"z": super().latent_means(data)["z"]}

    def statistics(self, trace: Trace) -> tf.Tensor:
        return trace["missing"].z

    def completions(
        self,
        latents: Mapping[str, tf.Tensor],
        data: Mapping[str, tf.Tensor],
        noise: RowNoise,
        num_draws: int,
        first_draw: int | tf.Tensor = 0,
    ) -> tf.Tensor:
        # Given s, not a draw of p(x|z): the weights have chosen it.
        return latents["missing"]
