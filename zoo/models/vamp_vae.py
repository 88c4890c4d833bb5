"""VAEs whose prior is what the encoder makes of K learned images, the pseudo-inputs u_k.

    VampVAE               p(z) = 1/K sum_k q(z | u_k)
    HierarchicalVampVAE   p(z2) = 1/K sum_k q(z2 | u_k),  p(z1 | z2),  p(x | z1, z2);   q(z2 | x),  q(z1 | x, z2)

The prior that maximizes the ELBO is the aggregate posterior, a mixture over all training images. This "variational mixture of
posteriors" comes close with few components and does not overfit as that one would.

Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018. https://arxiv.org/abs/1705.07120
"""

import keras
import tensorflow as tf

from zoo.layers.latents import Latents
from zoo.layers.priors import VampPrior
from zoo.models.hierarchical_vae import HierarchicalVAE, given_neighbour
from zoo.models.vae import VAE
from zoo.networks import apply, over_conditions, over_pairs


@keras.saving.register_keras_serializable(package="zoo")
class VampVAE(VAE):
    """Variational autoencoder with a mixture of its own posteriors as prior (Tomczak & Welling 2018, eq. 9).

    Args:
        encoder, decoder, posterior, likelihood: As in `zoo.VAE`. The posterior must be a `zoo.layers.DiagonalNormal`.
        prior: `zoo.layers.VampPrior`; one of 500 components if left out.
        objective, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: As `zoo.VAE` does, or if a condition is asked for.
    """

    def __init__(self, encoder, decoder, posterior, likelihood, prior=None, **kwargs):
        if kwargs.pop("condition_shape", None) is not None:
            raise ValueError("VampVAE takes no condition. Received: `condition_shape`.")
        prior = prior or VampPrior(500, likelihood.event_shape)
        super().__init__(encoder, decoder, posterior, likelihood, prior, **kwargs)

    def prior(self, condition=None, *, training=None):
        self._refuse_condition(condition)
        return self.prior_layer(encode=lambda images: self.encode(images, training=training))

    def start_at_images(self, images):
        """Starts from the mean image, as `start_at_mean` does, and with training images as pseudo-inputs.

        Args:
            images: [N, *image_shape], the training images.
        """
        self.start_at_mean(images)
        self.prior_layer.start_at(images)

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return config


@keras.saving.register_keras_serializable(package="zoo")
class HierarchicalVampVAE(HierarchicalVAE):
    """Two stochastic layers inferred from the top down, under a mixture of posteriors (Tomczak & Welling 2018, section 4).

    Both latents see the image and both are seen by it, so neither has to pass on what the other knows: the paper's remedy against an
    upper layer that stays unused. Latents are a dict of `z1` (next to the image) and `z2`.

    Args:
        encoders: Two networks: (image [B, ...], condition z2 [B, D2]) -> parameters of q(z1|x, z2), and image -> those of q(z2|x).
        decoders: Two networks: (z1 [B, D1], condition z2 [B, D2]) -> parameters of p(x|z1, z2), and z2 -> those of p(z1|z2).
        posteriors: Two layers from parameters to q(z1|x, z2) and q(z2|x), the second a `zoo.layers.DiagonalNormal`.
        likelihood: Layer from parameters to p(x|z1, z2).
        priors: One layer, in a list, from parameters to p(z1|z2).
        prior: `zoo.layers.VampPrior` of z2; one of 500 components if left out.
        objective, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the numbers of parts do not fit, or a part does not fit its neighbour.
    """

    def __init__(self, encoders, decoders, posteriors, likelihood, priors, prior=None, **kwargs):
        if len(encoders) != 2:
            raise ValueError(f"HierarchicalVampVAE has two stochastic layers. Received: {len(encoders)} encoders.")
        prior = prior or VampPrior(500, likelihood.event_shape)
        super().__init__(encoders, decoders, posteriors, likelihood, priors, prior, **kwargs)

    def encode(self, x, condition=None, *, training=None):
        """q(z2|x) q(z1|x, z2): outcomes are dicts of z2 [B, D2] and z1 [B, D1]."""
        x, _ = self._as_tensors(x, condition)
        lower, _ = self.posterior_layers
        return Latents(z2=self._encode_upper(x, training), z1=lambda z: lower(over_conditions(self.encoders[0], x, z["z2"], training)))

    def _encode_upper(self, x, training):
        """q(z2|x)"""
        return self.posterior_layers[1](apply(self.encoders[1], x, training=training))

    def prior(self, condition=None, *, training=None):
        """p(z2) p(z1|z2)"""
        self._refuse_condition(condition)
        (lower,) = self.conditional_prior_layers
        return Latents(
            z2=self.prior_layer(encode=lambda images: self._encode_upper(images, training)),
            z1=given_neighbour(lower, self.decoders[1], "z2", training),
        )

    def decode(self, z, condition=None, *, training=None):
        """p(x|z1, z2), where `z` is a dict of z1 [..., B, D1] and z2 [..., B, D2]."""
        self._refuse_condition(condition)
        z1, z2 = (tf.convert_to_tensor(z[name], tf.float32) for name in ("z1", "z2"))
        return self.likelihood_layer(over_pairs(self.decoders[0], z1, z2, training))

    @property
    def latent_shapes(self):
        return {name: layer.event_shape for name, layer in zip(self.latent_names, self.posterior_layers, strict=True)}

    start_at_images = VampVAE.start_at_images
