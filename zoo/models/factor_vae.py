"""FactorVAE: the total correlation of the codes is an adversary's loss.

    E_q[log p(x|z)] - KL(q(z|x) || p(z)) - gamma KL(q(z) || prod_j q(z_j))

Kim & Mnih, "Disentangling by factorising", ICML 2018. https://arxiv.org/abs/1802.05983
"""

from typing import Any

import keras

from zoo.engine.updates import Update
from zoo.inference.density_ratio import DensityRatio
from zoo.models.base import assert_networks
from zoo.models.vae import VAE


@keras.saving.register_keras_serializable(package="zoo")
class FactorVAE(VAE):
    """VAE whose codes a discriminator tells from codes with permuted dimensions (Kim & Mnih 2018,
    eq. 3).

    A step has two updates, of the VAE and of the discriminator, each with an optimizer of its own:
    `compile(optimizer, optimizers={"discriminator": ...})`. Metrics are those of `zoo.VAE`,
    `total_correlation` (nats, by the discriminator) and `discriminator_loss`.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`.
        discriminator: Network z [B, D] -> logits [B, 2] of "drawn" and "permuted".
        gamma: Weight of the total correlation, a non-negative number.
        others: As in `zoo.VAE`.

    Raises:
        ValueError: If an argument is out of range, or as `zoo.VAE` does.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        discriminator: keras.layers.Layer,
        gamma: float = 35.0,
        **others: Any,
    ) -> None:
        super().__init__(encoder, decoder, posterior, likelihood, prior, **others)
        assert_networks(discriminator=discriminator)
        self.discriminator = discriminator
        self.gamma = gamma
        self.regularize_by(DensityRatio(discriminator, gamma))

    @property
    def updates(self) -> tuple[Update, ...]:
        adversary = {id(weight) for weight in self.discriminator.weights}
        own = [weight for weight in self.trainable_weights if id(weight) not in adversary]
        others = self.discriminator.trainable_weights
        return (
            Update("model", "loss", own),
            Update("discriminator", "discriminator_loss", others),
        )
