"""A VAE with several stochastic layers, each given the one above it.

    generative program   p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_2) p(x | z_1)
    inference program    q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_{L-1})

Rezende, Mohamed & Wierstra, ICML 2014, https://arxiv.org/abs/1401.4082; with two layers, Burda,
Grosse & Salakhutdinov, ICLR 2016,
https://arxiv.org/abs/1509.00519
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.inference import Objective
from zoo.inference.handlers import Handler, Typical
from zoo.layers.priors import StandardNormal
from zoo.models.latent_variable import LatentVariableModel
from zoo.networks import apply, over_samples
from zoo.observations import Observation
from zoo.tensors import as_vectors, named_latents
from zoo.typing import Distribution


class StochasticLayersVAE(LatentVariableModel):
    """What models with L stochastic layers share: their parts, and latents by the names `z1` (next
    to the image) to `zL`."""

    # The KL is log q - log p at the draw, though that of some layers given the others is a formula:
    # published numbers are.
    analytic_kl = False

    def __init__(
        self,
        encoders: Sequence[keras.layers.Layer],
        decoders: Sequence[keras.layers.Layer],
        posteriors: Sequence[keras.layers.Layer],
        likelihood: keras.layers.Layer,
        priors: Sequence[keras.layers.Layer],
        prior: keras.layers.Layer | None = None,
        *,
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        sizes = {len(encoders), len(decoders), len(posteriors), len(priors) + 1}
        if len(sizes) != 1 or len(encoders) < 1:
            raise ValueError(
                "L stochastic layers need L encoders, L decoders, L posteriors and L - 1 priors. "
                f"Received: {len(encoders)} encoders, {len(decoders)} decoders, {len(posteriors)} "
                f"posteriors, {len(priors)} priors."
            )
        super().__init__(
            likelihood,
            objective=objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        self.encoders = list(encoders)
        self.decoders = list(decoders)
        self.posteriors = list(posteriors)
        self.priors = list(priors)
        self.prior_layer = prior or StandardNormal(posteriors[-1].latent_dim)

    @property
    def decoder(self) -> keras.layers.Layer:
        """The network next to the image."""
        return self.decoders[0]

    def latent_parameters(self, x: Any, condition: Any = None) -> dict[str, tf.Tensor]:
        """Parameters of each latent, where those before it are at their means: z1_loc, z1_scale,
        z2_loc, ..."""
        trace = self.run(Typical(), self.as_data(x, condition))
        return {
            f"z{number}_{parameter}": value
            for number, layer in enumerate(self.posteriors, start=1)
            for parameter, value in layer.named_parameters(trace[f"z{number}"].posterior).items()
        }


@keras.saving.register_keras_serializable(package="zoo")
class HierarchicalVAE(StochasticLayersVAE):
    """Variational autoencoder with L stochastic layers; latents are a dict of `z1` (next to the
    image) to `zL`.

    Args:
        encoders: L networks: x -> parameters of q(z1|x), z1 -> those of q(z2|z1), and so on.
        decoders: L networks: z1 -> parameters of p(x|z1), z2 -> those of p(z1|z2), and so on.
        posteriors: L layers from parameters to q(z1|x), q(z2|z1), ...
        likelihood: Layer from parameters to p(x|z1).
        priors: L - 1 layers from parameters to p(z1|z2), p(z2|z3), ...
        prior: Layer that gives p(zL). Standard normal if left out.
        objective, observation, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the numbers of parts do not fit, or a part does not fit its neighbour.
    """

    def guide(self, latent: Handler, data: Mapping[str, Any], training: bool | None = None) -> None:
        """q(z1|x) q(z2|z1) ... q(zL|z_{L-1})"""
        x = self.observation.encoder_input(data)
        z = latent(
            "z1",
            posterior=lambda: self.posteriors[0](apply(self.encoders[0], x, training=training)),
        )
        for number in range(1, len(self.encoders)):
            encoder, layer = self.encoders[number], self.posteriors[number]
            z = latent(
                f"z{number + 1}",
                posterior=lambda: layer(over_samples(encoder, z, training=training)),
            )

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        """p(zL) ... p(z1|z2) p(x|z1)"""
        z = latent(f"z{len(self.encoders)}", prior=lambda: self.prior_layer(training=training))
        for number in range(len(self.priors), 0, -1):
            layer, decoder = self.priors[number - 1], self.decoders[number]
            z = latent(
                f"z{number}", prior=lambda: layer(over_samples(decoder, z, training=training))
            )
        return self.decode({"z1": z}, training=training, **self.observation.companions(data))

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|z1), where `z` is a dict of all latents or of z1 alone."""
        self.condition.check(condition)
        (z1,) = named_latents(z, ["z1"])
        z1 = as_vectors("z1", z1, self.posteriors[0].latent_dim)
        return self.likelihood_layer(
            over_samples(self.decoders[0], z1, training=training), **companions
        )

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z1": self.posteriors[0].event_shape}
