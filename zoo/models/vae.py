"""The variational autoencoder: two programs and a bound.

    generative program   p(x, z | c) = p(z | c) p(x | z, c)
    inference program    q(z | x, c)
    objective            ELBO = E_q[log p(x | z, c)] - KL(q(z | x, c) || p(z | c))  <=  log p(x | c)

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014. https://arxiv.org/abs/1312.6114
Rezende, Mohamed & Wierstra, "Stochastic Backpropagation ...", ICML 2014. https://arxiv.org/abs/1401.4082
"""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.compiled import CompiledModel
from zoo.images import check_image_stream, check_images, to_unit_interval
from zoo.layers.priors import StandardNormal
from zoo.objectives import WeightSums, importance_weighted_bound
from zoo.random import RowNoise, Stream, draw

tfd = tfp.distributions


class VAEOutput(NamedTuple):
    """One pass through both programs. `z` is whatever `posterior` draws: a tensor, or a structure of tensors for several latents."""

    posterior: tfd.Distribution  # q(z|x, c): batch [B]
    prior: tfd.Distribution  # p(z|c): batch [B] or []
    z: Any  # [S, B, D]
    likelihood: tfd.Distribution  # p(x|z, c): batch [S, B]


@keras.saving.register_keras_serializable(package="zoo")
class VAE(CompiledModel):
    """Variational autoencoder with an optional condition.

    Images are uint8 in 0 ... 255 or floats in [0, 1], alone or as the "image" of a dict (TFDS's form); a condition c travels beside
    them as "condition". `fit` and `evaluate` binarize inside the compiled step where `binarization` says so; `encode`, `reconstruct`,
    `log_prob` and `generate` take the image as given. All quantities are in nats per example.

    Args:
        encoder: Network (image [B, ...], condition or None) -> [B, posterior.num_params].
        decoder: Network (z [B, D], condition or None) -> [B, likelihood.num_params].
        posterior: Layer from parameters to q(z|x, c), such as `zoo.layers.DiagonalNormal(latent_dim)`.
        likelihood: Layer from parameters to p(x|z, c), such as `zoo.layers.Bernoulli(image_shape)`.
        prior: Layer condition -> p(z|c). Standard normal if left out.
        num_samples: S, samples of z per image and step in the training objective.
        binarization: "dynamic" draws each pixel anew at every step from its grey level, "none" takes images as they are. The default is
            "dynamic" for a likelihood over binary pixels, else "none". On images that are binary already the two are the same.
        condition_shape: Shape of one condition, or None for an unconditional model.
        seed: Every draw is a function of (seed, step, row).

    Metrics: `loss`, `elbo`, `log_likelihood` (log p(x|z)) and `kl` (KL(q || p), analytic), or `kl_monte_carlo` where TFP knows no
    closed form.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    def __init__(
        self,
        encoder,
        decoder,
        posterior,
        likelihood,
        prior=None,
        *,
        num_samples=1,
        binarization=None,
        condition_shape=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        if not isinstance(num_samples, int) or num_samples < 1:
            raise ValueError(f"`num_samples` must be a positive integer. Received: num_samples={num_samples!r}.")
        if binarization not in (None, "dynamic", "none"):
            raise ValueError(f"`binarization` must be 'dynamic' or 'none'. Received: binarization={binarization!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.posterior_layer = posterior
        self.likelihood_layer = likelihood
        self.prior_layer = prior or StandardNormal(posterior.latent_dim)
        self.num_samples = num_samples
        self.binarization = binarization or ("dynamic" if likelihood.binary else "none")
        self.condition_shape = None if condition_shape is None else tuple(condition_shape)
        self._build_parts()

    @property
    def image_shape(self):
        return self.likelihood_layer.event_shape

    # -- The two programs

    def encode(self, x, condition=None):
        """q(z|x, c): batch [B], event [D]."""
        x, condition = self._as_tensors(x, condition)
        return self.posterior_layer(self.encoder(x, **_given(condition)))

    def decode(self, z, condition=None):
        """p(x|z, c): batch [..., B] as z [..., B, D], event `image_shape`. A condition [B, ...] serves every leading sample."""
        z = tf.convert_to_tensor(z, tf.float32)
        samples = z.shape[:-2]  # networks know one batch dimension: fold the samples into it
        if condition is not None:
            condition = self._check_condition(condition)
            condition = tf.broadcast_to(condition, tf.concat([tf.shape(z)[:-1], tf.shape(condition)[1:]], axis=0))
            condition = tf.reshape(condition, [-1, *self.condition_shape])
        params = self.decoder(tf.reshape(z, [-1, z.shape[-1]]), **_given(condition))  # [S B, P]
        if len(samples):
            params = tf.reshape(params, [*samples, -1, params.shape[-1]])
        return self.likelihood_layer(params)

    def prior(self, condition=None):
        """p(z|c): batch [] or [B], event [D]."""
        return self.prior_layer(condition=condition)

    def call(self, data, noise=None, num_samples=None, first_sample=0):
        """Draws z from q and decodes it; the draws are `noise`'s, or those of the model's seed. -> `VAEOutput`"""
        x, condition = self._unpack(data)
        noise = noise or RowNoise(self.seed, 0, tf.range(tf.shape(x)[0]))
        posterior = self.encode(x, condition)
        z = draw(posterior, noise, Stream.LATENT, num_samples or self.num_samples, first_sample)  # [S, B, D]
        return VAEOutput(posterior, self.prior(condition), z, self.decode(z, condition))

    # -- The bound

    def regularizer(self, out):
        """What the objective subtracts from log p(x|z): nats [B], or a scalar where it is the batch's."""
        return self.kl(out)

    def kl(self, out):
        """KL(q(z|x, c) || p(z|c)) in nats [B]: analytic where TFP registers one, otherwise the mean of log q - log p over the samples."""
        if self.has_analytic_kl:
            return tfd.kl_divergence(out.posterior, out.prior)
        return tf.reduce_mean(out.posterior.log_prob(out.z) - out.prior.log_prob(out.z), axis=0)

    def log_weights(self, x, out):
        """log p(x, z|c) - log q(z|x, c) of each sample: nats [S, B]."""
        return out.likelihood.log_prob(x) + out.prior.log_prob(out.z) - out.posterior.log_prob(out.z)

    def loss_terms(self, batch, noise, training):
        out = self(batch, noise=noise, training=training)
        log_likelihood = tf.reduce_mean(out.likelihood.log_prob(batch["image"]), axis=0)  # E_q[log p(x|z)]: [S, B] -> [B]
        kl = self.kl(out)
        return {
            "loss": self.regularizer(out) - log_likelihood,
            "elbo": log_likelihood - kl,
            "log_likelihood": log_likelihood,
            self.kl_name: kl,
        }

    @property
    def kl_name(self):
        return "kl" if self.has_analytic_kl else "kl_monte_carlo"

    @property
    def term_names(self):
        return ("loss", "elbo", "log_likelihood", self.kl_name)

    def start_at_mean(self, images):
        """Starts training from p(x|z) = the mean image, by the decoder's output bias.

        Otherwise the first epochs go into learning that bias, and latents that carry nothing meanwhile are switched off for good: on
        MNIST 17 dimensions are active after 10 epochs without it, 34 with it, and the bound is 5 nats higher.

        Args:
            images: [N, *image_shape], the training images.
        """
        mean = np.mean(check_images(images, self.image_shape), axis=0, dtype=np.float64) / (255.0 if images.dtype == np.uint8 else 1.0)
        self.decoder.set_output_bias(self.likelihood_layer.params_of_mean(tf.constant(mean, tf.float32)))

    # -- What users ask of a trained model

    def reconstruct(self, x, condition=None):
        """Mean of p(x|z) at the posterior's mean: [B, *image_shape], pixels in [0, 1] (unbounded for Normal likelihoods)."""
        return self.decode(self.encode(x, condition).mean(), condition).mean()

    def sample(self, num_rows, seed=0, condition=None):
        """`num_rows` images drawn from p(x|c): [num_rows, *image_shape]. Row i is a function of (seed, i)."""
        return self.generate(RowNoise.of_seed(seed, num_rows), condition)["sample"]

    def generate(self, noise, condition=None):
        """Draws from the generative program.

        Args:
            noise: `RowNoise` of B rows.
            condition: [B, *condition_shape], for a conditional model.

        Returns:
            Dict of `z` [B, D], `reconstruction` (mean of p(x|z), [B, *image_shape]) and `sample` (a draw of it).
        """
        prior = self.prior(condition)
        z = draw(prior, noise, Stream.LATENT)
        likelihood = self.decode(z, condition)
        return {"z": z, "reconstruction": likelihood.mean(), "sample": draw(likelihood, noise, Stream.PIXEL)}

    def score(self, x, noise, condition=None):
        """The single-sample bound of images as given: dict of `elbo`, `kl`, `log_likelihood`, nats [B]."""
        x, condition = self._as_tensors(x, condition)
        out = self(_as_data(x, condition), noise=noise, num_samples=1)
        log_likelihood = out.likelihood.log_prob(x)[0]
        kl = self.kl(out)
        return {"elbo": log_likelihood - kl, "kl": kl, "log_likelihood": log_likelihood}

    def log_prob(self, x, num_samples=64, condition=None, seed=0):
        """Importance-weighted bound on log p(x|c), in nats [B]; it tightens with `num_samples`. In chunks of bounded memory."""
        x, condition = self._as_tensors(x, condition)
        return self._compiled_log_prob(_as_data(x, condition), tf.constant(seed, tf.uint32), num_samples)

    @functools.cached_property
    def _compiled_log_prob(self):
        def log_prob(data, seed, num_samples):
            noise = RowNoise.of_seed(seed, tf.shape(data["image"])[0])
            return self.importance_sums(data, noise, num_samples)[0].log_mean(num_samples)

        return tf.function(log_prob, jit_compile=self.compiled and self.execution == "xla-block", autograph=False)

    def importance_weighted_log_prob(self, x, noise, num_samples, condition=None):
        """As `log_prob`, all samples at once and without a loop: what an exported signature holds."""
        x, condition = self._as_tensors(x, condition)
        out = self(_as_data(x, condition), noise=noise, num_samples=num_samples)
        return importance_weighted_bound(self.log_weights(x, out))

    def importance_sums(self, batch, noise, num_samples, chunk=32):
        """Sums over importance samples from q, `chunk` at a time.

        Args:
            batch: Dict with "image" as the likelihood takes it, float32 [B, ...].
            noise: `RowNoise` of B rows.
            num_samples: S, any positive integer.
            chunk: Samples held in memory at once.

        Returns:
            `WeightSums` of S samples, and the sum over samples of log p(x|z), nats [B].
        """
        chunk = min(chunk, num_samples)

        def body(first, log_sum, log_sum_squares, log_likelihood_sum):
            out = self(batch, noise=noise, num_samples=chunk, first_sample=first)
            log_likelihood = out.likelihood.log_prob(batch["image"])  # [chunk, B]
            log_weights = log_likelihood + out.prior.log_prob(out.z) - out.posterior.log_prob(out.z)
            wanted = (first + tf.range(chunk) < num_samples)[:, None]  # the last chunk may reach past S
            sums = WeightSums(log_sum, log_sum_squares).add(tf.where(wanted, log_weights, -float("inf")))
            log_likelihood_sum += tf.reduce_sum(tf.where(wanted, log_likelihood, 0.0), axis=0)
            return (first + chunk, *sums, log_likelihood_sum)

        num_rows = tf.shape(batch["image"])[0]
        state = (tf.constant(0), *WeightSums.empty(num_rows), tf.zeros([num_rows]))
        _, *sums, log_likelihood_sum = tf.while_loop(lambda first, *_: first < num_samples, body, state, parallel_iterations=1)
        return WeightSums(*sums), log_likelihood_sum

    # -- Data

    def standardize(self, x):
        if isinstance(x, tf.data.Dataset):
            return self._standardize_stream(x)
        if x is None:
            raise ValueError("There are no images. Received: x=None.")
        if isinstance(x, dict):
            if "image" not in x:
                raise ValueError(f"A dict of data must hold 'image'. Received: keys {sorted(x)}.")
            images, condition = x["image"], x.get("condition")
        else:
            images, condition = x, None
        data = {"image": check_images(images, self.image_shape)}
        if self.condition_shape is not None:
            data["condition"] = self._check_condition(condition, len(data["image"]))
        return data

    def _standardize_stream(self, stream):
        spec = stream.element_spec
        if isinstance(spec, tuple):
            raise ValueError(
                "A generative model has no targets. Received: a tf.data.Dataset of tuples. "
                "Map it to images or to a dict: `.map(lambda image, label: {'image': image})`."
            )
        if stream.cardinality() == 0:
            raise ValueError("There are no images. Received: an empty tf.data.Dataset.")

        def to_dict(element):
            element = element if isinstance(element, dict) else {"image": element}
            if "image" not in element:
                raise ValueError(f"A dict of data must hold 'image'. Received: keys {sorted(element)}.")
            data = {"image": check_image_stream(element["image"], self.image_shape)}
            if self.condition_shape is not None:
                data["condition"] = self._check_condition(element.get("condition"))
            return data

        return stream.map(to_dict, num_parallel_calls=tf.data.AUTOTUNE)

    def prepare(self, batch, noise):
        image = to_unit_interval(batch["image"])
        if self.binarization == "dynamic":
            # Salakhutdinov & Murray, ICML 2008: a grey level is the probability of a white pixel.
            image = tf.cast(noise.uniform(Stream.BINARIZE, self.image_shape) < image, tf.float32)
        return {**batch, "image": image}

    def predict_step(self, data):
        x = data[0] if isinstance(data, tuple) else data
        return self.reconstruct(*self._unpack(x))

    # -- Plumbing

    def _build_parts(self):
        """Creates all weights, and checks that the parts fit together, by sending one blank image through them."""
        x = tf.zeros([1, *self.image_shape])
        condition = None if self.condition_shape is None else tf.zeros([1, *self.condition_shape])
        posterior = self.encode(x, condition)
        prior = self.prior(condition)
        z = draw(posterior, RowNoise.of_seed(0, 1))
        self.decode(z, condition)
        try:
            tfd.kl_divergence(posterior, prior)
            self.has_analytic_kl = True
        except NotImplementedError:
            self.has_analytic_kl = False
        self.built = True

    def _unpack(self, data):
        if isinstance(data, dict):
            return self._as_tensors(data["image"], data.get("condition"))
        return self._as_tensors(data, None)

    def _as_tensors(self, x, condition):
        """Images as floats in [0, 1] (the shape checked), and the condition."""
        if not tf.is_tensor(x):
            x = check_images(x, self.image_shape)
        elif x.shape[1:] != self.image_shape:
            raise ValueError(f"Images must have the shape {self.image_shape}. Received: images of shape {tuple(x.shape[1:])}.")
        x = tf.convert_to_tensor(x)
        if x.dtype == tf.uint8:
            x = to_unit_interval(x)
        return x, None if self.condition_shape is None else self._check_condition(condition)

    def _check_condition(self, condition, num_rows=None):
        if condition is None:
            raise ValueError(f"This model needs a condition of shape {self.condition_shape} beside each image. Received: none.")
        condition = tf.cast(tf.convert_to_tensor(condition), tf.float32)
        if condition.shape[1:] != self.condition_shape or num_rows not in (None, condition.shape[0]):
            raise ValueError(
                f"`condition` must have the shape [{num_rows or 'B'}, *{self.condition_shape}]. Received: shape {tuple(condition.shape)}."
            )
        return condition

    # -- Saving

    _PARTS = ("encoder", "decoder", "posterior", "likelihood", "prior")

    def get_config(self):
        parts = (self.encoder, self.decoder, self.posterior_layer, self.likelihood_layer, self.prior_layer)
        return {
            **{name: keras.saving.serialize_keras_object(part) for name, part in zip(self._PARTS, parts, strict=True)},
            "num_samples": self.num_samples,
            "binarization": self.binarization,
            "condition_shape": self.condition_shape,
            "seed": self.seed,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, **{name: keras.saving.deserialize_keras_object(config[name]) for name in cls._PARTS}})

    def get_build_config(self):
        return None  # the constructor builds


def _given(condition):
    """Keyword arguments for a network: user-made networks of unconditional models need not know of conditions."""
    return {} if condition is None else {"condition": condition}


def _as_data(x, condition):
    return {"image": x, **_given(condition)}
