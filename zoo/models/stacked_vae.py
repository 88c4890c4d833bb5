"""M1 + M2: the semi-supervised VAE on the latents of another VAE.

    generative program   p(y) p(z) p(h | y, z) p(x | h)
    inference program    q(h | x) q(y | h) q(z | h, y)

M1 is a VAE of its own, trained on images alone: q(h|x) and p(x|h). M2 is a class and a style that explain h, a vector, in place of the
image: summing over classes then costs little. Together they bound log p(x):

    log p(x|h) - log q(h|x) + (sum_y q(y|h) (log p(h|y, z) + log p(y) - KL(q(z|h, y) || p(z))) + H(q(y|h)))

Kingma, Rezende, Mohamed & Welling, "Semi-supervised learning with deep generative models", NIPS 2014, section 3.1.
https://arxiv.org/abs/1406.5298
"""

import math
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.images import check_images
from zoo.layers.latents import Latents
from zoo.layers.posteriors import DiagonalNormal
from zoo.models.semi_supervised_vae import SemiSupervisedVAE
from zoo.models.vae import VAE, VAEOutput
from zoo.networks import over_pairs, over_samples
from zoo.random import Stream, draw
from zoo.tensors import as_vectors, named_latents

tfd = tfp.distributions

# Var_x E_q[h] above which a latent counts as active (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01


@keras.saving.register_keras_serializable(package="zoo")
class StackedVAE(SemiSupervisedVAE):
    """Semi-supervised VAE on the latents h of a trained `zoo.VAE`, whose weights stay as they are.

    Args:
        base: M1, a `zoo.VAE` without a condition. It is copied.
        classifier: Network h [B, H] -> logits of q(y|h) [B, K].
        encoder: Network (h [B, H], condition y [B, K]) -> parameters of q(z|h, y).
        decoder: Network (z [B, D], condition y [B, K]) -> parameters of p(h|y, z), a diagonal normal: [B, 2 H].
        posterior: Layer from parameters to q(z|h, y).
        num_classes, classification_weight, seed: As in `zoo.SemiSupervisedVAE`.

    Metrics: `loss`, `elbo`, `log_likelihood` (log p(x|h)), `kl_monte_carlo` and `accuracy`.

    Raises:
        ValueError: If `base` is no plain VAE, a part does not fit its neighbour, or labels are missing or out of range.
    """

    _PARTS = {
        "base": "base",
        "classifier": "classifier",
        "encoder": "encoder",
        "decoder": "decoder",
        "posterior": "posterior_layer",
    }

    def __init__(self, base, classifier, encoder, decoder, posterior, *, pixels=None, **kwargs):
        if type(base) is not VAE or base.condition_shape is not None:
            raise ValueError(f"`base` must be a zoo.VAE without a condition. Received: {type(base).__name__}.")
        self.base = VAE.from_config(base.get_config())  # a copy, without the optimizer that trained it
        self.base.set_weights(base.get_weights())
        for weight in self.base.weights:  # `base.trainable = False` would not survive saving: Keras keeps it with parts of a part only
            weight.trainable = False
        num_units = base.posterior_layer.latent_dim
        self.features_layer = DiagonalNormal(num_units)
        self.active = keras.Variable(np.ones(num_units, np.float32), trainable=False, name="active")
        super().__init__(
            classifier, encoder, decoder, posterior, base.likelihood_layer, style_sees_class=True, pixels=pixels or base.pixels, **kwargs
        )

    def keep_active(self, images):
        """Leaves M2 with those latents of `base` that carry something; p(h|y, z) of the others is N(0, 1), as it was in M1.

        They are noise, and a classifier with few labels takes noise for signs. Run once, before training.

        Args:
            images: [N, *image_shape], training images; the first 5,000 are used.
        """
        images = check_images(images[:5000], self.image_shape)
        variance = np.var(self.base.encode(images).mean(), axis=0)
        self.active.assign(variance > ACTIVE_VARIANCE)

    # -- The two programs

    def encode(self, x, condition=None, *, training=None):
        """q(h|x) q(y|h) q(z|h, y): outcomes are dicts of h [B, H], y [B, K] and z [B, D]. The base is not in training, whatever M2 is."""
        return Latents(
            h=self.base.encode(self._as_tensors(x, condition)[0], training=False),
            y=lambda latents: self.class_layer(over_samples(self.classifier, latents["h"] * self.active, training=training)),
            z=lambda latents: self.posterior_layer(over_pairs(self.encoder, latents["h"] * self.active, latents["y"], training)),
        )

    def prior(self, condition=None, *, training=None):
        """p(y) p(z) p(h|y, z)"""
        self._refuse_condition(condition)
        return Latents(
            y=self.class_prior_layer(),
            z=self.prior_layer(training=training),
            h=lambda latents: self._features(over_pairs(self.decoder, latents["z"], latents["y"], training)),
        )

    def _features(self, params):
        """p(h|y, z): N(0, 1) where a latent is not active, which is what parameters of zero mean."""
        return self.features_layer(params * tf.tile(self.active, [2]))

    def decode(self, z, condition=None, *, training=None):
        """p(x|h), where `z` is a dict that holds h; or y and z, whose most typical h it then is."""
        self._refuse_condition(condition)
        if isinstance(z, Mapping) and "h" in z:
            h = z["h"]
        else:
            y, style = named_latents(z, ("y", "z"))
            z = {"y": as_vectors("y", y, self.num_classes), "z": as_vectors("z", style, self.posterior_layer.latent_dim)}
            h = self.prior(training=training).given("h", z).mean()
        return self.base.decode(h, training=False)

    def enumerated(self, batch, noise, training=None):
        """Both programs at one draw of h and at every class, with one draw of z given each. y and z have the batch shape [K, B]."""
        posterior = self.encode(batch["image"], training=training)
        h = draw(posterior.given("h"), noise.of_latent(0), Stream.LATENT)  # [B, H]
        y = self._every_class(tf.shape(h)[0])  # [K, B, K]
        z = draw(posterior.given("z", {"h": h, "y": y}), noise.of_latent(2), Stream.LATENT)
        latents = {"h": h, "y": y, "z": z}
        return VAEOutput(posterior, self.prior(training=training), latents, self.decode(latents), is_enumerated=True)

    # -- The bound

    def bound_by_class(self, x, out):
        kl_z = tfd.kl_divergence(out.posterior.given("z", out.z), out.prior.given("z"))  # [K, B]
        of_class = out.prior.given("h", out.z).log_prob(out.z["h"]) - kl_z - math.log(self.num_classes)
        return of_class + out.likelihood.log_prob(x) - out.posterior.given("h").log_prob(out.z["h"])

    def bound_terms(self, batch, out):
        q_y = out.posterior.given("y", out.z)
        probs, log_probs = q_y.probs_parameter(), tf.nn.log_softmax(q_y.logits_parameter())
        elbo = tf.reduce_sum(probs * (tf.transpose(self.bound_by_class(batch["image"], out)) - log_probs), axis=-1)
        log_likelihood = out.likelihood.log_prob(batch["image"])
        return {"elbo": elbo, "log_likelihood": log_likelihood, "kl_monte_carlo": log_likelihood - elbo}

    def kl(self, out):
        return tf.reduce_mean(out.posterior.log_prob(out.z) - out.prior.log_prob(out.z), axis=0)

    @property
    def term_names(self):
        return ("loss", "elbo", "log_likelihood", "kl_monte_carlo", "accuracy")

    def _knows_kl(self, out):
        return False

    def get_config(self):
        config = super().get_config()
        del config["style_sees_class"]
        return config
