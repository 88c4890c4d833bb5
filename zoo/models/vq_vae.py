"""The vector-quantized autoencoder: codes from a book, and a decoder of them.

    codes = nearest(f(x)),   loss = -log p(x | codes) + beta |f(x) - sg(codes)|^2

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017.
https://arxiv.org/abs/1711.00937
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.models.answers import Answer
from zoo.models.base import Model, assert_networks
from zoo.networks import apply
from zoo.observations import Observation
from zoo.random import RowNoise
from zoo.tensors import static_sizes
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class VQVAE(Model):
    """Vector-quantized autoencoder (van den Oord et al. 2017, eq. 3, with the codebook kept by
    moving averages).

    It has no prior over its codes, so it neither samples nor scores.

    Args:
        encoder: Network x [B, ...] -> [B, positions * code_dim].
        decoder: Network of the codes' vectors [B, positions * code_dim]
            -> [B, likelihood.num_params].
        quantizer: `zoo.layers.VectorQuantizer`.
        likelihood: Layer from parameters to p(x|codes).
        commitment_cost: beta, what it costs a vector to be away from its code.
        observation, pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`; `log_likelihood`; `commitment`, the squared distance to the codes; `kl`, the
    length of the codes at log K nats each.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    term_names = ("loss", "log_likelihood", "commitment", "kl")

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        quantizer: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        *,
        commitment_cost: float = 0.25,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            likelihood, observation=observation, pixels=pixels, seed=seed, name=name, dtype=dtype
        )
        assert_networks(encoder=encoder, decoder=decoder, quantizer=quantizer)
        self.encoder = encoder
        self.decoder = decoder
        self.quantizer = quantizer
        self.commitment_cost = validation.non_negative("commitment_cost", commitment_cost)

    def build_parts(self) -> None:
        codes = self._quantized(self.observation.blank(), None)[2]
        (self.num_positions,) = static_sizes(codes.shape[1:2])
        self.decode(codes)

    def _quantized(self, data, training):
        """Vectors [B, positions, D], their codes' vectors, and their codes int32 [B, positions]."""
        params = apply(self.encoder, self.observation.encoder_input(data), training=training)
        if params.shape[-1] % self.quantizer.code_dim:
            raise ValueError(
                f"`encoder` must give a multiple of {self.quantizer.code_dim} numbers, the "
                f"quantizer's `code_dim`. Received: {params.shape[-1]}."
            )
        vectors = tf.reshape(
            params, [-1, params.shape[-1] // self.quantizer.code_dim, self.quantizer.code_dim]
        )
        return vectors, *self.quantizer(tf.cast(vectors, tf.float32), training=training)

    def _decode(self, quantized, data, training):
        flat = tf.reshape(quantized, [-1, math.prod(quantized.shape[1:])])
        params = apply(self.decoder, flat, training=training)
        return self.likelihood_layer(params, **self.observation.companions(data))

    def encode(self, x: Any, *, training: bool | None = None) -> tf.Tensor:
        """The codes of x: int32 [B, positions]."""
        return self._quantized(self.as_data(x), training)[2]

    def decode(
        self, codes: Any, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|codes): batch [B] as codes, int [B, positions]."""
        return self._decode(self.quantizer.vectors(codes), companions, training)

    def call(self, data: Any, training: bool | None = None) -> Distribution:
        """p(x|codes) at the codes of x."""
        data = self.as_data(data)
        return self._decode(self._quantized(data, training)[1], data, training)

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, tf.Tensor]:
        vectors, quantized, _ = self._quantized(batch, training)
        log_likelihood = self._decode(quantized, batch, training).log_prob(batch[self.key])
        commitment = tf.reduce_sum((vectors - tf.stop_gradient(quantized)) ** 2, axis=[1, 2])
        length = tf.fill(
            tf.shape(log_likelihood), self.num_positions * math.log(self.quantizer.num_codes)
        )
        loss = self.commitment_cost * commitment - log_likelihood
        return {
            "loss": loss,
            "log_likelihood": log_likelihood,
            "commitment": commitment,
            "kl": length,
        }

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """Mean of p(x|codes) at the codes of x: [B, *shape of x]."""
        return self(dict(data)).mean()

    def answers(self) -> dict[str, Answer]:
        codes = {"codes": tf.TensorSpec([None, self.num_positions], tf.int32, name="codes")}

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
