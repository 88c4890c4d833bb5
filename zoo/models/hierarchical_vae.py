"""A VAE with several stochastic layers, each given the one above it.

    generative program   p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_2) p(x | z_1)
    inference program    q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_{L-1})

Rezende, Mohamed & Wierstra, ICML 2014, https://arxiv.org/abs/1401.4082; with two layers, Burda, Grosse & Salakhutdinov, ICLR 2016,
https://arxiv.org/abs/1509.00519
"""

import keras
import tensorflow as tf

from zoo.layers.latents import Latents
from zoo.layers.priors import StandardNormal
from zoo.models.vae import VAE
from zoo.networks import over_samples
from zoo.tensors import named_latents


@keras.saving.register_keras_serializable(package="zoo")
class HierarchicalVAE(VAE):
    """Variational autoencoder with L stochastic layers; latents are a dict of `z1` (next to the image) to `zL`.

    Args:
        encoders: L networks: x -> parameters of q(z1|x), z1 -> those of q(z2|z1), and so on.
        decoders: L networks: z1 -> parameters of p(x|z1), z2 -> those of p(z1|z2), and so on.
        posteriors: L layers from parameters to q(z1|x), q(z2|z1), ...
        likelihood: Layer from parameters to p(x|z1).
        priors: L - 1 layers from parameters to p(z1|z2), p(z2|z3), ...
        prior: Layer that gives p(zL). Standard normal if left out.
        objective, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the numbers of parts do not fit, or a part does not fit its neighbour.
    """

    _PARTS = {
        "encoders": "encoders",
        "decoders": "decoders",
        "posteriors": "posterior_layers",
        "likelihood": "likelihood_layer",
        "priors": "conditional_prior_layers",
        "prior": "prior_layer",
        "objective": "objective",
    }

    def __init__(self, encoders, decoders, posteriors, likelihood, priors, prior=None, **kwargs):
        sizes = {"encoders": len(encoders), "decoders": len(decoders), "posteriors": len(posteriors), "priors": len(priors) + 1}
        if len(set(sizes.values())) != 1 or len(encoders) < 1:
            raise ValueError(
                "L stochastic layers need L encoders, L decoders, L posteriors and L - 1 priors. "
                f"Received: {len(encoders)} encoders, {len(decoders)} decoders, {len(posteriors)} posteriors, {len(priors)} priors."
            )
        if kwargs.pop("condition_shape", None) is not None:
            raise ValueError("HierarchicalVAE takes no condition. Received: `condition_shape`.")
        # Before the constructor of VAE, which builds all parts.
        self.encoders = list(encoders)
        self.decoders = list(decoders)
        self.posterior_layers = list(posteriors)
        self.conditional_prior_layers = list(priors)
        prior = prior or StandardNormal(posteriors[-1].latent_dim)
        super().__init__(encoders[0], decoders[0], posteriors[0], likelihood, prior, **kwargs)

    @property
    def latent_names(self):
        return [f"z{number}" for number in range(1, len(self.encoders) + 1)]

    def encode(self, x, condition=None, *, training=None):
        """q(z1|x) q(z2|z1) ...: outcomes are dicts of z1 [B, D1], z2 [B, D2], ..."""
        first, *names = self.latent_names
        parts = {first: super().encode(x, condition, training=training)}
        for below, name, encoder, layer in zip(self.latent_names, names, self.encoders[1:], self.posterior_layers[1:], strict=False):
            parts[name] = given_neighbour(layer, encoder, below, training)
        return Latents(**parts)

    def prior(self, condition=None, *, training=None):
        """p(zL) p(z_{L-1}|zL) ... p(z1|z2)"""
        self._refuse_condition(condition)
        *names, top = self.latent_names
        parts = {top: self.prior_layer(condition=None, training=training)}
        for number in reversed(range(len(names))):
            layer, decoder = self.conditional_prior_layers[number], self.decoders[number + 1]
            parts[names[number]] = given_neighbour(layer, decoder, self.latent_names[number + 1], training)
        return Latents(**parts)

    def decode(self, z, condition=None, *, training=None):
        """p(x|z1), where `z` is a dict of all latents or of z1 alone."""
        return super().decode(*named_latents(z, ["z1"]), condition, training=training)

    @property
    def latent_shapes(self):
        return {"z1": self.posterior_layer.event_shape}

    def latent_parameters(self, x, condition=None):
        """Parameters of each latent, where those before it are at their means: z1_loc, z1_scale, z2_loc, ..."""
        posterior = self.encode(x, condition)
        means = posterior.mean()
        return {
            f"{name}_{parameter}": value
            for name, layer in zip(self.latent_names, self.posterior_layers, strict=True)
            for parameter, value in layer.named_parameters(posterior.given(name, means)).items()
        }

    def latent_means(self, out):
        return out.posterior.mean()

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return config


def given_neighbour(layer, network, neighbour, training=None):
    """The distribution of a latent as a function of the latents: parameters come from `network` of the neighbour."""
    return lambda z: layer(over_samples(network, tf.convert_to_tensor(z[neighbour]), training=training))
