"""VAEs whose prior is what the encoder makes of K learned images, the pseudo-inputs u_k.

    VampVAE               p(z) = 1/K sum_k q(z | u_k)
    HierarchicalVampVAE   p(z2) = 1/K sum_k q(z2 | u_k),  p(z1 | z2),  p(x | z1, z2)
                          with q(z2 | x),  q(z1 | x, z2)

The prior that maximizes the ELBO is the aggregate posterior, a mixture over all training images.
This "variational mixture of posteriors" comes close with few components and does not overfit as
that one would.

Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018. https://arxiv.org/abs/1705.07120
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from zoo.inference import Objective
from zoo.inference.handlers import Handler
from zoo.layers.priors import VampPrior
from zoo.models.hierarchical_vae import StochasticLayersVAE
from zoo.models.vae import VAE
from zoo.networks import apply, over_conditions, over_pairs, over_samples
from zoo.observations import Observation
from zoo.tensors import as_numbers, named_latents
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class VampVAE(VAE):
    """Variational autoencoder with a mixture of its own posteriors as prior (Tomczak & Welling
    2018, eq. 9).

    Args:
        encoder, decoder, posterior, likelihood: As in `zoo.VAE`. The posterior must be a
            `zoo.layers.DiagonalNormal`.
        prior: `zoo.layers.VampPrior`; one of 500 components if left out.
        objective, observation, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: As `zoo.VAE` does.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: VampPrior | None = None,
        *,
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(encoder, decoder, posterior, likelihood),
            prior or VampPrior(500, likelihood.event_shape),
            objective=objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )

    def prior(self, condition: Any = None, *, training: bool | None = None) -> Distribution:
        self.condition.check(condition)
        return self.prior_layer(encode=lambda images: self.encode(images, training=training))

    def start_at_images(self, images: Any) -> None:
        """Starts from the mean image, as `start_at_mean` does, and with training images as
        pseudo-inputs.

        Args:
            images: [N, *image_shape], the training images.
        """
        self.start_at_mean(images)
        self.prior_layer.start_at(images)


@keras.saving.register_keras_serializable(package="zoo")
class HierarchicalVampVAE(StochasticLayersVAE):
    """Two stochastic layers inferred from the top down, under a mixture of posteriors (Tomczak &
    Welling 2018, section 4).

    Both latents see the image and both are seen by it, so neither has to pass on what the other
    knows: the paper's remedy against an upper layer that stays unused. Latents are a dict of `z1`
    (next to the image) and `z2`.

    Args:
        encoders: Two networks: (image [B, ...], condition z2 [B, D2]) -> parameters of q(z1|x, z2),
            and image -> those of q(z2|x).
        decoders: Two networks: (z1 [B, D1], condition z2 [B, D2]) -> parameters of p(x|z1, z2), and
            z2 -> those of p(z1|z2).
        posteriors: Two layers from parameters to q(z1|x, z2) and q(z2|x), the second a
            `zoo.layers.DiagonalNormal`.
        likelihood: Layer from parameters to p(x|z1, z2).
        priors: One layer, in a list, from parameters to p(z1|z2).
        prior: `zoo.layers.VampPrior` of z2; one of 500 components if left out.
        objective, observation, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the numbers of parts do not fit, or a part does not fit its neighbour.
    """

    def __init__(
        self,
        encoders: Sequence[keras.layers.Layer],
        decoders: Sequence[keras.layers.Layer],
        posteriors: Sequence[keras.layers.Layer],
        likelihood: keras.layers.Layer,
        priors: Sequence[keras.layers.Layer],
        prior: VampPrior | None = None,
        **others: Any,
    ) -> None:
        if len(encoders) != 2:
            raise ValueError(
                "HierarchicalVampVAE has two stochastic layers. "
                f"Received: {len(encoders)} encoders."
            )
        prior = prior or VampPrior(500, likelihood.event_shape)
        super().__init__(encoders, decoders, posteriors, likelihood, priors, prior, **others)

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        """p(z2) p(z1|z2) p(x|z1, z2), by q(z2|x) q(z1|x, z2)."""
        of_z1, of_z2 = self.posteriors
        (prior_of_z1,) = self.priors

        def upper(images):
            return of_z2(apply(self.encoders[1], images, training=training))

        z2 = latent(
            "z2",
            prior=lambda: self.prior_layer(encode=upper),
            posterior=lambda: upper(data[self.key]),
        )
        z1 = latent(
            "z1",
            prior=lambda: prior_of_z1(over_samples(self.decoders[1], z2, training=training)),
            posterior=lambda: of_z1(
                over_conditions(self.encoders[0], data[self.key], z2, training)
            ),
        )
        return self.decode(
            {"z1": z1, "z2": z2}, training=training, **self.observation.companions(data)
        )

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|z1, z2), where `z` is a dict of z1 [..., B, D1] and z2 [..., B, D2]."""
        self.condition.check(condition)
        z1, z2 = (
            as_numbers(name, value)
            for name, value in zip(("z1", "z2"), named_latents(z, ("z1", "z2")), strict=True)
        )
        return self.likelihood_layer(over_pairs(self.decoders[0], z1, z2, training), **companions)

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            name: layer.event_shape
            for name, layer in zip(("z1", "z2"), self.posteriors, strict=True)
        }

    start_at_images = VampVAE.start_at_images
