"""A class and a style: a VAE with a categorical latent y and a continuous z.

    generative program   p(y) p(z) p(x | y, z)
    inference program    q(y | x) q(z | x, y)

ELBO = sum_y q(y|x) (E_q(z|x, y)[log p(x|y, z)] - KL(q(z|x, y) || p(z))) - KL(q(y|x) || p(y))

Kingma, Rezende, Mohamed & Welling, "Semi-supervised learning with deep generative models", NIPS
2014, eq. 7.
https://arxiv.org/abs/1406.5298
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import validation
from zoo.inference import Enumeration, Objective
from zoo.inference.handlers import Handler, Typical, every_class
from zoo.inference.trace import Trace
from zoo.layers.posteriors import Categorical
from zoo.layers.priors import StandardNormal, UniformCategorical
from zoo.models.answers import Answer
from zoo.models.base import assert_networks, assert_posterior
from zoo.models.latent_variable import LatentVariableModel
from zoo.networks import apply, over_conditions, over_pairs
from zoo.observations import Observation
from zoo.tensors import as_vectors, named_latents
from zoo.typing import Distribution

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class ClassStyleVAE(LatentVariableModel):
    """Variational autoencoder with latents `y`, one of K classes as a one-hot vector, and `z`, a
    style.

    Args:
        classifier: Network x [B, ...] -> [B, K], the logits of q(y|x).
        encoder: Network (x [B, ...], condition y [B, K]) -> [B, posterior.num_params]; without the
            condition if `style_sees_class` is False.
        decoder: Network (z [B, D], condition y [B, K]) -> [B, likelihood.num_params].
        posterior: Layer from parameters to q(z|x, y).
        likelihood: Layer from parameters to p(x|y, z).
        num_classes: K.
        style_sees_class: Whether q(z|x, y) depends on y.
        objective: `Enumeration()` if left out: y is summed over. `Relaxation`, `ScoreFunction` and
            `VIMCO` draw it instead; whichever it is, `elbo` and its parts are those of the discrete
            model with y summed over.
        observation, pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`, `elbo`, `log_likelihood`, `kl`, and its parts `kl_y` (KL(q(y|x) || p(y))) and
    `kl_z`.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    num_classes: int

    def __init__(
        self,
        classifier: keras.layers.Layer,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        *,
        num_classes: int = 10,
        style_sees_class: bool = True,
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            likelihood,
            objective=Enumeration() if objective is None else objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        assert_networks(classifier=classifier, encoder=encoder, decoder=decoder)
        assert_posterior(posterior)
        self.classifier = classifier
        self.class_layer = Categorical(num_classes)
        self.class_prior_layer = UniformCategorical(num_classes)
        self.encoder = encoder
        self.decoder = decoder
        self.posterior_layer = posterior
        self.prior_layer = StandardNormal(posterior.latent_dim)
        self.num_classes = validation.integer("num_classes", num_classes)
        self.style_sees_class = style_sees_class

    # -- The programs

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        """p(y) p(z) p(x|y, z), by q(y|x) q(z|x, y)."""
        y = latent(
            "y",
            prior=self.class_prior_layer,
            posterior=lambda: self.class_layer(
                apply(self.classifier, self.observation.encoder_input(data), training=training)
            ),
        )
        z = latent("z", prior=self.prior_layer, posterior=lambda: self.style(data, y, training))
        return self.decode({"y": y, "z": z}, training=training, **self.observation.companions(data))

    def style(self, data: Mapping[str, Any], y: tf.Tensor, training: bool | None) -> Distribution:
        """q(z|x, y): batch as y [..., B, K], or [B] where it does not depend on y."""
        x = self.observation.encoder_input(data)
        if not self.style_sees_class:
            return self.posterior_layer(apply(self.encoder, x, training=training))
        return self.posterior_layer(over_conditions(self.encoder, x, y, training))

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|y, z), where `z` is a dict of y [..., B, K] and z [..., B, D]."""
        self.condition.check(condition)
        y, style = self._class_and_style(z)
        # One style may serve all classes.
        return self.likelihood_layer(over_pairs(self.decoder, style, y, training), **companions)

    def _class_and_style(self, z):
        y, style = named_latents(z, ("y", "z"))
        y = as_vectors("y", y, self.num_classes)
        return y, as_vectors("z", style, self.posterior_layer.latent_dim)

    # -- The bound

    def kl_by_latent(self, trace: Trace) -> dict[str, tf.Tensor]:
        """KL(q(y|x) || p(y)), and KL(q(z|x, y) || p(z)) averaged over q(y|x), also where the pass
        has drawn y: nats [B] each."""
        if trace.enumerated is not None:
            return super().kl_by_latent(trace)
        q_y = trace["y"].posterior
        probs = q_y.probs_parameter()  # [B, K]
        q_z = self.style(trace.data, every_class(q_y, tf.shape(probs)[0]), trace.training)
        kl_z = tfd.kl_divergence(q_z, trace["z"].prior)  # [K, B], or [B] where z does not see y
        if self.style_sees_class:
            kl_z = tf.reduce_sum(tf.transpose(probs) * kl_z, axis=0)
        return {"y": tfd.kl_divergence(q_y, trace["y"].prior), "z": kl_z}

    def bound_by_class(self, trace: Trace) -> tf.Tensor:
        """log p(x|y, z_y) + log p(y) - KL of the other latents, for each class of an enumerated
        pass: nats [K, B]."""
        # [K, B], or [B] where one does not see y.
        others = [site.kl() for name, site in trace.items() if name != "y"]
        return trace.log_likelihood + trace["y"].log_p - sum(others)

    def bound_terms(self, trace: Trace) -> dict[str, tf.Tensor]:
        by_latent = self.kl_by_latent(trace)
        return super().bound_terms(trace) | {
            f"kl_{name}": value for name, value in by_latent.items()
        }

    @property
    def term_names(self) -> tuple[str, ...]:
        return (*super().term_names, "kl_y", "kl_z")

    # -- What users ask of a trained model

    def classify(self, x: Any) -> tf.Tensor:
        """q(y|x): probabilities [B, K]."""
        return self.run(Typical(), self.as_data(x))["y"].posterior.probs_parameter()

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"y": (self.num_classes,), "z": self.posterior_layer.event_shape}

    def latent_parameters(self, x: Any, condition: Any = None) -> dict[str, tf.Tensor]:
        """`probs` of the classes, and the parameters of the style given the most probable one."""
        trace = self.run(Typical(), self.as_data(x, condition))
        style = self.posterior_layer.named_parameters(trace["z"].posterior)
        return {"probs": trace["y"].posterior.probs_parameter(), **style}

    def answers(self) -> dict[str, Answer]:
        def classify(**x):
            return {"probs": self.classify(self.observation.of_served(x))}

        return {**super().answers(), "classify": Answer(classify, self.observation.spec())}
