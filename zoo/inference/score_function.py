"""Bounds by score functions, grad E_q[f] = E_q[f grad log q]: for latents that cannot be
reparameterized."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo.inference.bounds import importance_weighted_bound
from zoo.inference.handlers import FromPosterior
from zoo.inference.objective import Objective, with_gradient_of
from zoo.inference.regularizers import Regularizer
from zoo.inference.trace import Trace
from zoo.networks import apply
from zoo.random import RowNoise


@keras.saving.register_keras_serializable(package="zoo")
class ScoreFunction(Objective):
    """The ELBO by grad E_q[f] = E_q[(f - b) grad log q]: for any posterior that can be drawn from
    and scored (REINFORCE).

    f is log p(x|z) where the regularizer is analytic, else log w. Without a baseline b the variance
    is larger than that of reparameterized gradients by orders of magnitude
    (`benchmarks/gradient_variance.py`).

    Args:
        num_samples: S.
        regularizer: As in `Objective`.
        baseline: Network image [B, ...] -> [B, 1] that learns to predict f, trained by least
            squares in the same step; or None.

    Reference:
        Williams, Machine Learning 8, 1992; Mnih & Gregor, ICML 2014, eqs. 5 and 8.
        https://arxiv.org/abs/1402.0030
    """

    needs_reparameterization = False
    needs_plain_kl = False

    def __init__(
        self,
        num_samples: int = 1,
        baseline: keras.layers.Layer | None = None,
        *,
        regularizer: Regularizer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_samples, regularizer=regularizer, **kwargs)
        self.baseline = baseline

    def check(self, model: keras.Model) -> None:
        super().check(model)
        if not model.regularizer.is_kl and not model.has_analytic_kl:
            families = ", ".join(facts.family for facts in model.latents.values())
            raise ValueError(f"ScoreFunction needs an analytic KL to weigh. Received: {families}.")
        if self.baseline is not None:
            received = tuple(self.baseline(model.observation.blank()[model.key]).shape)
            if received != (1, 1):
                raise ValueError(
                    "`baseline` must give one number for an image, [B, 1]. "
                    f"Received: an output of shape {received}."
                )

    def loss(
        self, model: keras.Model, batch: Mapping[str, Any], noise: RowNoise, training: bool = False
    ) -> tuple[tf.Tensor, Trace]:
        x = batch[model.key]
        trace = model.run(
            FromPosterior(noise, self.num_samples, leaf=tf.stop_gradient), batch, training
        )
        log_q = trace.log_q  # [S, B]
        signal = trace.log_likelihood
        if model.has_analytic_kl:
            analytic = model.regularization(trace)  # [B]
        else:
            signal, analytic = signal + trace.log_p - tf.stop_gradient(log_q), 0.0
        baseline = 0.0
        if self.baseline is not None:
            baseline = apply(self.baseline, x, training=training)[:, 0]  # [B]
        scored = signal + tf.stop_gradient(signal - baseline) * log_q
        surrogate = tf.reduce_mean(scored, axis=0) - analytic
        loss = -with_gradient_of(tf.reduce_mean(signal, axis=0) - analytic, surrogate)
        if self.baseline is not None:
            error = tf.reduce_mean((tf.stop_gradient(signal) - baseline) ** 2, axis=0)
            loss = with_gradient_of(loss, loss + error)
        return loss, trace

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "baseline": keras.saving.serialize_keras_object(self.baseline),
        }


@keras.saving.register_keras_serializable(package="zoo")
class VIMCO(Objective):
    """The importance-weighted bound by score functions, each sample's baseline being what the other
    S - 1 say.

    Mnih & Rezende, "Variational inference for Monte Carlo objectives", ICML 2016, eqs. 9 and 10.
    https://arxiv.org/abs/1602.06725
    """

    needs_reparameterization = False
    least_samples = 2

    def __init__(self, num_samples: int = 2, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)

    def loss(
        self, model: keras.Model, batch: Mapping[str, Any], noise: RowNoise, training: bool = False
    ) -> tuple[tf.Tensor, Trace]:
        trace = model.run(
            FromPosterior(noise, self.num_samples, leaf=tf.stop_gradient), batch, training
        )
        log_q = trace.log_q
        log_weights = trace.log_weights  # [S, B]
        bound = importance_weighted_bound(log_weights)
        signal = bound - self.bound_without_each(log_weights)  # [S, B]
        surrogate = bound + tf.reduce_sum(tf.stop_gradient(signal) * log_q, axis=0)
        return -with_gradient_of(bound, surrogate), trace

    def bound_without_each(self, log_weights: tf.Tensor) -> tf.Tensor:
        """[S, B]: the bound with sample s's weight replaced by the geometric mean of the
        others'."""
        num_samples = self.num_samples
        of_others = (tf.reduce_sum(log_weights, axis=0) - log_weights) / (num_samples - 1)  # [S, B]
        own = tf.eye(num_samples, dtype=tf.bool)[:, :, None]
        replaced = tf.where(own, of_others[:, None], log_weights[None])  # [S, S, B]
        return tf.reduce_logsumexp(replaced, axis=1) - math.log(num_samples)
