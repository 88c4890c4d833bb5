"""Bounds by score functions, grad E_q[f] = E_q[f grad log q]: for latents that cannot be reparameterized."""

import math

import keras
import tensorflow as tf

from zoo.networks import apply
from zoo.objectives.bounds import importance_weighted_bound
from zoo.objectives.objective import Objective, stopped, with_gradient_of


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

    def loss(self, model, batch, noise, training=False):
        posterior, z = model.infer(batch, noise, self.num_samples, training=training)
        out = model.explain(batch, posterior, stopped(z), training)
        log_q = posterior.log_prob(out.z)  # [S, B]
        signal = out.likelihood.log_prob(batch["image"])
        if model.has_analytic_kl:
            analytic = model.regularizer(out)  # [B]
        else:
            signal, analytic = signal + out.prior.log_prob(out.z) - tf.stop_gradient(log_q), 0.0
        baseline = 0.0 if self.baseline is None else apply(self.baseline, batch["image"], training=training)[:, 0]  # [B]
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

    def loss(self, model, batch, noise, training=False):
        posterior, z = model.infer(batch, noise, self.num_samples, training=training)
        out = model.explain(batch, posterior, stopped(z), training)
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
