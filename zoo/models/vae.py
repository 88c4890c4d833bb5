"""The variational autoencoder: two programs and a bound.

    generative program   p(x, z | c) = p(z | c) p(x | z, c)
    inference program    q(z | x, c)
    objective            ELBO = E_q[log p(x | z, c)] - KL(q(z | x, c) || p(z | c))  <=  log p(x | c)

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014. https://arxiv.org/abs/1312.6114
Rezende, Mohamed & Wierstra, "Stochastic Backpropagation ...", ICML 2014. https://arxiv.org/abs/1401.4082
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import validation
from zoo.images import is_symbolic
from zoo.layers.priors import StandardNormal
from zoo.models.base import ImageModel, assert_networks, assert_posterior
from zoo.networks import apply, over_samples
from zoo.objectives import ELBO, Objective, WeightSums, importance_weighted_bound
from zoo.random import RowNoise, Stream, draw
from zoo.tensors import as_vectors
from zoo.validation import shown

tfd = tfp.distributions

# `log_prob` goes through rows and importance samples in chunks of one of these sizes: a compiled program serves each pair.
ROW_CHUNKS = (1, 4, 16, 64, 128)
MOST_SAMPLES = 32
SAMPLE_CHUNKS = (1, 8, MOST_SAMPLES)


class VAEOutput(NamedTuple):
    """One pass through both programs. `z` is what `posterior` draws: a tensor, or a dict of tensors for several latents."""

    posterior: tfd.Distribution  # q(z|x, c): batch [B]
    prior: tfd.Distribution  # p(z|c): batch [B] or []
    z: Any  # [S, B, D]
    likelihood: tfd.Distribution  # p(x|z, c): batch [S, B]
    is_enumerated: bool = False  # whether a class runs over all of its K values, in the place of samples


@keras.saving.register_keras_serializable(package="zoo")
class VAE(ImageModel):
    """Variational autoencoder with an optional condition.

    Images and conditions are those of `zoo.models.base.ImageModel`. All quantities are in nats per example.

    Args:
        encoder: Network (image [B, ...], condition or None) -> [B, posterior.num_params].
        decoder: Network (z [B, D], condition or None) -> [B, likelihood.num_params].
        posterior: Layer from parameters to q(z|x, c), such as `zoo.layers.DiagonalNormal(latent_dim)`.
        likelihood: Layer from parameters to p(x|z, c), such as `zoo.layers.Bernoulli(image_shape)`.
        prior: Layer condition -> p(z|c). Standard normal if left out.
        objective: What training minimizes and how its gradient is estimated; `zoo.objectives.ELBO()` if left out.
        pixels: "binarize", "dequantize" or "as_given"; by default what the likelihood is over.
        condition_shape: Shape of one condition, or None for an unconditional model.
        seed: Every draw is a function of (seed, step, row).

    Metrics: `loss`, `elbo`, `log_likelihood` (log p(x|z)) and `kl` (KL(q || p), analytic), or `kl_monte_carlo` where TFP knows no
    closed form.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    _PARTS = {
        "encoder": "encoder",
        "decoder": "decoder",
        "posterior": "posterior_layer",
        "likelihood": "likelihood_layer",
        "prior": "prior_layer",
        "objective": "objective",
    }
    _log_prob_of_mode = None  # (execution mode, compiled function)
    # Whether `regularizer` is something else than KL(q || p): the objective is then no bound on log p(x).
    weighs_kl = False

    def __init__(
        self,
        encoder,
        decoder,
        posterior,
        likelihood,
        prior=None,
        *,
        objective=None,
        pixels=None,
        condition_shape=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(likelihood, pixels=pixels, condition_shape=condition_shape, seed=seed, **kwargs)
        assert_networks(encoder=encoder, decoder=decoder)
        assert_posterior(posterior)
        if not isinstance(objective, Objective | None):
            raise ValueError(f"`objective` must be one of `zoo.objectives`, such as ELBO(). Received: objective={shown(objective)}.")
        self.encoder = encoder
        self.decoder = decoder
        self.posterior_layer = posterior
        self.prior_layer = StandardNormal(posterior.latent_dim) if prior is None else prior
        self.objective = ELBO() if objective is None else objective
        self._build_parts()

    # -- The two programs

    def encode(self, x, condition=None, *, training=None):
        """q(z|x, c): batch [B], event [D]."""
        x, condition = self._as_tensors(x, condition)
        return self.posterior_layer(apply(self.encoder, x, condition, training))

    def decode(self, z, condition=None, *, training=None):
        """p(x|z, c): batch [..., B] as z [..., B, D], event `image_shape`. A condition [B, ...] serves every leading sample."""
        if condition is not None:
            condition = self._check_condition(condition)
        z = as_vectors("z", z, self.posterior_layer.latent_dim)
        if condition is not None:
            _assert_one_each(z, condition)
        return self.likelihood_layer(over_samples(self.decoder, z, condition, training))

    def prior(self, condition=None, *, training=None):
        """p(z|c): batch [] or [B], event [D]."""
        if condition is not None:
            condition = self._check_condition(condition)
        return self.prior_layer(condition=condition, training=training)

    def infer(self, data, noise, num_samples=1, first_sample=0, training=None):
        """The inference program: q(z|x, c) of dict `data`, and `noise`'s draws from it, [S, B, D]."""
        posterior = self.encode(*self._unpack(data), training=training)
        return posterior, draw(posterior, noise, Stream.LATENT, num_samples, first_sample)

    def explain(self, data, posterior, z, training=None):
        """The generative program at latents z [S, B, D]. -> `VAEOutput`"""
        condition = self._unpack(data)[1]
        return VAEOutput(posterior, self.prior(condition, training=training), z, self.decode(z, condition, training=training))

    def call(self, data, noise=None, num_samples=1, first_sample=0, training=None):
        """Draws z from q and decodes it; the draws are `noise`'s, or those of the model's seed. -> `VAEOutput`"""
        x = data["image"] if isinstance(data, dict) else data
        noise = noise or RowNoise(self.seed, 0, tf.range(tf.shape(x)[0]))
        return self.explain(data, *self.infer(data, noise, num_samples, first_sample, training), training)

    # -- The bound

    def regularizer(self, out):
        """What the objective subtracts from log p(x|z): nats [B], or a scalar where it is the batch's."""
        return self.kl(out)

    def kl(self, out):
        """KL(q(z|x, c) || p(z|c)) in nats [B]: analytic where TFP registers one, otherwise the mean of log q - log p over the samples."""
        if self.has_analytic_kl:
            return tfd.kl_divergence(out.posterior, out.prior)
        return tf.reduce_mean(out.posterior.log_prob(out.z) - out.prior.log_prob(out.z), axis=0)

    def kl_per_dim(self, out):
        """KL of each latent dimension in nats [B, D], where `has_kl_per_dim`: posterior and prior are diagonal normals."""
        q, p = (tfd.Normal(distribution.loc, distribution.stddev()) for distribution in (out.posterior, out.prior))
        return tfd.kl_divergence(q, p)

    def log_weights(self, x, out):
        """log p(x, z|c) - log q(z|x, c) of each sample: nats [S, B]."""
        return out.likelihood.log_prob(x) + out.prior.log_prob(out.z) - out.posterior.log_prob(out.z)

    def loss_terms(self, batch, noise, training):
        loss, out = self.objective.loss(self, batch, noise, training)
        log_likelihood = tf.reduce_mean(out.likelihood.log_prob(batch["image"]), axis=0)  # E_q[log p(x|z)]: [S, B] -> [B]
        kl = self.kl(out)
        return {"loss": loss, "elbo": log_likelihood - kl, "log_likelihood": log_likelihood, self.kl_name: kl}

    @property
    def kl_name(self):
        return "kl" if self.has_analytic_kl else "kl_monte_carlo"

    @property
    def batch_statistics(self):
        return self.objective.batch_statistics

    @property
    def term_names(self):
        return ("loss", "elbo", "log_likelihood", self.kl_name)

    # -- What users ask of a trained model

    def reconstruct(self, x, condition=None):
        """Mean of p(x|z) at the posterior's mean: [B, *image_shape], pixels in [0, 1] (unbounded for Normal likelihoods)."""
        return self.decode(self.encode(x, condition).mean(), condition).mean()

    def sample(self, num_rows, seed=0, condition=None):
        """`num_rows` images drawn from p(x|c): [num_rows, *image_shape]. Row i is a function of (seed, i)."""
        num_rows = validation.integer("num_rows", num_rows)
        return self.generate(RowNoise.of_seed(validation.seed(seed), num_rows), condition)["sample"]

    def generate(self, noise, condition=None):
        """Draws from the generative program.

        Args:
            noise: `RowNoise` of B rows.
            condition: [B, *condition_shape], for a conditional model.

        Returns:
            Dict of `z` [B, D] (or of several latents by name), `reconstruction` (mean of p(x|z), [B, *image_shape]) and `sample` (a draw
            of it).
        """
        if self.condition_shape is not None:
            condition = self._check_condition(condition)
        else:
            self._refuse_condition(condition)
        z = draw(self.prior(condition), noise, Stream.LATENT)
        likelihood = self.decode(z, condition)
        latents = z if isinstance(z, dict) else {"z": z}
        return {**latents, "reconstruction": likelihood.mean(), "sample": draw(likelihood, noise, Stream.PIXEL)}

    def score(self, x, noise, condition=None):
        """The single-sample bound of images as given: dict of `elbo`, `kl`, `log_likelihood`, nats [B]."""
        x, condition = self._as_tensors(x, condition)
        out = self(_as_data(x, condition), noise=noise)
        log_likelihood = out.likelihood.log_prob(x)[0]
        kl = self.kl(out)
        return {"elbo": log_likelihood - kl, "kl": kl, "log_likelihood": log_likelihood}

    def log_prob(self, x, num_samples=64, condition=None, seed=0):
        """Importance-weighted bound on log p(x|c), in nats [B]; it tightens with `num_samples`.

        Rows and samples go through in chunks, so that memory is bounded and a few compiled programs serve any number of either.

        Raises:
            ValueError: If an argument is out of range, or images are grey where the likelihood is over black and white.
        """
        num_samples, seed = validation.integer("num_samples", num_samples), validation.seed(seed)
        x, condition = self._as_tensors(x, condition)
        self._assert_outcomes(x)
        data = _as_data(x, condition)
        if is_symbolic(x):
            return self._log_prob(data, tf.constant(seed, tf.uint32), tf.range(tf.shape(x)[0]), num_samples, min(num_samples, MOST_SAMPLES))
        chunk, bounds = _least_of(SAMPLE_CHUNKS, num_samples), []
        for first in range(0, len(x), ROW_CHUNKS[-1]):
            part = {name: values[first : first + ROW_CHUNKS[-1]] for name, values in data.items()}
            num_rows = len(part["image"])
            rows = tf.minimum(tf.range(_least_of(ROW_CHUNKS, num_rows)), num_rows - 1)  # filled up with the last row
            filled = {name: tf.gather(values, rows) for name, values in part.items()}
            bound = self._compiled_log_prob(filled, tf.constant(seed, tf.uint32), first + rows, tf.constant(num_samples), chunk)
            bounds.append(bound[:num_rows])
        return tf.concat(bounds, axis=0)

    def _compiled_log_prob(self, *arguments):
        if self._log_prob_of_mode is None or self._log_prob_of_mode[0] != self.execution:  # `compile` may have chosen another
            function = tf.function(self._log_prob, jit_compile=self.execution == "xla-block", autograph=False)
            self._log_prob_of_mode = self.execution, function
        return self._log_prob_of_mode[1](*arguments)

    def _log_prob(self, data, seed, rows, num_samples, chunk):
        return self.importance_sums(data, RowNoise(seed, 0, rows), num_samples, chunk)[0].log_mean(num_samples)

    def importance_weighted_log_prob(self, x, noise, num_samples, condition=None):
        """As `log_prob`, all samples at once and without a loop: what an exported signature holds."""
        x, condition = self._as_tensors(x, condition)
        out = self(_as_data(x, condition), noise=noise, num_samples=num_samples)
        return importance_weighted_bound(self.log_weights(x, out))

    def importance_sums(self, batch, noise, num_samples, chunk=MOST_SAMPLES):
        """Sums over importance samples from q, `chunk` at a time.

        Args:
            batch: Dict with "image" as the likelihood takes it, float32 [B, ...].
            noise: `RowNoise` of B rows.
            num_samples: S, any positive integer, or a tensor of one.
            chunk: Samples held in memory at once; no more than S where that is a Python integer.

        Returns:
            `WeightSums` of S samples, and the sum over samples of log p(x|z), nats [B].
        """
        if not tf.is_tensor(num_samples):
            chunk = min(chunk, num_samples)

        def body(first, log_sum, log_sum_squares, log_likelihood_sum):
            out = self(batch, noise=noise, num_samples=chunk, first_sample=first)
            log_likelihood = out.likelihood.log_prob(batch["image"])  # [chunk, B]
            log_weights = self.log_weights(batch["image"], out)
            wanted = (first + tf.range(chunk) < num_samples)[:, None]  # the last chunk may reach past S
            sums = WeightSums(log_sum, log_sum_squares).add(tf.where(wanted, log_weights, -float("inf")))
            log_likelihood_sum += tf.reduce_sum(tf.where(wanted, log_likelihood, 0.0), axis=0)
            return (first + chunk, *sums, log_likelihood_sum)

        num_rows = tf.shape(batch["image"])[0]
        state = (tf.constant(0), *WeightSums.empty(num_rows), tf.zeros([num_rows]))
        _, *sums, log_likelihood_sum = tf.while_loop(lambda first, *_: first < num_samples, body, state, parallel_iterations=1)
        return WeightSums(*sums), log_likelihood_sum

    # -- Latents by name, for evaluation and serving

    @property
    def latent_shapes(self):
        """Name -> shape of the latents that `decode` takes."""
        return {"z": self.posterior_layer.event_shape}

    def latent_parameters(self, x, condition=None):
        """The parameters of q(z|x, c) by name, [B, ...] each."""
        return self.posterior_layer.named_parameters(self.encode(x, condition))

    def latent_means(self, out):
        """Name -> mean of each continuous latent under q, [B, D]."""
        return {"z": out.posterior.mean()}

    # -- Plumbing

    def _build_parts(self):
        """Creates all weights, and checks that the parts fit together, by sending one blank image through them."""
        data = {"image": tf.zeros([1, *self.image_shape])}
        if self.condition_shape is not None:
            data["condition"] = self._blank_condition()
        out = self.explain(data, *self.infer(data, RowNoise.of_seed(0, 1)))
        out.prior.log_prob(out.z)
        self.is_reparameterized = out.posterior.reparameterization_type == tfd.FULLY_REPARAMETERIZED
        self.has_analytic_kl = self._knows_kl(out)
        self.has_kl_per_dim = all(isinstance(distribution, tfd.MultivariateNormalDiag) for distribution in (out.posterior, out.prior))
        self.objective.check(self)
        self.built = True

    def _blank_condition(self):
        return tf.zeros([1, *self.condition_shape])

    def _knows_kl(self, out):
        """Whether the KL of `out` is a formula; an override says so where it is one by parts."""
        return _has_analytic_kl(out.posterior, out.prior)


def _has_analytic_kl(posterior, prior):
    """Whether TFP registers a KL for the two; it knows none of several latents at once."""
    if not (isinstance(posterior, tfd.Distribution) and isinstance(prior, tfd.Distribution)):
        return False
    try:
        tfd.kl_divergence(posterior, prior)
    except NotImplementedError:  # how TFP says that it knows none
        return False
    return True


def _assert_one_each(z, condition):
    """Raises ValueError unless there is a condition for each row of z [..., B, D], or one for all."""
    if condition.shape[0] != 1 and not condition.shape[:1].is_compatible_with(z.shape[-2:-1]):
        raise ValueError(
            "There must be a condition for each row of `z`, or one for all. "
            f"Received: {condition.shape[0]} conditions, z of shape {tuple(z.shape)}."
        )


def _least_of(sizes, number):
    """The least of increasing sizes that `number` things fit into; the greatest where they fit into none."""
    return next((size for size in sizes if size >= number), sizes[-1])


def _as_data(x, condition):
    return {"image": x} if condition is None else {"image": x, "condition": condition}
