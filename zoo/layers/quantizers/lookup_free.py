"""Codes without a codebook: each element is a bit."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import shards, validation
from zoo.layers.quantizers.base import Quantized, Quantizer, straight_through, sum_over_places
from zoo.validation import shown

# Bits whose joint distribution the diversity of a batch is taken of: 2^10 numbers a vector.
MOST_JOINT_BITS = 10


@keras.saving.register_keras_serializable(package="zoo")
class LookupFree(Quantizer):
    """Lookup-free quantization: the signs of a vector's D elements are the bits of its code, the
    first the highest.

    Terms, in nats: `entropy`, of each vector's code under p(c|x) ~ exp(-|x - c|^2 / temperature),
    small where codes are sure; `diversity`, the entropy of the mean of p(c|x) over the batch, once
    for each place, large where all codes are used; `commitment`, |x - sg(c)|^2. The loss is
    entropy_cost * (entropy - diversity) + commitment_cost * commitment.

    The bits of a vector are independent under p(c|x), so `entropy` is exact for any D. `diversity`
    is of all bits together up to ten, and of parts of at most ten, added up, beyond.

    Yu et al., "Language model beats diffusion: tokenizer is key to visual generation", ICLR 2024.
    https://arxiv.org/abs/2310.05737

    Args:
        code_dim: D, in 1 ... 30: there are 2^D codes.
        entropy_cost, commitment_cost: The factors of the terms.
        temperature: Of p(c|x), positive.

    Raises:
        ValueError: If an argument is out of range.
    """

    term_names = ("loss", "commitment", "entropy", "diversity")
    batch_statistics = True

    def __init__(
        self,
        code_dim: int,
        entropy_cost: float = 0.1,
        commitment_cost: float = 0.25,
        temperature: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.code_dim = validation.integer("code_dim", code_dim, most=30)
        self.num_codes = 2**self.code_dim
        self.entropy_cost = validation.non_negative("entropy_cost", entropy_cost)
        self.commitment_cost = validation.non_negative("commitment_cost", commitment_cost)
        if not (validation.is_number(temperature) and 0 < temperature < float("inf")):
            raise ValueError(
                "`temperature` must be a positive number. Received: "
                f"temperature={shown(temperature)}."
            )
        self.temperature = float(temperature)
        self._places = (2 ** np.arange(self.code_dim)[::-1]).astype(np.int32)

    def quantize_vectors(self, x: tf.Tensor, training: bool | None = None) -> Quantized:
        self.assert_shape(x.shape)
        x = tf.cast(x, tf.float32)
        signs = tf.where(x > 0, 1.0, -1.0)
        commitment = sum_over_places((x - signs) ** 2)
        entropy = sum_over_places(_entropy_of_bit(4.0 / self.temperature * x))
        num_places = tf.size(x[0]) // self.code_dim
        diversity = tf.cast(num_places, tf.float32) * self._diversity(x)
        diversity = tf.fill(tf.shape(entropy), diversity)
        loss = self.entropy_cost * (entropy - diversity) + self.commitment_cost * commitment
        terms = {
            "loss": loss,
            "commitment": commitment,
            "entropy": entropy,
            "diversity": diversity,
        }
        return Quantized(straight_through(x, signs), self.codes(signs), terms)

    def _diversity(self, x):
        """Entropy of the mean of p(c|x) over all places of the batch, in nats."""
        num_parts = -(-self.code_dim // MOST_JOINT_BITS)
        entropies = []
        for bits in np.array_split(np.arange(self.code_dim), num_parts):
            size = len(bits)
            signs = 2.0 * (np.arange(2**size)[:, None] >> np.arange(size)[::-1] & 1) - 1.0
            part = tf.gather(tf.reshape(x, [tf.shape(x)[0], -1, self.code_dim]), bits, axis=-1)
            # |x - c|^2 is the same for all c but for -2 x.c
            logits = tf.einsum("bpd,kd->bpk", part, signs.astype(np.float32))
            probs = tf.reduce_mean(tf.nn.softmax(2.0 / self.temperature * logits), axis=1)
            mean = shards.batch_mean(probs)  # [2^bits]
            entropies.append(-tf.reduce_sum(tf.math.xlogy(mean, mean)))
        return tf.add_n(entropies)

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., D] of codes, int [...]: -1 and 1."""
        bits = tf.expand_dims(tf.cast(codes, tf.int32), axis=-1) // self._places
        return 2.0 * tf.cast(tf.math.floormod(bits, 2), tf.float32) - 1.0

    def codes(self, vectors: tf.Tensor) -> tf.Tensor:
        """The codes int32 [...] of vectors [..., D]: the inverse of `vectors`."""
        return tf.reduce_sum(tf.cast(vectors > 0, tf.int32) * self._places, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "code_dim": self.code_dim,
            "entropy_cost": self.entropy_cost,
            "commitment_cost": self.commitment_cost,
            "temperature": self.temperature,
        }


def _entropy_of_bit(logit):
    """Entropy in nats of a bit that is 1 with probability sigmoid(logit)."""
    size = tf.where(logit >= 0, logit, -logit)
    return tf.math.softplus(-size) + size * tf.sigmoid(-size)
