"""The vector-quantized autoencoder: codes of x, a prior over them, and a decoder.

    codes = quantizer(f(x))
    loss  = -log p(x|codes) - log p(codes) + the quantizer's terms

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, eq. 3.
https://arxiv.org/abs/1711.00937
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.layers.base import shape_tuple
from zoo.layers.quantizers import Quantized, Quantizer
from zoo.models.base import assert_networks
from zoo.models.code_model import CodeModel
from zoo.networks import apply
from zoo.tensors import static_sizes
from zoo.typing import Distribution
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class VQVAE(CodeModel):
    """Vector-quantized autoencoder (van den Oord et al. 2017), with any quantizer and any prior
    over its codes.

    Args:
        encoder: Network x [B, ...] -> vectors: a map [B, ..., code_dim], or flat [B, places *
            code_dim].
        decoder: Network of the codes' vectors, in the shape in which the encoder gave its own
            -> [B, likelihood.num_params].
        quantizer: Layer of `zoo.layers.quantizers`.
        likelihood: Layer from parameters to p(x|codes).
        grid: Shape of the places, such as (8, 8): that of the encoder's map, which may be left out;
            or that of a flat encoder, by default one row.
        prior, num_classes, trains, observation, pixels, seed, metrics: As in
            `zoo.models.code_model.CodeModel`.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        quantizer: Quantizer,
        likelihood: keras.layers.Layer,
        *,
        grid: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(likelihood, **kwargs)
        assert_networks(encoder=encoder, decoder=decoder)
        assert_quantizers(quantizer=quantizer)
        self.encoder = encoder
        self.decoder = decoder
        self.quantizer = quantizer
        self.grid = None if grid is None else shape_tuple(grid, "grid")

    @property
    def quantizers(self) -> Sequence[Quantizer]:
        return [self.quantizer]

    def build_parts(self) -> None:
        params = self._params(self.observation.blank(), None)
        self._is_flat = params.shape.rank == 2
        self.grid = self._grid_of(params)
        self.quantizer.build((None, *self.grid, self.quantizer.code_dim))
        super().build_parts()

    def _grid_of(self, params):
        """The shape of the places, of what the encoder gives."""
        size, code_dim = params.shape[-1], self.quantizer.code_dim
        if size % code_dim or not (self._is_flat or size == code_dim):
            raise ValueError(
                f"`encoder` must give vectors of the quantizer's {code_dim} elements, as a map "
                f"[B, ..., {code_dim}] or flat. Received: an output of shape "
                f"{tuple(params.shape)}."
            )
        places = (size // code_dim,) if self._is_flat else static_sizes(params.shape[1:-1])
        fits = math.prod(self.grid or places) == math.prod(places)
        if not (fits and (self._is_flat or self.grid in (None, places))):
            raise ValueError(
                f"`grid` must be that of the encoder's vectors, {places}. Received: "
                f"grid={self.grid}."
            )
        return self.grid or places

    # -- The networks

    def _params(self, data, training):
        return apply(self.encoder, self.observation.encoder_input(data), training=training)

    def _vectors(self, data, training):
        """What the encoder gives, as vectors [B, *grid, D]."""
        grid = self.grid or ()
        return tf.reshape(self._params(data, training), [-1, *grid, self.quantizer.code_dim])

    def quantize_data(self, data: Mapping[str, Any], training: bool | None) -> Quantized:
        return whole_codes(self.quantizer, self._vectors(data, training), training)

    def of_codes(self, codes: tf.Tensor) -> tf.Tensor:
        return self.quantizer.vectors(codes)

    def explain(
        self, quantized: tf.Tensor, data: Mapping[str, Any], training: bool | None
    ) -> Distribution:
        if self._is_flat:
            quantized = tf.reshape(quantized, [-1, math.prod(static_sizes(quantized.shape[1:]))])
        params = apply(self.decoder, quantized, training=training)
        return self.likelihood_layer(params, **self.observation.companions(data))

    def start_codebook(self, x: Any) -> None:
        """Starts the quantizer where the encoder's vectors of some x [N, ...] are.

        A codebook that starts elsewhere loses most of its codes at once: the first steps draw the
        encoder to the few that are near.
        """
        self.quantizer.start_at(self._vectors(self.as_data(x), None))


def assert_quantizers(**quantizers: Any) -> None:
    """Raises ValueError unless each is a quantizer."""
    for name, quantizer in quantizers.items():
        if not isinstance(quantizer, Quantizer):
            raise ValueError(
                f"`{name}` must be a layer of `zoo.layers.quantizers`, such as "
                f"`zoo.layers.VectorQuantizer(512, 64)`. Received: {name}={shown(quantizer)}."
            )


def whole_codes(quantizer: Quantizer, vectors: tf.Tensor, training: bool | None) -> Quantized:
    """What a quantizer makes of vectors, with the codes of all levels where training leaves some
    out: a prior is one of whole codes."""
    # As a layer, for Keras to read its weights in float32 within a model of 16 bits.
    quantized = Quantized(*quantizer(vectors, training=bool(training), adds_loss=False))
    if training and quantizer.lowest_code < 0:
        _, codes, _ = quantizer(vectors, training=False, adds_loss=False)
        return quantized._replace(codes=codes)
    return quantized
