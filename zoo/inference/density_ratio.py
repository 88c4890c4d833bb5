"""Total correlation by a discriminator that tells draws of q(z) from draws of prod_j q(z_j)."""

from typing import Any

import keras
import tensorflow as tf

from zoo import shards, validation
from zoo.inference.regularizers import Context, Regularizer
from zoo.inference.trace import Trace
from zoo.networks import apply
from zoo.random import RowNoise, Stream


@keras.saving.register_keras_serializable(package="zoo")
class DensityRatio(Regularizer):
    """KL(q(z|x) || p(z)) + gamma KL(q(z) || prod_j q(z_j)), by the ratio of the two densities that
    a discriminator gives.

    The discriminator is trained on the same pass, by the cross-entropy that it reports: on draws of
    q(z|x), and on draws whose dimensions are each permuted over the batch.

    Kim & Mnih, "Disentangling by factorising", ICML 2018, eq. 3 and algorithm 2.
    https://arxiv.org/abs/1802.05983

    Args:
        discriminator: Network z [B, D] -> logits [B, 2] of "drawn" and "permuted".
        gamma: Weight of the total correlation.

    Reports: `total_correlation`, nats [B], and `discriminator_loss`.
    """

    batch_statistics = True
    reports = ("total_correlation", "discriminator_loss")

    def __init__(
        self, discriminator: keras.layers.Layer, gamma: float = 35.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.discriminator = discriminator
        self.gamma = validation.non_negative("gamma", gamma)

    def check(self, model: keras.Model) -> None:
        if len(model.latents) != 1 or not model.has_analytic_kl:
            raise ValueError(
                "FactorVAE has one latent vector with an analytic KL. Received: "
                f"{type(model).__name__}."
            )
        received = tuple(
            self.discriminator(tf.zeros([1, *next(iter(model.latents.values())).event_shape])).shape
        )
        if received != (1, 2):
            raise ValueError(
                "`discriminator` must give two logits for z, [B, 2]. "
                f"Received: an output of shape {received}."
            )

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        if context.noise is None:
            raise ValueError(
                "A density ratio permutes by the draws of a pass. Received: a pass without."
            )
        (site,) = trace.values()
        z = site.z[0]  # [b, D]
        drawn = apply(self.discriminator, z, training=trace.training)
        total_correlation = drawn[:, 0] - drawn[:, 1]
        fixed = tf.stop_gradient(z)
        permuted = permute_dimensions(fixed, context.noise)
        told = apply(
            self.discriminator, tf.concat([fixed, permuted], axis=0), training=trace.training
        )
        classes = tf.repeat(tf.constant([0, 1]), tf.shape(z)[0])
        errors = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, told)
        context.terms["total_correlation"] = total_correlation
        context.terms["discriminator_loss"] = tf.reduce_mean(tf.reshape(errors, [2, -1]), axis=0)
        return context.kl(trace) + self.gamma * total_correlation

    def get_config(self) -> dict[str, Any]:
        discriminator = keras.saving.serialize_keras_object(self.discriminator)
        return {**super().get_config(), "discriminator": discriminator, "gamma": self.gamma}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DensityRatio":
        discriminator = keras.saving.deserialize_keras_object(config["discriminator"])
        return cls(**{**config, "discriminator": discriminator})


def permute_dimensions(z: tf.Tensor, noise: RowNoise) -> tf.Tensor:
    """Each dimension of z [b, D] in an order of its own over the rows of the whole batch, those
    that only fill a shape left out."""
    keys = shards.gathered(noise.uniform(Stream.PERMUTE, z.shape[1:]))  # [B, D]
    counts = shards.gathered_weights(tf.shape(z)[0])[:, None] > 0
    # Rows that count come first.
    order = tf.argsort(tf.where(counts, keys, 2.0), axis=0, stable=True)
    # z[order[i, j], j]
    permuted = tf.transpose(
        tf.gather(tf.transpose(shards.gathered(z)), tf.transpose(order), batch_dims=1)
    )
    return tf.gather(permuted, shards.place_of_rows(tf.shape(z)[0]))
