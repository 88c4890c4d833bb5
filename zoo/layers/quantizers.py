"""Codes: the nearest of K vectors."""

from typing import Any

import keras
import tensorflow as tf

from zoo import shards, validation


@keras.saving.register_keras_serializable(package="zoo")
class VectorQuantizer(keras.layers.Layer):
    """The nearest code of a codebook that follows what it codes, by moving averages.

    A code is the mean of the vectors that were nearest to it lately: m_k / n_k, where n_k counts
    them and m_k adds them up. Replicas keep the sums of all of them. Gradients pass straight
    through to the vectors.

    van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017,
    appendix A.1. https://arxiv.org/abs/1711.00937

    Args:
        num_codes: K.
        code_dim: D.
        decay: What a step leaves of the averages, in [0, 1).

    Call arguments:
        x: Tensor [B, ..., D].
        training: Whether the codebook moves.

    Returns:
        The codes' vectors, like x, and their numbers, int32 [B, ...].
    """

    # What a code that is never nearest counts for: it stays where it is, and no division is by 0.
    EPSILON = 1e-5

    def __init__(self, num_codes: int, code_dim: int, decay: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_codes = validation.integer("num_codes", num_codes)
        self.code_dim = validation.integer("code_dim", code_dim)
        if not (validation.is_number(decay) and 0 <= decay < 1):
            raise ValueError(
                f"`decay` must lie in [0, 1). Received: decay={validation.shown(decay)}."
            )
        self.decay = float(decay)
        shape, spread = (self.num_codes, self.code_dim), keras.initializers.RandomNormal(stddev=1.0)
        self.counts = self.add_weight(
            shape=shape[:1], initializer="ones", trainable=False, name="counts"
        )
        self.sums = self.add_weight(shape=shape, initializer=spread, trainable=False, name="sums")

    @property
    def codebook(self) -> tf.Tensor:
        """The codes [K, D]."""
        counts = tf.convert_to_tensor(self.counts)
        return tf.convert_to_tensor(self.sums) / tf.maximum(counts, self.EPSILON)[:, None]

    def call(self, x: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        codebook = self.codebook
        # |x - e|^2 = |x|^2 - 2 x.e + |e|^2, of which the first is the same for all codes.
        distances = tf.reduce_sum(codebook**2, axis=-1) - 2.0 * tf.einsum(
            "...d,kd->...k", x, codebook
        )
        codes = tf.argmin(distances, axis=-1, output_type=tf.int32)
        if training:
            self._follow(x, codes)
        nearest = tf.gather(codebook, codes)
        return x + tf.stop_gradient(nearest - x), codes

    def _follow(self, x, codes):
        x = tf.stop_gradient(x)
        chosen = tf.one_hot(codes, self.num_codes)  # [B, ..., K]
        places = "".join(chr(ord("i") + n) for n in range(x.shape.rank - 2))
        counts = shards.part_of_sum(tf.einsum(f"b{places}k->bk", chosen))
        sums = shards.part_of_sum(tf.einsum(f"b{places}k,b{places}d->bkd", chosen, x))
        for average, value in ((self.counts, counts), (self.sums, sums)):
            average.assign(self.decay * average + (1.0 - self.decay) * value)

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors of codes, int [...]: [..., D]."""
        return tf.gather(self.codebook, codes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "code_dim": self.code_dim,
            "decay": self.decay,
        }
