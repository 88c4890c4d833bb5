"""What training minimizes, and how the gradient is estimated: objects that any model takes where they are defined.

An estimator's value is minus its bound, in nats per example; its gradient is its own. Where the two need different formulas the loss is
`with_gradient_of(value, surrogate)`.

    z = loc + scale eps         ELBO, FreeBits, ImportanceWeighted: differentiate through the draw
    path derivative             PathDerivative, DoublyReparameterized: through the draw alone, not through log q's own parameters
    summed over, or relaxed     Enumeration, Relaxation: for a class among the latents
    score function              ScoreFunction, VIMCO: grad E_q[f] = E_q[f grad log q], for latents that cannot be reparameterized
"""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.objectives.bounds import importance_weighted_bound
from zoo.random import Stream, draw, gumbel

tfd = tfp.distributions


def with_gradient_of(value, surrogate):
    """`value`, differentiated as `surrogate` is."""
    return tf.stop_gradient(value - surrogate) + surrogate


def _stopped(z):
    return tf.nest.map_structure(tf.stop_gradient, z)


class Objective(keras.layers.Layer):
    """The contract: `loss(model, batch, noise)`, and `check(model)` for what it cannot be used with.

    Args:
        num_samples: S, samples of z per image and step.

    Raises:
        ValueError: If S < 1.
    """

    # Whether gradients pass through z, and whether the bound has no place for a regularizer other than KL(q || p).
    needs_reparameterization = True
    needs_plain_kl = True

    def __init__(self, num_samples=1, **kwargs):
        super().__init__(**kwargs)
        least = self.least_samples
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples < least:
            raise ValueError(f"`num_samples` must be an integer of at least {least}. Received: num_samples={num_samples!r}.")
        self.num_samples = num_samples

    least_samples = 1

    def check(self, model):
        """Raises ValueError, with the reason, where the objective is not defined for a `zoo.VAE`."""
        name = type(self).__name__
        if self.needs_reparameterization and not model.is_reparameterized:
            raise ValueError(
                f"{name} differentiates through the draw of z, which {type(model.posterior_layer).__name__} does not allow. "
                f"Use ScoreFunction or VIMCO. Received: objective={name}."
            )
        if self.needs_plain_kl and model.weighs_kl:
            raise ValueError(
                f"{name} bounds log p(x), and {type(model).__name__} has a regularizer of its own, which such a bound has no place for. "
                f"Use ELBO. Received: objective={name}."
            )

    def loss(self, model, batch, noise):
        """The loss of a batch and the pass that it comes from.

        Args:
            model: A `zoo.VAE`.
            batch: Dict with "image" as the likelihood takes it, float32 [B, ...].
            noise: `RowNoise` of B rows.

        Returns:
            Loss [B] in nats, and the `VAEOutput` of S samples.
        """
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "num_samples": self.num_samples}


@keras.saving.register_keras_serializable(package="zoo")
class ELBO(Objective):
    """E_q[log p(x|z)] - regularizer, differentiated through z; the regularizer is KL(q || p) unless the model has its own.

    Kingma & Welling, ICLR 2014, eq. 7. https://arxiv.org/abs/1312.6114
    """

    needs_plain_kl = False

    def loss(self, model, batch, noise):
        out = model(batch, noise=noise, num_samples=self.num_samples)
        return self.regularizer(model, out) - tf.reduce_mean(out.likelihood.log_prob(batch["image"]), axis=0), out

    def regularizer(self, model, out):
        return model.regularizer(out)


@keras.saving.register_keras_serializable(package="zoo")
class FreeBits(ELBO):
    """The ELBO in which each latent dimension may carry `nats` for free: KL becomes sum_j max(nats, mean over the batch of KL_j).

    Kingma et al., "Improved variational inference with inverse autoregressive flow", NeurIPS 2016, eq. 15. https://arxiv.org/abs/1606.04934

    Args:
        nats: lambda, per latent dimension.
        num_samples: S.
    """

    needs_plain_kl = True

    def __init__(self, nats=0.1, num_samples=1, **kwargs):
        super().__init__(num_samples, **kwargs)
        if not (isinstance(nats, (int, float)) and 0 <= nats < math.inf):
            raise ValueError(f"`nats` must be a non-negative number. Received: nats={nats!r}.")
        self.nats = nats

    def check(self, model):
        super().check(model)
        if not model.has_kl_per_dim:
            raise ValueError(
                "FreeBits needs the KL of each latent dimension, which only diagonal normal posteriors and priors have in closed form. "
                f"Received: {type(model.posterior_layer).__name__} and {type(model.prior_layer).__name__}."
            )

    def regularizer(self, model, out):
        return tf.reduce_sum(tf.maximum(self.nats, tf.reduce_mean(model.kl_per_dim(out), axis=0)))  # [B, D] -> []

    def get_config(self):
        return {**super().get_config(), "nats": self.nats}


@keras.saving.register_keras_serializable(package="zoo")
class ImportanceWeighted(Objective):
    """log mean_s w_s of S samples, differentiated through z: the importance-weighted autoencoder.

    Burda, Grosse & Salakhutdinov, ICLR 2016, eq. 8. https://arxiv.org/abs/1509.00519
    """

    def loss(self, model, batch, noise):
        out = model(batch, noise=noise, num_samples=self.num_samples)
        return -importance_weighted_bound(model.log_weights(batch["image"], out)), out


class _ThroughTheDraw(Objective):
    """Gradients in which the posterior's parameters are reached through z alone.

    d log w / d z is taken at fixed weights of both programs, so that it holds for any structure of latents, and is then followed through
    the draw z(phi). The generative weights get sum_s weight_s d log p(x, z_s).
    """

    def sample_weights(self, log_weights):
        """Weight of each sample in the gradient of the generative program, and its factor for z besides: each [S, B]."""
        raise NotImplementedError

    def bound(self, log_weights):
        """[S, B] -> [B], in nats."""
        raise NotImplementedError

    def loss(self, model, batch, noise):
        posterior, z = model.infer(batch, noise, self.num_samples)
        leaves = _stopped(z)
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            out = model.explain(batch, posterior, leaves)
            log_joint = out.likelihood.log_prob(batch["image"]) + out.prior.log_prob(leaves)
            log_weights = log_joint - posterior.log_prob(leaves)
            weights, factor = _stopped(self.sample_weights(log_weights))
            weighted = tf.reduce_sum(weights * log_weights, axis=0)
        slopes = tape.gradient(weighted, leaves)  # weight_s d log w_s / d z_s: [S, B, D]
        through_draw = tf.nest.map_structure(lambda s, z: factor * tf.reduce_sum(tf.stop_gradient(s) * z, axis=-1), slopes, z)
        surrogate = tf.reduce_sum(weights * log_joint + tf.add_n(tf.nest.flatten(through_draw)), axis=0)
        return -with_gradient_of(self.bound(log_weights), surrogate), out


@keras.saving.register_keras_serializable(package="zoo")
class PathDerivative(_ThroughTheDraw):
    """The ELBO without the score of q in its gradient, whose mean is zero: no variance is left where q is the true posterior.

    Roeder, Wu & Duvenaud, "Sticking the landing", NeurIPS 2017. https://arxiv.org/abs/1703.09194
    """

    def sample_weights(self, log_weights):
        ones = tf.ones_like(log_weights)
        return ones / self.num_samples, ones

    def bound(self, log_weights):
        return tf.reduce_mean(log_weights, axis=0)


@keras.saving.register_keras_serializable(package="zoo")
class DoublyReparameterized(_ThroughTheDraw):
    """The importance-weighted bound whose inference gradient is sum_s weight_s^2 (d log w_s / d z_s) (d z_s / d phi).

    Its signal does not vanish as S grows, where that of `ImportanceWeighted` does; for S = 1 it is `PathDerivative`.

    Tucker, Lawson, Gu & Maddison, "Doubly reparameterized gradient estimators for Monte Carlo objectives", ICLR 2019, eq. 8.
    https://arxiv.org/abs/1810.04152
    """

    def sample_weights(self, log_weights):
        weights = tf.nn.softmax(log_weights, axis=0)
        return weights, weights

    def bound(self, log_weights):
        return importance_weighted_bound(log_weights)


@keras.saving.register_keras_serializable(package="zoo")
class ScoreFunction(Objective):
    """The ELBO by grad E_q[f] = E_q[(f - b) grad log q]: for any posterior that can be drawn from and scored (REINFORCE).

    f is log p(x|z) where the regularizer is analytic, else log w. Without a baseline b the variance is larger than that of
    reparameterized gradients by orders of magnitude (`benchmarks/gradient_variance.py`).

    Args:
        num_samples: S.
        baseline: Network image [B, ...] -> [B, 1] that learns to predict f, trained by least squares in the same step; or None.

    Reference:
        Williams, Machine Learning 8, 1992; Mnih & Gregor, ICML 2014, eqs. 5 and 8. https://arxiv.org/abs/1402.0030
    """

    needs_reparameterization = False
    needs_plain_kl = False

    def __init__(self, num_samples=1, baseline=None, **kwargs):
        super().__init__(num_samples, **kwargs)
        self.baseline = baseline

    def check(self, model):
        super().check(model)
        if model.weighs_kl and not model.has_analytic_kl:
            raise ValueError(f"ScoreFunction needs an analytic KL to weigh. Received: {type(model.posterior_layer).__name__}.")
        if self.baseline is not None:
            received = tuple(self.baseline(tf.zeros([1, *model.image_shape])).shape)
            if received != (1, 1):
                raise ValueError(f"`baseline` must give one number for an image, [B, 1]. Received: an output of shape {received}.")

    def loss(self, model, batch, noise):
        posterior, z = model.infer(batch, noise, self.num_samples)
        out = model.explain(batch, posterior, _stopped(z))
        log_q = posterior.log_prob(out.z)  # [S, B]
        signal = out.likelihood.log_prob(batch["image"])
        if model.has_analytic_kl:
            analytic = model.regularizer(out)  # [B]
        else:
            signal, analytic = signal + out.prior.log_prob(out.z) - tf.stop_gradient(log_q), 0.0
        baseline = 0.0 if self.baseline is None else self.baseline(batch["image"])[:, 0]  # [B]
        surrogate = tf.reduce_mean(signal + tf.stop_gradient(signal - baseline) * log_q, axis=0) - analytic
        loss = -with_gradient_of(tf.reduce_mean(signal, axis=0) - analytic, surrogate)
        if self.baseline is not None:
            error = tf.reduce_mean((tf.stop_gradient(signal) - baseline) ** 2, axis=0)
            loss = with_gradient_of(loss, loss + error)
        return loss, out

    def get_config(self):
        return {**super().get_config(), "baseline": keras.saving.serialize_keras_object(self.baseline)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "baseline": keras.saving.deserialize_keras_object(config["baseline"])})


@keras.saving.register_keras_serializable(package="zoo")
class VIMCO(Objective):
    """The importance-weighted bound by score functions, each sample's baseline being what the other S - 1 say.

    Mnih & Rezende, "Variational inference for Monte Carlo objectives", ICML 2016, eqs. 9 and 10. https://arxiv.org/abs/1602.06725
    """

    needs_reparameterization = False
    least_samples = 2

    def __init__(self, num_samples=2, **kwargs):
        super().__init__(num_samples, **kwargs)

    def loss(self, model, batch, noise):
        posterior, z = model.infer(batch, noise, self.num_samples)
        out = model.explain(batch, posterior, _stopped(z))
        log_q = posterior.log_prob(out.z)
        log_weights = out.likelihood.log_prob(batch["image"]) + out.prior.log_prob(out.z) - log_q  # [S, B]
        bound = importance_weighted_bound(log_weights)
        signal = bound - self.bound_without_each(log_weights)  # [S, B]
        surrogate = bound + tf.reduce_sum(tf.stop_gradient(signal) * log_q, axis=0)
        return -with_gradient_of(bound, surrogate), out

    def bound_without_each(self, log_weights):
        """[S, B]: the bound with sample s's weight replaced by the geometric mean of the others'."""
        num_samples = self.num_samples
        of_others = (tf.reduce_sum(log_weights, axis=0) - log_weights) / (num_samples - 1)  # [S, B]
        own = tf.eye(num_samples, dtype=tf.bool)[:, :, None]
        replaced = tf.where(own, of_others[:, None], log_weights[None])  # [S, S, B]
        return tf.reduce_logsumexp(replaced, axis=1) - math.log(num_samples)


@keras.saving.register_keras_serializable(package="zoo")
class Enumeration(Objective):
    """The ELBO of a model with a class among its latents, summed over all classes: exact in y.

    Kingma et al., NIPS 2014, eq. 7. https://arxiv.org/abs/1406.5298
    """

    needs_reparameterization = False
    needs_plain_kl = False

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "num_samples": 1})

    def check(self, model):
        super().check(model)
        if not hasattr(model, "enumerated"):
            raise ValueError(f"{type(self).__name__} needs a class to sum over, which {type(model).__name__} does not have. Use ELBO.")

    def loss(self, model, batch, noise):
        out = model.enumerated(batch, noise)
        return model.regularizer(out) - model.expected_log_likelihood(batch["image"], out), out


@keras.saving.register_keras_serializable(package="zoo")
class Relaxation(Enumeration):
    """The ELBO with a relaxed class, softmax((logits + Gumbel) / temperature), in its gradient: biased, and one decoding instead of K.

    Only the gradient is the relaxation's; the value is that of `Enumeration`.

    Args:
        temperature: Positive number, or schedule of `zoo.schedules`.

    Reference:
        Jang, Gu & Poole, ICLR 2017, https://arxiv.org/abs/1611.01144; Maddison, Mnih & Teh, ICLR 2017, https://arxiv.org/abs/1611.00712
    """

    def __init__(self, temperature=0.67, **kwargs):
        super().__init__(**kwargs)
        if isinstance(temperature, (int, float)) and not 0 < temperature < math.inf:
            raise ValueError(f"`temperature` must be a positive number or a schedule. Received: temperature={temperature!r}.")
        self.temperature = temperature

    def loss(self, model, batch, noise):
        value, enumerated = super().loss(model, batch, noise)
        posterior = enumerated.posterior
        temperature = self.temperature(model.training_step) if callable(self.temperature) else self.temperature
        q_y = posterior.given("y")
        noisy = q_y.logits_parameter() + gumbel(noise.of_latent(0), Stream.LATENT, q_y.event_shape)
        y = tf.nn.softmax(noisy / temperature)  # [B, K]
        z = draw(posterior.given("z", {"y": y}), noise.of_latent(1), Stream.LATENT)
        likelihood = model.decode({"y": y, "z": z})
        surrogate = model.regularizer(enumerated) - likelihood.log_prob(batch["image"])
        return with_gradient_of(value, surrogate), enumerated

    def get_config(self):
        return {**super().get_config(), "temperature": keras.saving.serialize_keras_object(self.temperature)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "temperature": keras.saving.deserialize_keras_object(config["temperature"])})
