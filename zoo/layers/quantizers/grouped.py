"""Codes of the parts of a vector."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.layers.quantizers.base import Quantized, Quantizer, Shape
from zoo.layers.quantizers.residual import assert_alike, of_config


@keras.saving.register_keras_serializable(package="zoo")
class GroupedQuantizer(Quantizer):
    """A vector as G parts side by side, each with a quantizer of its own: K^G codes from G K
    vectors.

    van den Oord, Vinyals & Kavukcuoglu, NeurIPS 2017 (a vector of CIFAR-10 has ten parts).
    https://arxiv.org/abs/1711.00937

    Terms: those of the parts, added up.

    Args:
        quantizers: Quantizer of each part, of one size, any kind.

    Raises:
        ValueError: If the quantizers do not fit each other.
    """

    def __init__(self, quantizers: Sequence[Quantizer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizers = list(quantizers)
        assert_alike(self.quantizers, Quantizer)
        first = self.quantizers[0]
        self.code_dim = first.code_dim * len(self.quantizers)
        self.num_codes = first.num_codes
        self.code_shape = (len(self.quantizers), *first.code_shape)
        self.lowest_code = first.lowest_code
        self.term_names = first.term_names
        self.batch_statistics = first.batch_statistics

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        for quantizer in self.quantizers:
            quantizer.build((*x_shape[:-1], quantizer.code_dim))

    def quantize_vectors(self, x: tf.Tensor, training: bool | None = None) -> Quantized:
        self.assert_shape(x.shape)
        parts = [
            quantizer.quantize_vectors(part, training)
            for quantizer, part in zip(self.quantizers, self._parts(x), strict=True)
        ]
        return Quantized(
            tf.concat([part.quantized for part in parts], axis=-1),
            self._joined([part.codes for part in parts]),
            {name: tf.add_n([part.terms[name] for part in parts]) for name in self.term_names},
        )

    def _parts(self, vectors):
        return tf.split(vectors, len(self.quantizers), axis=-1)

    def _joined(self, codes):
        return tf.stack(codes, axis=-len(self.code_shape))

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., D] of codes, int [..., G]."""
        parts = tf.unstack(codes, axis=-len(self.code_shape))
        return tf.concat(
            [each.vectors(part) for each, part in zip(self.quantizers, parts, strict=True)],
            axis=-1,
        )

    def codes(self, vectors: tf.Tensor) -> tf.Tensor:
        """The codes int32 [..., G] of vectors [..., D]: the inverse of `vectors`."""
        parts = zip(self.quantizers, self._parts(vectors), strict=True)
        return self._joined([each.codes(part) for each, part in parts])

    def start_at(self, vectors: tf.Tensor) -> None:
        for quantizer, part in zip(self.quantizers, self._parts(vectors), strict=True):
            quantizer.start_at(part)

    def get_config(self) -> dict[str, Any]:
        quantizers = [keras.saving.serialize_keras_object(each) for each in self.quantizers]
        return {**super().get_config(), "quantizers": quantizers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GroupedQuantizer":
        return cls(**{**config, "quantizers": of_config(config["quantizers"])})
