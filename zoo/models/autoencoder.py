"""The autoencoder: a code and a decoder, and no distribution over the code. It is here to be
compared with.

    z = f(x),   loss = -log p(x | z)

Rumelhart, Hinton & Williams, Nature 323, 1986; Hinton & Salakhutdinov, Science 313, 2006.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo.models.answers import Answer
from zoo.models.base import Model, assert_networks
from zoo.networks import apply, over_samples
from zoo.observations import Observation
from zoo.random import RowNoise
from zoo.tensors import as_vectors, static_sizes
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class Autoencoder(Model):
    """Deterministic autoencoder. It has no prior, so it neither samples nor scores.

    Args:
        encoder: Network x [B, ...] -> [B, D].
        decoder: Network z [B, D] -> [B, likelihood.num_params].
        likelihood: Layer from parameters to p(x|z), such as `zoo.layers.Bernoulli(image_shape)`.
        observation, pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`, which is -log p(x|z) in nats per example, and `log_likelihood`.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    term_names = ("loss", "log_likelihood")

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        *,
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
        self.encoder = encoder
        self.decoder = decoder

    def build_parts(self) -> None:
        z = self._encode(self.observation.blank(), None)
        (self.latent_dim,) = static_sizes(z.shape[-1:])
        self._decode(z, {}, None)

    def encode(self, x: Any, *, training: bool | None = None) -> tf.Tensor:
        """The code z of x: [B, D]."""
        return self._encode(self.as_data(x), training)

    def _encode(self, data, training):
        return apply(self.encoder, self.observation.encoder_input(data), training=training)

    def decode(self, z: Any, *, training: bool | None = None, **companions: Any) -> Distribution:
        """p(x|z): batch [..., B] as z [..., B, D], event as x."""
        return self._decode(as_vectors("z", z, self.latent_dim), companions, training)

    def _decode(self, z, data, training):
        params = over_samples(self.decoder, z, training=training)
        return self.likelihood_layer(params, **self.observation.companions(data))

    def call(self, data: Any, training: bool | None = None) -> Distribution:
        """p(x|z) at the code of x."""
        data = self.as_data(data)
        return self._decode(self._encode(data, training), data, training)

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, tf.Tensor]:
        x = batch[self.key]
        log_likelihood = self._decode(self._encode(batch, training), batch, training).log_prob(x)
        return {"loss": -log_likelihood, "log_likelihood": log_likelihood}

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """Mean of p(x|z) at the code: [B, *shape of x]."""
        return self(dict(data)).mean()

    # -- What a server is asked for

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": (self.latent_dim,)}

    def answers(self) -> dict[str, Answer]:
        def encode(**x):
            return {"z": self.encode(self.observation.of_served(x))}

        def decode(z, **companions):
            mean = self.decode(z, **companions).mean()
            return self.observation.to_served("reconstruction", mean)

        z = tf.TensorSpec([None, self.latent_dim], tf.float32, name="z")
        return {
            **super().answers(),
            "encode": Answer(encode, self.observation.spec()),
            "decode": Answer(decode, {"z": z} | self.observation.companion_spec()),
        }
