"""Codes of what codes leave."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo import shards, validation
from zoo.layers.quantizers.base import Quantized, Quantizer, Shape, rotated, straight_through
from zoo.layers.quantizers.vector import VectorQuantizer
from zoo.random import RowNoise, Stream
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class ResidualQuantizer(Quantizer):
    """Several codes for a vector: each codes what those before it have left, and their vectors add
    up.

    The first levels alone are a coarser code of the same vector. With `dropout` training sees to
    it that they are good ones: an example is coded by its first n levels, n by chance. The codes
    of the other levels are then -1, which stands for no vector.

    Zeghidour et al., "SoundStream: an end-to-end neural audio codec", IEEE/ACM TASLP 30, 2022, III
    C. https://arxiv.org/abs/2107.03312 Lee et al., "Autoregressive image generation using residual
    quantization", CVPR 2022 (one codebook for all levels). https://arxiv.org/abs/2203.01941

    Terms: those of the levels, added up.

    Args:
        quantizers: `VectorQuantizer` of each level, of one size; or one that all levels share.
        depth: Number of levels, where they share one.
        dropout: Fraction of the examples of a training batch that are coded by fewer levels, each
            number of levels as often as another.
        seed: Which examples is a function of (seed, step, row).

    Raises:
        ValueError: If the quantizers do not fit each other, or an argument is out of range.
    """

    lowest_code = -1

    def __init__(
        self,
        quantizers: VectorQuantizer | Sequence[VectorQuantizer],
        depth: int | None = None,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shared = isinstance(quantizers, VectorQuantizer)
        if shared == (depth is None):
            raise ValueError(
                "`depth` is the number of levels that share one quantizer. Received: "
                f"quantizers={shown(quantizers)}, depth={shown(depth)}."
            )
        self.quantizers = [quantizers] if shared else list(quantizers)
        assert_alike(self.quantizers, VectorQuantizer)
        self.depth = len(self.quantizers) if depth is None else validation.integer("depth", depth)
        self.shared = shared
        if not (validation.is_number(dropout) and 0 <= dropout <= 1):
            raise ValueError(
                f"`dropout` must be a fraction in [0, 1]. Received: dropout={shown(dropout)}."
            )
        self.dropout = float(dropout)
        self.seed = validation.seed(seed)
        first = self.quantizers[0]
        self.code_dim, self.num_codes = first.code_dim, first.num_codes
        self.code_shape = (self.depth,)
        self.term_names = first.term_names
        self._through = straight_through if first.gradient == "straight_through" else rotated
        if self.dropout:
            self.step = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
            )

    @property
    def levels(self) -> list[VectorQuantizer]:
        """The quantizer of each level."""
        return self.quantizers * self.depth if self.shared else self.quantizers

    def build(self, x_shape: Shape) -> None:
        super().build(x_shape)
        for quantizer in self.quantizers:
            quantizer.build((*x_shape[:-1], quantizer.code_dim))

    def quantize_vectors(self, x: tf.Tensor, training: bool | None = None) -> Quantized:
        self.assert_shape(x.shape)
        x = tf.cast(x, tf.float32)
        num_levels = self._num_levels(x) if training and self.dropout else None
        residual, total = x, tf.zeros_like(x)
        seen, codes, of_levels = [], [], []
        for level, quantizer in enumerate(self.levels):
            vectors, code, nearest, terms = quantizer.assign(residual)
            if num_levels is not None:
                used = level < num_levels  # [B]
                code = tf.where(_along(used, code), code, -1)
                nearest *= tf.cast(_along(used, nearest), tf.float32)
                terms = {name: tf.where(used, term, 0.0) for name, term in terms.items()}
            seen.append(vectors)
            codes.append(code)
            of_levels.append(terms)
            total += nearest
            residual -= tf.stop_gradient(nearest)
        if training:
            self._learn(seen, codes)
        # Gradients pass once, through the sum: through each level they would come `depth` times.
        sums = {name: tf.add_n([terms[name] for terms in of_levels]) for name in self.term_names}
        return Quantized(self._through(x, total), tf.stack(codes, axis=-1), sums)

    def _learn(self, seen, codes):
        if self.shared:  # one step of the averages, whatever the depth
            self.quantizers[0].learn(tf.stack(seen, axis=1), tf.stack(codes, axis=1))
        else:
            for quantizer, vectors, code in zip(self.quantizers, seen, codes, strict=True):
                quantizer.learn(vectors, code)
        if self.dropout:
            self.step.assign_add(1)

    def _num_levels(self, x):
        """How many levels code each example: int32 [B]."""
        rows = shards.rows(tf.shape(x)[0])
        noise = RowNoise(self.seed, tf.convert_to_tensor(self.step), rows)
        chance = noise.uniform(Stream.LEVELS, (2,))
        fewer = 1 + tf.cast(chance[:, 1] * self.depth, tf.int32)
        return tf.where(chance[:, 0] < self.dropout, fewer, self.depth)

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., D] of codes, int [..., depth]; -1 stands for a level that is left
        out."""
        levels = zip(self.levels, tf.unstack(codes, axis=-1), strict=True)
        return tf.add_n([quantizer.vectors(code) for quantizer, code in levels])

    def start_at(self, vectors: tf.Tensor) -> None:
        residual = tf.cast(vectors, tf.float32)
        if self.shared:  # at all that its levels will see, from a first guess by the vectors
            self.quantizers[0].start_at(residual)
            left = [residual]
            for _ in range(self.depth - 1):
                left.append(left[-1] - self.quantizers[0].assign(left[-1])[2])
            residual = tf.concat(left, axis=0)
        for quantizer in self.quantizers:
            quantizer.start_at(residual)
            residual -= quantizer.assign(residual)[2]

    def get_config(self) -> dict[str, Any]:
        quantizers = [keras.saving.serialize_keras_object(each) for each in self.quantizers]
        return {
            **super().get_config(),
            "quantizers": quantizers[0] if self.shared else quantizers,
            "depth": self.depth if self.shared else None,
            "dropout": self.dropout,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ResidualQuantizer":
        return cls(**{**config, "quantizers": of_config(config["quantizers"])})


def of_config(quantizers: Any) -> Any:
    """Quantizers, one or a list, of their configurations."""
    if isinstance(quantizers, dict):
        return keras.saving.deserialize_keras_object(quantizers)
    return [keras.saving.deserialize_keras_object(each) for each in quantizers]


def assert_alike(quantizers: Sequence[Any], kind: type[Quantizer]) -> None:
    """Raises ValueError unless they are quantizers of one kind and size, at least one."""
    strangers = [each for each in quantizers if not isinstance(each, kind)]
    if strangers or not quantizers:
        raise ValueError(
            f"`quantizers` must hold layers of the kind {kind.__name__}. Received: "
            f"{shown(strangers[0] if strangers else quantizers)}."
        )
    sizes = {(each.code_dim, each.num_codes, each.code_shape) for each in quantizers}
    if len(sizes) > 1:
        raise ValueError(
            "`quantizers` must be alike in `code_dim`, `num_codes` and `code_shape`. Received: "
            f"{sorted(sizes)}."
        )


def _along(used, like):
    """[B] as [B, 1, ...], of the rank of `like`."""
    return tf.reshape(used, [-1] + [1] * (like.shape.rank - 1))
