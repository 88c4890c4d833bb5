"""Total correlation, KL(q(z) || prod_j q(z_j)): how far the dimensions of the aggregate posterior
are from independent.

On average over x,

    KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))
"""

import math
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import shards, validation
from zoo.inference.regularizers import Context, Regularizer
from zoo.inference.trace import Trace

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class TotalCorrelation(Regularizer):
    """alpha I(x; z) + beta KL(q(z) || prod_j q(z_j)) + gamma sum_j KL(q(z_j) || p(z_j)), by
    minibatch-weighted sampling.

    log q(z) is estimated by the other examples of the batch, log 1/(N B) sum_j q(z|x_j): too low by
    no more than log(N B) nats, and by the same for all terms together, whose sum with weights of 1
    is log q(z|x) - log p(z).

    Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in variational autoencoders",
    NeurIPS 2018, eqs. 2 and S3.
    https://arxiv.org/abs/1802.04942

    Args:
        beta: Weight of the total correlation.
        alpha, gamma: Weights of the mutual information and of the dimensions' own KL.
        num_examples: N; by default that of the arrays which `fit` or `evaluate` is given.

    Reports: `mutual_information`, `total_correlation`, `dimension_kl`, nats [B].
    """

    batch_statistics = True
    reports = ("mutual_information", "total_correlation", "dimension_kl")

    def __init__(
        self,
        beta: float = 6.0,
        alpha: float = 1.0,
        gamma: float = 1.0,
        num_examples: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.beta = validation.non_negative("beta", beta)
        self.alpha = validation.non_negative("alpha", alpha)
        self.gamma = validation.non_negative("gamma", gamma)
        self.num_examples = (
            None if num_examples is None else validation.integer("num_examples", num_examples)
        )

    @property
    def needs_num_examples(self) -> bool:
        return self.num_examples is None

    def check(self, model: keras.Model) -> None:
        if len(model.latents) != 1 or not model.has_kl_per_dim:
            raise ValueError(
                "The total correlation is of one latent vector, with a diagonal normal "
                f"for posterior and prior. Received: {type(model).__name__} with "
                f"{', '.join(facts.family for facts in model.latents.values())}."
            )

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        (site,) = trace.values()
        z, q = site.z, site.posterior  # [S, b, D]
        weights = shards.gathered_weights(tf.shape(z)[1])
        others = tfd.Normal(shards.gathered(q.loc), shards.gathered(q.stddev()))
        # log q(z_ij | x_k) of every dimension j, and -inf where x_k only fills the shape:
        # [S, b, B, D].
        log_q = others.log_prob(z[:, :, None]) + tf.math.log(weights)[:, None]
        num_examples = context.num_examples if self.num_examples is None else self.num_examples
        if num_examples is None:
            raise ValueError(
                "`num_examples` must be given where the data do not tell it. Received: none."
            )
        log_of_all = tf.math.log(num_examples * tf.reduce_sum(weights))
        log_q_of_rows = tf.where(weights[:, None] > 0, log_q, -math.inf)
        # [S, b] each.
        log_q_z = tf.reduce_logsumexp(tf.reduce_sum(log_q_of_rows, axis=-1), axis=2) - log_of_all
        log_q_each = tf.reduce_sum(tf.reduce_logsumexp(log_q, axis=2) - log_of_all, axis=-1)
        terms = (site.log_q - log_q_z, log_q_z - log_q_each, log_q_each - site.log_p)
        for name, values in zip(self.reports, terms, strict=True):
            context.terms[name] = trace.expect(values)
        information, total_correlation, of_dimensions = (
            context.terms[name] for name in self.reports
        )
        return self.alpha * information + self.beta * total_correlation + self.gamma * of_dimensions

    def get_config(self) -> dict[str, Any]:
        arguments = ("beta", "alpha", "gamma", "num_examples")
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}
