"""Bounds differentiated through the draw z = loc + scale eps.

with the score of q in the gradient     ELBO, FreeBits, ImportanceWeighted
without it: through the draw alone      PathDerivative, DoublyReparameterized
"""

import keras
import tensorflow as tf

from zoo import validation
from zoo.objectives.bounds import importance_weighted_bound
from zoo.objectives.objective import Objective, stopped, with_gradient_of
from zoo.shards import batch_mean


@keras.saving.register_keras_serializable(package="zoo")
class ELBO(Objective):
    """E_q[log p(x|z)] - regularizer, differentiated through z; the regularizer is KL(q || p) unless the model has its own.

    Kingma & Welling, ICLR 2014, eq. 7. https://arxiv.org/abs/1312.6114
    """

    needs_plain_kl = False

    def loss(self, model, batch, noise, training=False):
        out = model(batch, noise=noise, num_samples=self.num_samples, training=training)
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
    batch_statistics = True

    def __init__(self, nats=0.1, num_samples=1, **kwargs):
        super().__init__(num_samples, **kwargs)
        self.nats = validation.non_negative("nats", nats)

    def check(self, model):
        super().check(model)
        if not model.has_kl_per_dim:
            raise ValueError(
                "FreeBits needs the KL of each latent dimension, which only diagonal normal posteriors and priors have in closed form. "
                f"Received: {type(model.posterior_layer).__name__} and {type(model.prior_layer).__name__}."
            )

    def regularizer(self, model, out):
        return tf.reduce_sum(tf.maximum(self.nats, batch_mean(model.kl_per_dim(out))))  # [B, D] -> []

    def get_config(self):
        return {**super().get_config(), "nats": self.nats}


@keras.saving.register_keras_serializable(package="zoo")
class ImportanceWeighted(Objective):
    """log mean_s w_s of S samples, differentiated through z: the importance-weighted autoencoder.

    Burda, Grosse & Salakhutdinov, ICLR 2016, eq. 8. https://arxiv.org/abs/1509.00519
    """

    def loss(self, model, batch, noise, training=False):
        out = model(batch, noise=noise, num_samples=self.num_samples, training=training)
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

    def loss(self, model, batch, noise, training=False):
        posterior, z = model.infer(batch, noise, self.num_samples, training=training)
        leaves = stopped(z)
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            out = model.explain(batch, posterior, leaves, training)
            log_joint = out.likelihood.log_prob(batch["image"]) + out.prior.log_prob(leaves)
            log_weights = log_joint - posterior.log_prob(leaves)
            weights, factor = stopped(self.sample_weights(log_weights))
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
