"""A class and a style: a VAE with a categorical latent y and a continuous z.

    generative program   p(y) p(z) p(x | y, z)
    inference program    q(y | x) q(z | x, y)

ELBO = sum_y q(y|x) (E_q(z|x, y)[log p(x|y, z)] - KL(q(z|x, y) || p(z))) - KL(q(y|x) || p(y))

Kingma, Rezende, Mohamed & Welling, "Semi-supervised learning with deep generative models", NIPS 2014, eq. 7.
https://arxiv.org/abs/1406.5298
"""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import validation
from zoo.layers.latents import Latents
from zoo.layers.posteriors import Categorical
from zoo.layers.priors import StandardNormal, UniformCategorical
from zoo.models.base import assert_networks, assert_posterior
from zoo.models.vae import VAE, VAEOutput
from zoo.networks import apply, over_conditions, over_pairs
from zoo.objectives import Enumeration
from zoo.random import Stream, draw
from zoo.tensors import as_vectors, named_latents

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class ClassStyleVAE(VAE):
    """Variational autoencoder with latents `y`, one of K classes as a one-hot vector, and `z`, a style.

    Args:
        classifier: Network image [B, ...] -> [B, K], the logits of q(y|x).
        encoder: Network (image [B, ...], condition y [B, K]) -> [B, posterior.num_params]; without the condition if
            `style_sees_class` is False.
        decoder: Network (z [B, D], condition y [B, K]) -> [B, likelihood.num_params].
        posterior: Layer from parameters to q(z|x, y).
        likelihood: Layer from parameters to p(x|y, z).
        num_classes: K.
        style_sees_class: Whether q(z|x, y) depends on y.
        objective: `Enumeration()` if left out: y is summed over. `Relaxation`, `ScoreFunction` and `VIMCO` draw it instead; whichever it
            is, `elbo` and its parts are those of the discrete model with y summed over.
        pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`, `elbo`, `log_likelihood`, `kl`, and its parts `kl_y` (KL(q(y|x) || p(y))) and `kl_z`.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    _PARTS = {
        "classifier": "classifier",
        "encoder": "encoder",
        "decoder": "decoder",
        "posterior": "posterior_layer",
        "likelihood": "likelihood_layer",
        "objective": "objective",
    }
    # Whether training saw labels, so that class k means label k.
    classes_are_labels = False

    def __init__(
        self, classifier, encoder, decoder, posterior, likelihood, *, num_classes=10, style_sees_class=True, objective=None, **kwargs
    ):
        if kwargs.pop("condition_shape", None) is not None:
            raise ValueError(f"{type(self).__name__} infers its class and takes no condition. Received: `condition_shape`.")
        # Before the constructor of VAE, which builds all parts.
        assert_networks(classifier=classifier)
        assert_posterior(posterior)
        self.classifier = classifier
        self.class_layer = Categorical(num_classes)
        self.class_prior_layer = UniformCategorical(num_classes)
        self.num_classes = validation.integer("num_classes", num_classes)
        self.style_sees_class = style_sees_class
        prior = StandardNormal(posterior.latent_dim)
        super().__init__(
            encoder, decoder, posterior, likelihood, prior, objective=Enumeration() if objective is None else objective, **kwargs
        )

    # -- The two programs

    def encode(self, x, condition=None, *, training=None):
        """q(y|x) q(z|x, y): outcomes are dicts of y [B, K] and z [B, D]."""
        x, _ = self._as_tensors(x, condition)
        return Latents(y=self.class_layer(apply(self.classifier, x, training=training)), z=self._style(x, training))

    def _style(self, x, training):
        """q(z|x, y) as a function of the dict that holds y [..., B, K]; or as it is, where it does not depend on y."""
        if not self.style_sees_class:
            return self.posterior_layer(apply(self.encoder, x, training=training))

        return lambda latents: self.posterior_layer(over_conditions(self.encoder, x, latents["y"], training))

    def prior(self, condition=None, *, training=None):
        """p(y) p(z)"""
        self._refuse_condition(condition)
        return Latents(y=self.class_prior_layer(), z=self.prior_layer(training=training))

    def decode(self, z, condition=None, *, training=None):
        """p(x|y, z), where `z` is a dict of y [..., B, K] and z [..., B, D]."""
        self._refuse_condition(condition)
        y, style = named_latents(z, ("y", "z"))
        y, style = as_vectors("y", y, self.num_classes), as_vectors("z", style, self.posterior_layer.latent_dim)
        return self.likelihood_layer(over_pairs(self.decoder, style, y, training))  # one style may serve all classes

    def enumerated(self, batch, noise, training=None):
        """Both programs at every class: the pass whose y runs over all K, with one draw of z given each. Batch shape [K, B]."""
        posterior = self.encode(batch["image"], training=training)
        y = self._every_class(tf.shape(batch["image"])[0])  # [K, B, K]
        z = draw(posterior.given("z", {"y": y}), noise.of_latent(1), Stream.LATENT)
        latents = {"y": y, "z": z}
        return VAEOutput(posterior, self.prior(training=training), latents, self.decode(latents, training=training), is_enumerated=True)

    def _every_class(self, num_rows):
        classes = tf.broadcast_to(tf.eye(self.num_classes)[:, None], [self.num_classes, num_rows, self.num_classes])
        return tf.ensure_shape(classes, [self.num_classes, None, self.num_classes])

    # -- The bound

    def kl(self, out):
        return tf.add_n(list(self.kl_by_latent(out).values()))

    def kl_by_latent(self, out):
        """KL(q(y|x) || p(y)), and KL(q(z|x, y) || p(z)) averaged over q(y|x): nats [B] each."""
        q_y = out.posterior.given("y")
        probs = q_y.probs_parameter()  # [B, K]
        # An enumerated pass has q(z|x, y) of every class; another one computes it here.
        classes = out.z["y"] if out.is_enumerated else self._every_class(tf.shape(probs)[0])
        q_z = out.posterior.given("z", {"y": classes})
        kl_z = tfd.kl_divergence(q_z, out.prior.given("z"))  # [K, B], or [B] where z does not see y
        if self.style_sees_class:
            kl_z = tf.reduce_sum(tf.transpose(probs) * kl_z, axis=0)
        return {"y": tfd.kl_divergence(q_y, out.prior.given("y")), "z": kl_z}

    def expected_log_likelihood(self, x, out):
        """sum_y q(y|x) log p(x|y, z_y) of an enumerated pass: nats [B]."""
        probs = tf.transpose(out.posterior.given("y").probs_parameter())  # [K, B]
        return tf.reduce_sum(probs * out.likelihood.log_prob(x), axis=0)

    def bound_by_class(self, x, out):
        """log p(x|y, z_y) + log p(y) - KL(q(z|x, y) || p(z)) for each class of an enumerated pass: nats [K, B]."""
        kl_z = tfd.kl_divergence(out.posterior.given("z", out.z), out.prior.given("z"))  # [K, B], or [B] where z does not see y
        return out.likelihood.log_prob(x) - kl_z - math.log(self.num_classes)

    def loss_terms(self, batch, noise, training):
        loss, out = self.objective.loss(self, batch, noise, training)
        if not isinstance(self.objective, Enumeration):  # which has enumerated; what moves in training has moved in the loss's pass
            out = self.enumerated(batch, noise, training=False)
        return {"loss": loss, **self.bound_terms(batch, out)}

    def bound_terms(self, batch, out):
        """The bound of an enumerated pass and its parts: dict of nats [B]."""
        log_likelihood = self.expected_log_likelihood(batch["image"], out)
        kl = self.kl_by_latent(out)
        terms = {"elbo": log_likelihood - kl["y"] - kl["z"], "log_likelihood": log_likelihood, "kl": kl["y"] + kl["z"]}
        return terms | {f"kl_{name}": value for name, value in kl.items()}

    @property
    def term_names(self):
        return ("loss", "elbo", "log_likelihood", "kl", "kl_y", "kl_z")

    # -- What users ask of a trained model

    def classify(self, x):
        """q(y|x): probabilities [B, K]."""
        posterior = self.encode(x)
        return posterior.given("y", self._most_probable(posterior)).probs_parameter()

    def reconstruct(self, x, condition=None):
        """Mean of p(x|y, z) at the most probable class and the mean style given it: [B, *image_shape]."""
        return self.decode(self._most_probable(self.encode(x, condition))).mean()

    def _most_probable(self, posterior):
        """The latents as a dict: each at its mean given those before it, but for the class, which is the most probable one."""
        z = {}
        for name in posterior.parts:
            mean = posterior.given(name, z).mean()
            z[name] = tf.one_hot(tf.argmax(mean, axis=-1), self.num_classes) if name == "y" else mean
        return z

    @property
    def latent_shapes(self):
        return {"y": (self.num_classes,), "z": self.posterior_layer.event_shape}

    def latent_parameters(self, x, condition=None):
        """`probs` of the classes, and the parameters of the style given the most probable one."""
        posterior = self.encode(x, condition)
        z = self._most_probable(posterior)
        style = self.posterior_layer.named_parameters(posterior.given("z", z))
        return {"probs": posterior.given("y", z).probs_parameter(), **style}

    def latent_means(self, out):
        z = self._most_probable(out.posterior)
        return {name: value for name, value in z.items() if name != "y"}

    def _knows_kl(self, out):
        return True  # by parts

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {**config, "num_classes": self.num_classes, "style_sees_class": self.style_sees_class}
