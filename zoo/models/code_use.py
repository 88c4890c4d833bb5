"""How evenly codes are used: metrics of an epoch."""

from typing import Any

import keras
import tensorflow as tf


class CodeUse(keras.metrics.Metric):
    """How often each of K codes occurs in the codes that it was told.

    Args:
        num_codes: K.
    """

    def __init__(self, num_codes: int, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.num_codes = num_codes
        self.counts = self.add_variable((num_codes,), "zeros", name="counts")

    def update_state(self, codes: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Counts codes int [B, ...], those of a row as often as its weight [B] says."""
        weights = tf.ones(tf.shape(codes)[:1]) if sample_weight is None else sample_weight
        codes = tf.reshape(codes, [tf.shape(codes)[0], -1])
        weights = tf.broadcast_to(weights[:, None], tf.shape(codes))
        counts = tf.math.unsorted_segment_sum(
            tf.reshape(weights, [-1]), tf.reshape(codes, [-1]), self.num_codes
        )
        self.counts.assign_add(counts)


class CodesUsed(CodeUse):
    """How many codes occur."""

    def result(self) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(tf.convert_to_tensor(self.counts) > 0, tf.float32))


class Perplexity(CodeUse):
    """exp of the entropy of the codes' shares: K where all are as frequent."""

    def result(self) -> tf.Tensor:
        counts = tf.convert_to_tensor(self.counts)
        shares = counts / tf.maximum(tf.reduce_sum(counts), 1.0)
        return tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares)))
