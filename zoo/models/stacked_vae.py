"""M1 + M2: the semi-supervised VAE on the latents of another VAE.

    generative program   p(y) p(z) p(h | y, z) p(x | h)
    inference program    q(h | x) q(y | h) q(z | h, y)

M1 is a VAE of its own, trained on images alone: q(h|x) and p(x|h). M2 is a class and a style that
explain h, a vector, in place of the image: summing over classes then costs little. Together they
bound log p(x):

    log p(x|h) - log q(h|x)
        + (sum_y q(y|h) (log p(h|y, z) + log p(y) - KL(q(z|h, y) || p(z))) + H(q(y|h)))

Kingma, Rezende, Mohamed & Welling, "Semi-supervised learning with deep generative models", NIPS
2014, section 3.1.
https://arxiv.org/abs/1406.5298
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.inference import Objective
from zoo.inference.handlers import Handler
from zoo.inference.trace import Trace
from zoo.layers.posteriors import DiagonalNormal
from zoo.models.latent_variable import LatentVariableModel
from zoo.models.semi_supervised_vae import SemiSupervisedVAE
from zoo.models.vae import VAE
from zoo.networks import over_pairs, over_samples
from zoo.observations.image import check_images
from zoo.typing import Distribution

# Var_x E_q[h] above which a latent counts as active (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01


@keras.saving.register_keras_serializable(package="zoo")
class StackedVAE(SemiSupervisedVAE):
    """Semi-supervised VAE on the latents h of a trained `zoo.VAE`, whose weights stay as they are.

    Args:
        base: M1, a `zoo.VAE` without a condition. It is copied.
        classifier: Network h [B, H] -> logits of q(y|h) [B, K].
        encoder: Network (h [B, H], condition y [B, K]) -> parameters of q(z|h, y).
        decoder: Network (z [B, D], condition y [B, K]) -> parameters of p(h|y, z), a diagonal
            normal: [B, 2 H].
        posterior: Layer from parameters to q(z|h, y).
        num_classes, classification_weight, objective, seed: As in `zoo.SemiSupervisedVAE`.

    Metrics: `loss`, `elbo`, `log_likelihood` (log p(x|h)), `kl_monte_carlo` and `accuracy`.

    Raises:
        ValueError: If `base` is no plain VAE, a part does not fit its neighbour, or labels are
            missing or out of range.
    """

    # q(h|x) and p(h|y, z) are normals with y and z between them: their KL is log q - log p at the
    # draw.
    analytic_kl = False

    def __init__(
        self,
        base: VAE,
        classifier: keras.layers.Layer,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        *,
        num_classes: int = 10,
        classification_weight: float = 1.0,
        objective: Objective | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if type(base) is not VAE or base.condition_shape is not None:
            raise ValueError(
                f"`base` must be a zoo.VAE without a condition. Received: {type(base).__name__}."
            )
        # First, because stored weights lie in the order in which parts are kept.
        # A copy, without the optimizer that trained it.
        self.base = VAE.from_config(base.get_config())
        self.base.set_weights(base.get_weights())
        # `base.trainable = False` would not survive saving: Keras keeps it with parts of a part
        # only.
        for weight in self.base.weights:
            weight.trainable = False
        super().__init__(
            *(classifier, encoder, decoder, posterior, base.likelihood_layer),
            num_classes=num_classes,
            classification_weight=classification_weight,
            objective=objective,
            observation=base.observation,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        num_units = base.posterior_layer.latent_dim
        self.features_layer = DiagonalNormal(num_units)
        self.active = keras.Variable(np.ones(num_units, np.float32), trainable=False, name="active")

    def keep_active(self, images: Any) -> None:
        """Leaves M2 with those latents of `base` that carry something; p(h|y, z) of the others is
        N(0, 1), as it was in M1.

        They are noise, and a classifier with few labels takes noise for signs. Run once, before
        training.

        Args:
            images: [N, *image_shape], training images; the first 5,000 are used.
        """
        images = check_images(images[:5000], self.observation.shape)
        variance = np.var(self.base.encode(images).mean(), axis=0)
        self.active.assign(variance > ACTIVE_VARIANCE)

    # -- The programs

    def guide(self, latent: Handler, data: Mapping[str, Any], training: bool | None = None) -> None:
        """q(h|x) q(y|h) q(z|h, y). The base is not in training, whatever M2 is."""
        h = latent("h", posterior=lambda: self.base.encode(data, training=False)) * self.active
        y = latent(
            "y",
            posterior=lambda: self.class_layer(over_samples(self.classifier, h, training=training)),
        )
        latent(
            "z", posterior=lambda: self.posterior_layer(over_pairs(self.encoder, h, y, training))
        )

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        """p(y) p(z) p(h|y, z) p(x|h)"""
        y = latent("y", prior=self.class_prior_layer)
        z = latent("z", prior=self.prior_layer)
        h = latent("h", prior=lambda: self.features(y, z, training))
        return self.decode({"h": h})

    def features(self, y: tf.Tensor, z: tf.Tensor, training: bool | None = None) -> Distribution:
        """p(h|y, z): N(0, 1) where a latent is not active, which is what parameters of zero
        mean."""
        params = over_pairs(self.decoder, z, y, training)
        return self.features_layer(params * tf.tile(self.active, [2]))

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|h), where `z` is a dict that holds h; or y and z, whose most typical h it then is."""
        self.condition.check(condition)
        if isinstance(z, Mapping) and "h" in z:
            h = z["h"]
        else:
            h = self.features(*self._class_and_style(z), training).mean()
        return self.base.decode(h, training=False, **companions)

    # -- The bound

    def kl_by_latent(self, trace: Trace) -> dict[str, tf.Tensor]:
        """log q - log p of each latent; where the pass has summed over y, the formula of those that
        have one: nats [B] each."""
        analytic = trace.enumerated is not None
        return {name: trace.expect(site.kl(analytic)) for name, site in trace.items()}

    def bound_terms(self, trace: Trace) -> dict[str, tf.Tensor]:
        return LatentVariableModel.bound_terms(self, trace)

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("loss", "elbo", "log_likelihood", "kl_monte_carlo", "accuracy")
