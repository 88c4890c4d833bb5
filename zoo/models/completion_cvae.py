"""Completing an image: the conditional VAE whose condition is the part of the image that is seen.

    p(z | visible) p(hidden | visible, z),   q(z | visible, hidden)

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative models", NIPS 2015, eq. 4.
https://papers.nips.cc/paper/5775
"""

import keras
import tensorflow as tf

from zoo.images import VisiblePixels, as_unit_interval
from zoo.layers.likelihoods import Bernoulli
from zoo.layers.priors import Conditional
from zoo.models.base import ImageModel, assert_likelihood
from zoo.models.vae import VAE
from zoo.networks import apply, over_samples
from zoo.tensors import as_vectors


@keras.saving.register_keras_serializable(package="zoo")
class CompletionCVAE(VAE):
    """Conditional variational autoencoder that completes images. Bounds are of log p(hidden | visible), nats per image.

    Data are images alone: the condition is what is seen of them. A method that asks for a condition takes images, and ignores their hidden
    pixels; visible pixels count as black or white.

    Args:
        encoder: Network image -> parameters of q(z | visible, hidden).
        decoder: Network (z, what is seen) -> logits of all pixels; those of visible ones are not used.
        posterior: Layer from parameters to q.
        likelihood: `zoo.layers.Bernoulli`.
        prior: `zoo.layers.Conditional`: the learned p(z | visible).
        visible: Mask [H, W] of the pixels that are seen, such as `zoo.images.quadrants((28, 28), 1)`.
        objective, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the mask does not fit the images, the likelihood is not Bernoulli, or a part does not fit its neighbour.
    """

    def __init__(self, encoder, decoder, posterior, likelihood, prior, *, visible, **kwargs):
        assert_likelihood(likelihood)
        check_binary_likelihood(self, likelihood)
        if not isinstance(prior, Conditional):
            raise ValueError(f"`prior` must be a zoo.layers.Conditional, for p(z | visible). Received: {type(prior).__name__}.")
        self.visible = VisiblePixels(visible, likelihood.event_shape)  # before the constructor of VAE, which builds all parts
        super().__init__(encoder, decoder, posterior, likelihood, prior, condition_shape=likelihood.event_shape, **kwargs)

    def encode(self, x, condition=None, *, training=None):
        """q(z|x) of whole images: batch [B], event [D]."""
        return self.posterior_layer(apply(self.encoder, self._as_tensors(x, None)[0], training=training))

    def decode(self, z, condition=None, *, training=None):
        """p(x | visible, z): batch [..., B] as z [..., B, D]; visible pixels are what they are in `condition`."""
        condition = self._check_condition(condition)
        params = over_samples(self.decoder, as_vectors("z", z, self.posterior_layer.latent_dim), condition, training)
        return self.likelihood_layer(self.visible.known(params, condition))

    def reconstruct(self, x, condition=None):
        """Mean of p(x | visible, z) at the posterior's mean: [B, *image_shape]; what is visible is that of `x` itself if left out."""
        return super().reconstruct(x, x if condition is None else condition)

    def standardize_companions(self, x, num_rows=None):
        if x.get("condition") is not None:
            raise ValueError(
                "The condition of a CompletionCVAE is a part of the image: pass images alone. Received: data with 'condition'."
            )
        return {}

    def _as_tensors(self, x, condition):
        x = as_unit_interval(x, self.image_shape)
        return x, self.visible.see(x) if condition is None else self._check_condition(condition, x.shape[0])

    def _check_condition(self, condition, num_rows=None):
        """What is seen of images; of what is seen already, the same."""
        if condition is not None and not (tf.is_tensor(condition) and condition.dtype.is_floating):
            condition = as_unit_interval(condition, self.image_shape)
        return self.visible.see(super()._check_condition(condition, num_rows))

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {**config, "visible": self.visible.tolist()}


@keras.saving.register_keras_serializable(package="zoo")
class CompletionNetwork(ImageModel):
    """The same without a latent, to compare with: p(hidden | visible) with independent pixels. The baseline of Sohn et al., section 5.

    Args:
        network: Network (what is seen of the image) -> logits of all pixels.
        likelihood: `zoo.layers.Bernoulli`.
        visible: Mask [H, W] of the pixels that are seen.
        pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`, which is -log p(hidden | visible) in nats per image, and `log_likelihood`.
    """

    _PARTS = {"network": "network", "likelihood": "likelihood_layer"}
    term_names = ("loss", "log_likelihood")

    def __init__(self, network, likelihood, *, visible, condition_shape=None, **kwargs):
        check_binary_likelihood(self, likelihood)
        super().__init__(likelihood, **kwargs)
        self.network = network
        self.visible = VisiblePixels(visible, likelihood.event_shape)
        self.call(tf.zeros([1, *self.image_shape]))  # creates all weights, and checks that the parts fit together
        self.built = True

    def call(self, data, training=None):
        """p(x | visible) of images: batch [B], event `image_shape`."""
        seen = self.visible.see(self._unpack(data)[0])
        return self.likelihood_layer(self.visible.known(apply(self.network, seen, training=training), seen))

    def loss_terms(self, batch, noise, training):
        log_likelihood = self(batch["image"], training=training).log_prob(batch["image"])
        return {"loss": -log_likelihood, "log_likelihood": log_likelihood}

    def log_prob(self, x):
        """log p(hidden | visible), exact: nats [B]."""
        x, _ = self._as_tensors(x, None)
        self._assert_outcomes(x)
        return self(x).log_prob(x)

    def reconstruct(self, x, condition=None):
        """The images completed: visible pixels, and the mean of the hidden ones, [B, *image_shape]."""
        return self(self._as_tensors(x, condition)[0]).mean()

    def get_config(self):
        return {**super().get_config(), "visible": self.visible.tolist()}


def check_binary_likelihood(model, likelihood):
    if not isinstance(likelihood, Bernoulli):
        raise ValueError(f"{type(model).__name__} completes binary images. Received: likelihood={type(likelihood).__name__}.")
