"""Codes without a codebook: each element is rounded to one of a few levels."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.layers.base import shape_tuple
from zoo.layers.quantizers.base import Quantized, Quantizer, straight_through
from zoo.validation import LARGEST, shown


@keras.saving.register_keras_serializable(package="zoo")
class FSQ(Quantizer):
    """Finite scalar quantization: element d of a vector is bounded by a tanh and rounded to one of
    L_d levels. The codes are all combinations of levels, and none has to be learned.

    Vectors of codes lie in [-1, 1]. The first element's level counts 1, the second's L_1, and so
    on: code = sum_d level_d prod_{i<d} L_i.

    Mentzer, Minnen, Agustsson & Tschannen, "Finite scalar quantization: VQ-VAE made simple", ICLR
    2024, section 3.1 and appendix A. https://arxiv.org/abs/2309.15505

    It has no terms: `loss` is 0.

    Args:
        levels: L_d of each of the D elements, at least 2. The paper's for about 2^8, 2^10 and 2^12
            codes: (8, 6, 5), (8, 5, 5, 5), (7, 5, 5, 5, 5).

    Raises:
        ValueError: If there are fewer than two levels, or more than 2^31 codes.
    """

    # The outermost levels are reached a little before the tanh's end.
    MARGIN = 1e-3

    def __init__(self, levels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.levels = shape_tuple(levels, "levels")
        if min(self.levels) < 2 or math.prod(self.levels) > LARGEST:
            raise ValueError(
                "`levels` must be integers of at least 2 whose product is below 2**31. Received: "
                f"levels={shown(self.levels)}."
            )
        self.code_dim, self.num_codes = len(self.levels), math.prod(self.levels)
        counts = np.array(self.levels, np.int32)
        self._counts, self._half = counts, (counts // 2).astype(np.float32)
        self._places = np.cumprod([1, *self.levels[:-1]]).astype(np.int32)

    def quantize_vectors(self, x: tf.Tensor, training: bool | None = None) -> Quantized:
        self.assert_shape(x.shape)
        bounded = self._bounded(tf.cast(x, tf.float32))
        rounded = tf.round(bounded)
        quantized = straight_through(bounded, rounded) / self._half
        terms = {"loss": tf.zeros(tf.shape(x)[:1])}
        return Quantized(quantized, self._number(rounded), terms)

    def _bounded(self, x):
        """Within the levels: [-(L - 1) / 2, (L - 1) / 2] around 0 for odd L, and half a level lower
        for even L, as then no level is at 0."""
        reach = (self._counts - 1).astype(np.float32) * (1.0 + self.MARGIN) / 2.0
        offset = np.where(self._counts % 2 == 0, 0.5, 0.0).astype(np.float32)
        return tf.tanh(x + np.arctanh(offset / reach)) * reach - offset

    def _number(self, rounded):
        digits = tf.cast(rounded + self._half, tf.int32)
        return tf.reduce_sum(digits * self._places, axis=-1)

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., D] of codes, int [...]."""
        digits = tf.expand_dims(tf.cast(codes, tf.int32), axis=-1) // self._places % self._counts
        return (tf.cast(digits, tf.float32) - self._half) / self._half

    def codes(self, vectors: tf.Tensor) -> tf.Tensor:
        """The codes int32 [...] of vectors [..., D]: the inverse of `vectors`."""
        return self._number(tf.round(tf.cast(vectors, tf.float32) * self._half))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
