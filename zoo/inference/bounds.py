"""Bounds on log p(x): per example, in nats, pure functions."""

import math
from typing import NamedTuple

import tensorflow as tf

from zoo.tensors import static_sizes


def importance_weighted_bound(log_weights: tf.Tensor) -> tf.Tensor:
    """Lower bound on log p(x) that tightens with more samples; with one it is the ELBO.

    Args:
        log_weights: Float tensor [S, B]: log p(x, z) - log q(z|x) of each sample, in nats.

    Returns:
        Float tensor [B], in nats.

    Reference:
        Burda, Grosse & Salakhutdinov, ICLR 2016, eq. 8. https://arxiv.org/abs/1509.00519
    """
    (num_samples,) = static_sizes(log_weights.shape[:1])
    return tf.reduce_logsumexp(log_weights, axis=0) - math.log(num_samples)


class WeightSums(NamedTuple):
    """Sums over importance samples, kept as logarithms: what a pass in chunks has to remember. Each
    a float tensor [B]."""

    log_sum: tf.Tensor  # log sum_s w_s
    log_sum_squares: tf.Tensor  # log sum_s w_s^2

    @classmethod
    def empty(cls, num_rows: int | tf.Tensor) -> "WeightSums":
        return cls(*[tf.fill([num_rows], -math.inf)] * 2)

    def add(self, log_weights: tf.Tensor) -> "WeightSums":
        """The sums with the samples `log_weights` [S, B] included."""
        return WeightSums(
            _logaddexp(self.log_sum, tf.reduce_logsumexp(log_weights, axis=0)),
            _logaddexp(self.log_sum_squares, tf.reduce_logsumexp(2.0 * log_weights, axis=0)),
        )

    def log_mean(self, num_samples: int | tf.Tensor) -> tf.Tensor:
        """The importance-weighted bound of all samples, in nats."""
        return self.log_sum - tf.math.log(tf.cast(num_samples, tf.float32))

    def effective_sample_size(self) -> tf.Tensor:
        """(sum w)^2 / sum w^2, between 1 and the number of samples. Kong, Liu & Wong, JASA 1994."""
        return tf.exp(2.0 * self.log_sum - self.log_sum_squares)


def _logaddexp(a, b):
    # One of the two may be -inf (no samples yet); both never are after the first chunk.
    high, low = tf.maximum(a, b), tf.minimum(a, b)
    return high + tf.math.log1p(tf.exp(low - high))
