"""The vector-quantized autoencoder of two levels: coarse codes, and fine ones that see them.

    h = f(x),  top = quantizer_2(f_2(h)),  bottom = quantizer_1(join(h, g_2(top)))
    p(x | bottom, g_2(top)),   p(top) p(bottom | top)

Razavi, van den Oord & Vinyals, "Generating diverse high-fidelity images with VQ-VAE-2", NeurIPS
2019, section 3.1 and algorithm 1. https://arxiv.org/abs/1906.00446
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.layers.quantizers import Quantized, Quantizer
from zoo.models.base import assert_networks
from zoo.models.code_model import CodeModel
from zoo.models.vq_vae import assert_quantizers, whole_codes
from zoo.networks import apply
from zoo.tensors import static_sizes
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class TwoLevelVQVAE(CodeModel):
    """Vector-quantized autoencoder whose codes lie on two grids (Razavi et al. 2019).

    The codes of an x stand in a row, int32 [N]: those of the top first, which say what is where,
    then those of the bottom, which add what it looks like. A prior that sees codes in this order,
    such as `zoo.networks.CausalTransformer`, is p(top) p(bottom | top).

    Args:
        encoder: Network x [B, ...] -> map h [B, H, W, C].
        top_encoder: Network h -> map of the top's vectors [B, H', W', code_dim].
        top_decoder: Network of the top codes' vectors -> map [B, H, W, C'].
        join: Network of h and what the top's decoder gives, side by side [B, H, W, C + C'], -> map
            of the bottom's vectors [B, H, W, code_dim].
        decoder: Network of the bottom codes' vectors and what the top's decoder gives, side by side
            [B, H, W, code_dim + C'], -> [B, likelihood.num_params].
        quantizer, top_quantizer: Layers of `zoo.layers.quantizers`, with as many codes.
        likelihood: Layer from parameters to p(x|codes).
        prior, num_classes, trains, observation, pixels, seed, metrics: As in
            `zoo.models.code_model.CodeModel`.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        top_encoder: keras.layers.Layer,
        top_decoder: keras.layers.Layer,
        join: keras.layers.Layer,
        decoder: keras.layers.Layer,
        quantizer: Quantizer,
        top_quantizer: Quantizer,
        likelihood: keras.layers.Layer,
        **kwargs: Any,
    ) -> None:
        super().__init__(likelihood, **kwargs)
        assert_networks(
            encoder=encoder,
            top_encoder=top_encoder,
            top_decoder=top_decoder,
            join=join,
            decoder=decoder,
        )
        assert_quantizers(quantizer=quantizer, top_quantizer=top_quantizer)
        self.encoder = encoder
        self.top_encoder = top_encoder
        self.top_decoder = top_decoder
        self.join = join
        self.decoder = decoder
        self.quantizer = quantizer
        self.top_quantizer = top_quantizer

    @property
    def quantizers(self) -> Sequence[Quantizer]:
        return [self.top_quantizer, self.quantizer]

    def build_parts(self) -> None:
        top, _, bottom = self._levels(self.observation.blank(), None)
        # Of each level, the shape of its codes.
        self.grids = [static_sizes(level.codes.shape[1:]) for level in (top, bottom)]
        for quantizer, level in zip(self.quantizers, (top, bottom), strict=True):
            quantizer.build((None, *static_sizes(level.quantized.shape[1:])))
        super().build_parts()

    def _levels(self, data, training):
        """The top's codes and their vectors, what its decoder gives, and the bottom's."""
        x = self.observation.encoder_input(data)
        h = apply(self.encoder, x, training=training)
        vectors = apply(self.top_encoder, h, training=training)
        top = whole_codes(self.top_quantizer, vectors, training)
        above = apply(self.top_decoder, top.quantized, training=training)
        vectors = apply(self.join, _side_by_side(h, above), training=training)
        return top, above, whole_codes(self.quantizer, vectors, training)

    def quantize_data(self, data: Mapping[str, Any], training: bool | None) -> Quantized:
        top, above, bottom = self._levels(data, training)
        rows = [
            tf.reshape(level.codes, [-1, math.prod(grid)])
            for level, grid in zip((top, bottom), self.grids, strict=True)
        ]
        terms = {name: top.terms[name] + bottom.terms[name] for name in top.terms}
        return Quantized(_side_by_side(bottom.quantized, above), tf.concat(rows, axis=1), terms)

    def of_codes(self, codes: tf.Tensor) -> tf.Tensor:
        top, bottom = (
            quantizer.vectors(level)
            for quantizer, level in zip(self.quantizers, self.levels_of(codes), strict=True)
        )
        return _side_by_side(bottom, apply(self.top_decoder, top))

    def levels_of(self, codes: tf.Tensor) -> list[tf.Tensor]:
        """The top's codes and the bottom's, [B, *grid] each, of codes [B, N] in a row."""
        rows = tf.split(codes, [math.prod(grid) for grid in self.grids], axis=1)
        return [tf.reshape(row, [-1, *grid]) for row, grid in zip(rows, self.grids, strict=True)]

    def explain(
        self, quantized: tf.Tensor, data: Mapping[str, Any], training: bool | None
    ) -> Distribution:
        params = apply(self.decoder, quantized, training=training)
        return self.likelihood_layer(params, **self.observation.companions(data))

    def start_codebook(self, x: Any) -> None:
        """Starts both codebooks where the vectors of some x [N, ...] are, as `VQVAE` does."""
        h = apply(self.encoder, self.observation.encoder_input(self.as_data(x)))
        vectors = apply(self.top_encoder, h)
        self.top_quantizer.start_at(vectors)
        above = apply(self.top_decoder, self.top_quantizer.quantize_vectors(vectors).quantized)
        self.quantizer.start_at(apply(self.join, _side_by_side(h, above)))


def _side_by_side(map_, other):
    return tf.concat([tf.cast(map_, tf.float32), tf.cast(other, tf.float32)], axis=-1)
