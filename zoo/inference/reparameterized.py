"""Bounds differentiated through the draw z = loc + scale eps.

with the score of q in the gradient     ELBO, FreeBits, ImportanceWeighted
without it: through the draw alone      PathDerivative, DoublyReparameterized
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.inference.bounds import importance_weighted_bound
from zoo.inference.handlers import FromPosterior, Handler
from zoo.inference.objective import Objective, with_gradient_of
from zoo.inference.trace import Trace
from zoo.random import RowNoise
from zoo.shards import batch_mean


@keras.saving.register_keras_serializable(package="zoo")
class ELBO(Objective):
    """E_q[log p(x|z)] - regularizer, differentiated through z; the regularizer is the model's, KL(q
    || p) by default.

    Kingma & Welling, ICLR 2014, eq. 7. https://arxiv.org/abs/1312.6114
    """

    needs_plain_kl = False

    def loss(
        self, model: keras.Model, batch: Mapping[str, Any], noise: RowNoise, training: bool = False
    ) -> tuple[tf.Tensor, Trace]:
        trace = model.run(self.handler(model, noise), batch, training)
        expected = trace.expect(trace.log_likelihood)
        return self.regularization(model, trace) - expected, trace

    def handler(self, model: keras.Model, noise: RowNoise) -> Handler:
        """Who draws the latents."""
        return FromPosterior(noise, self.num_samples)

    def regularization(self, model: keras.Model, trace: Trace) -> tf.Tensor:
        """What is added to -E_q[log p(x|z)]: nats [B], or a scalar where it is the batch's."""
        return model.regularization(trace)


@keras.saving.register_keras_serializable(package="zoo")
class FreeBits(ELBO):
    """The ELBO in which each latent dimension may carry `nats` for free: KL becomes sum_j max(nats,
    mean over the batch of KL_j).

    Kingma et al., "Improved variational inference with inverse autoregressive flow", NeurIPS 2016,
    eq. 15. https://arxiv.org/abs/1606.04934

    Args:
        nats: lambda, per latent dimension.
        num_samples: S.
    """

    needs_plain_kl = True
    batch_statistics = True

    def __init__(self, nats: float = 0.1, num_samples: int = 1, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)
        self.nats = validation.non_negative("nats", nats)

    def check(self, model: keras.Model) -> None:
        super().check(model)
        without = [
            f"{name}, {facts.family}"
            for name, facts in model.latents.items()
            if not facts.has_kl_per_dim
        ]
        if without:
            raise ValueError(
                "FreeBits needs the KL of each latent dimension, which only diagonal normal "
                "posteriors and priors have in closed form. "
                f"Received: another posterior or prior of {without[0]}."
            )

    def regularization(self, model: keras.Model, trace: Trace) -> tf.Tensor:
        # [D] of each latent.
        kls = [batch_mean(_over_samples(site.kl_per_dim())) for site in trace.values()]
        return tf.add_n([tf.reduce_sum(tf.maximum(self.nats, kl)) for kl in kls])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nats": self.nats}


@keras.saving.register_keras_serializable(package="zoo")
class ImportanceWeighted(Objective):
    """log mean_s w_s of S samples, differentiated through z: the importance-weighted autoencoder.

    Burda, Grosse & Salakhutdinov, ICLR 2016, eq. 8. https://arxiv.org/abs/1509.00519
    """

    def loss(
        self, model: keras.Model, batch: Mapping[str, Any], noise: RowNoise, training: bool = False
    ) -> tuple[tf.Tensor, Trace]:
        trace = model.run(FromPosterior(noise, self.num_samples), batch, training)
        return -importance_weighted_bound(trace.log_weights), trace


class _ThroughTheDraw(Objective):
    """Gradients in which the posterior's parameters are reached through z alone.

    d log w / d z is taken at fixed weights of both programs, so that it holds for any structure of
    latents, and is then followed through the draw z(phi). The generative weights get sum_s weight_s
    d log p(x, z_s).
    """

    def sample_weights(self, log_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Weight of each sample in the gradient of the generative program, and its factor for z
        besides: each [S, B]."""
        raise NotImplementedError

    def bound(self, log_weights: tf.Tensor) -> tf.Tensor:
        """[S, B] -> [B], in nats."""
        raise NotImplementedError

    def loss(
        self, model: keras.Model, batch: Mapping[str, Any], noise: RowNoise, training: bool = False
    ) -> tuple[tf.Tensor, Trace]:
        tape = tf.GradientTape(persistent=True)

        def leaf(z):
            z = tf.stop_gradient(z)
            tape.watch(z)
            return z

        with tape:
            trace = model.run(FromPosterior(noise, self.num_samples, leaf=leaf), batch, training)
            log_joint = trace.log_joint
            log_weights = log_joint - trace.log_q
            weights, factor = (tf.stop_gradient(w) for w in self.sample_weights(log_weights))
            remaining = tf.reduce_sum(weights * log_weights)
            through_draw = []
            # A latent reaches log w by itself and by those that are drawn given it: from the last
            # one back, what is behind it is known.
            for site in reversed(list(trace.values())):
                # Weight_s d log w_s / d z_s: [S, B, *event].
                slope = tf.stop_gradient(tape.gradient(remaining, site.z))
                moved = _sum_of_event(slope * site.drawn)
                remaining += tf.reduce_sum(moved)
                through_draw.append(factor * moved)
        surrogate = tf.reduce_sum(weights * log_joint + tf.add_n(through_draw), axis=0)
        return -with_gradient_of(self.bound(log_weights), surrogate), trace


def _sum_of_event(values):
    """[S, B, *event] -> [S, B]."""
    return tf.reduce_sum(values, axis=range(2, values.shape.rank))


def _over_samples(values):
    """[S, B, D] or [B, D] -> [B, D]."""
    return tf.reduce_mean(values, axis=0) if values.shape.rank > 2 else values


@keras.saving.register_keras_serializable(package="zoo")
class PathDerivative(_ThroughTheDraw):
    """The ELBO without the score of q in its gradient, whose mean is zero: no variance is left
    where q is the true posterior.

    Roeder, Wu & Duvenaud, "Sticking the landing", NeurIPS 2017. https://arxiv.org/abs/1703.09194
    """

    def sample_weights(self, log_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ones = tf.ones_like(log_weights)
        return ones / self.num_samples, ones

    def bound(self, log_weights: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(log_weights, axis=0)


@keras.saving.register_keras_serializable(package="zoo")
class DoublyReparameterized(_ThroughTheDraw):
    """The importance-weighted bound whose inference gradient is sum_s weight_s^2 (d log w_s / d
    z_s) (d z_s / d phi).

    Its signal does not vanish as S grows, where that of `ImportanceWeighted` does; for S = 1 it is
    `PathDerivative`.

    Tucker, Lawson, Gu & Maddison, "Doubly reparameterized gradient estimators for Monte Carlo
    objectives", ICLR 2019, eq. 8.
    https://arxiv.org/abs/1810.04152
    """

    def sample_weights(self, log_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = tf.nn.softmax(log_weights, axis=0)
        return weights, weights

    def bound(self, log_weights: tf.Tensor) -> tf.Tensor:
        return importance_weighted_bound(log_weights)
