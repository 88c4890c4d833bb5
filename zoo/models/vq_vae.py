"""The vector-quantized autoencoder: codes of x, and a decoder of them.

    codes = quantizer(f(x)),   loss = -log p(x|codes) + the quantizer's terms

q(codes|x) is certain of one code a place, so that

    log p(x) >= log p(codes) + log p(x|codes)   at the codes of x.

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, eq. 3
and section 3.1. https://arxiv.org/abs/1711.00937
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.layers.base import shape_tuple
from zoo.layers.quantizers import Quantized, Quantizer
from zoo.models.answers import Answer
from zoo.models.base import Model, assert_networks
from zoo.networks import apply
from zoo.observations import Observation
from zoo.random import RowNoise
from zoo.tensors import static_sizes
from zoo.typing import Distribution
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class VQVAE(Model):
    """Vector-quantized autoencoder (van den Oord et al. 2017), with any quantizer.

    Its prior over codes is uniform: every code costs log K nats.

    Args:
        encoder: Network x [B, ...] -> vectors: a map [B, ..., code_dim], or flat [B, places *
            code_dim].
        decoder: Network of the codes' vectors, in the shape in which the encoder gave its own
            -> [B, likelihood.num_params].
        quantizer: Layer of `zoo.layers.quantizers`.
        likelihood: Layer from parameters to p(x|codes).
        grid: Shape of the places, such as (8, 8): that of the encoder's map, which may be left out;
            or that of a flat encoder, by default one row.
        observation, pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`; `elbo` = log_likelihood - kl; `log_likelihood`; `kl`, -log p(codes), the length
    of the codes; and the terms of the quantizer. All but the last are in nats.

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
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            likelihood, observation=observation, pixels=pixels, seed=seed, name=name, dtype=dtype
        )
        assert_networks(encoder=encoder, decoder=decoder)
        if not isinstance(quantizer, Quantizer):
            raise ValueError(
                "`quantizer` must be a layer of `zoo.layers.quantizers`, such as "
                f"`zoo.layers.VectorQuantizer(512, 64)`. Received: quantizer={shown(quantizer)}."
            )
        self.encoder = encoder
        self.decoder = decoder
        self.quantizer = quantizer
        self.grid = None if grid is None else shape_tuple(grid, "grid")
        self.batch_statistics = quantizer.batch_statistics

    def build_parts(self) -> None:
        blank = self.observation.blank()
        params = self._params(blank, None)
        self._is_flat = params.shape.rank == 2
        self.grid = self._grid_of(params)
        self.quantizer.build((None, *self.grid, self.quantizer.code_dim))
        self.decode(self._quantized(blank, None).codes)

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

    @property
    def term_names(self) -> tuple[str, ...]:  # type: ignore[override]
        _, *of_quantizer = self.quantizer.term_names
        return ("loss", "elbo", "log_likelihood", "kl", *of_quantizer)

    @property
    def codes_shape(self) -> tuple[int, ...]:
        """Shape of the codes of one x: the grid, and what a place has several of."""
        assert self.grid is not None
        return (*self.grid, *self.quantizer.code_shape)

    # -- The networks

    def _params(self, data, training):
        return apply(self.encoder, self.observation.encoder_input(data), training=training)

    def _vectors(self, data, training):
        """What the encoder gives, as vectors [B, *grid, D]."""
        grid = self.grid or ()
        return tf.reshape(self._params(data, training), [-1, *grid, self.quantizer.code_dim])

    def _quantized(self, data, training) -> Quantized:
        return self.quantizer.quantize_vectors(self._vectors(data, training), training)

    def _decode(self, quantized, data, training):
        if self._is_flat:
            quantized = tf.reshape(quantized, [-1, math.prod(quantized.shape[1:])])
        params = apply(self.decoder, quantized, training=training)
        return self.likelihood_layer(params, **self.observation.companions(data))

    def encode(self, x: Any, *, training: bool | None = None) -> tf.Tensor:
        """The codes of x: int32 [B, *codes_shape]."""
        return self._quantized(self.as_data(x), training).codes

    def decode(
        self, codes: Any, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|codes): batch [B] as codes, int [B, *codes_shape].

        Raises:
            ValueError: If the codes are of another grid; or out of range, outside of graphs. In a
                graph a row with a code out of range is NaN.
        """
        codes = self._as_codes(codes)
        known = (codes >= self.quantizer.lowest_code) & (codes < self.quantizer.num_codes)
        known = tf.reduce_all(known, axis=list(range(1, codes.shape.rank)))  # [B]
        codes = tf.clip_by_value(codes, self.quantizer.lowest_code, self.quantizer.num_codes - 1)
        vectors = self.quantizer.vectors(codes)
        known = tf.reshape(known, [-1] + [1] * (vectors.shape.rank - 1))
        return self._decode(tf.where(known, vectors, math.nan), companions, training)

    def _as_codes(self, codes):
        """Codes as a tensor int32 [B, *codes_shape], in range where their values are at hand."""
        codes = tf.convert_to_tensor(codes)
        if not codes.dtype.is_integer or tuple(codes.shape[1:]) != self.codes_shape:
            raise ValueError(
                f"`codes` must be integers of shape [B, {', '.join(map(str, self.codes_shape))}]. "
                f"Received: {shown(codes)}."
            )
        codes = tf.cast(codes, tf.int32)
        if tf.executing_eagerly() and tf.size(codes):
            least, most = int(tf.reduce_min(codes)), int(tf.reduce_max(codes))
            lowest, highest = self.quantizer.lowest_code, self.quantizer.num_codes - 1
            if least < lowest or most > highest:
                raise ValueError(
                    f"Codes must lie in {lowest} ... {highest}. Received: codes from {least} to "
                    f"{most}."
                )
        return codes

    def log_prior(self, codes: tf.Tensor) -> tf.Tensor:
        """log p(codes) of codes int32 [B, *codes_shape]: float32 [B], in nats."""
        length = math.prod(self.codes_shape) * math.log(self.quantizer.num_codes)
        return tf.fill(tf.shape(codes)[:1], -length)

    def call(self, data: Any, training: bool | None = None) -> Distribution:
        """p(x|codes) at the codes of x."""
        data = self.as_data(data)
        return self._decode(self._quantized(data, training).quantized, data, training)

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, tf.Tensor]:
        quantized, codes, terms = self._quantized(batch, training)
        log_likelihood = self._decode(quantized, batch, training).log_prob(batch[self.key])
        kl = -self.log_prior(codes)
        return {
            **terms,
            "loss": terms["loss"] - log_likelihood,
            "elbo": log_likelihood - kl,
            "log_likelihood": log_likelihood,
            "kl": kl,
        }

    # -- What users ask

    def tokenize(self, x: Any) -> tf.Tensor:
        """The codes of x, int32 [B, *codes_shape], as `detokenize` takes them."""
        return self.encode(x)

    def detokenize(self, codes: Any) -> tf.Tensor:
        """x of codes, int [B, *codes_shape]: the mean of p(x|codes), [B, *shape of x].

        Raises:
            ValueError: If the codes are of another grid, or out of range.
        """
        return self.decode(codes).mean()

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """Mean of p(x|codes) at the codes of x: [B, *shape of x]."""
        return self(dict(data)).mean()

    def start_codebook(self, x: Any) -> None:
        """Starts the quantizer where the encoder's vectors of some x [N, ...] are.

        A codebook that starts elsewhere loses most of its codes at once: the first steps draw the
        encoder to the few that are near.
        """
        self.quantizer.start_at(self._vectors(self.as_data(x), None))

    def answers(self) -> dict[str, Answer]:
        codes = {"codes": tf.TensorSpec([None, *self.codes_shape], tf.int32, name="codes")}

        def encode(**x):
            return {"codes": self.encode(self.observation.of_served(x))}

        def decode(codes, **companions):
            mean = self.decode(codes, **companions).mean()
            return self.observation.to_served("reconstruction", mean)

        return {
            **super().answers(),
            "encode": Answer(encode, self.observation.spec()),
            "decode": Answer(decode, codes | self.observation.companion_spec()),
        }
