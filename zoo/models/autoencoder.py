"""The autoencoder: a code and a decoder, and no distribution over the code. It is here to be compared with.

    z = f(x),   loss = -log p(x | z)

Rumelhart, Hinton & Williams, Nature 323, 1986; Hinton & Salakhutdinov, Science 313, 2006.
"""

import keras
import tensorflow as tf

from zoo.models.base import ImageModel, assert_networks
from zoo.networks import apply, over_samples
from zoo.tensors import as_vectors
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class Autoencoder(ImageModel):
    """Deterministic autoencoder. It has no prior, so it neither samples nor scores.

    Args:
        encoder: Network image [B, ...] -> [B, D].
        decoder: Network z [B, D] -> [B, likelihood.num_params].
        likelihood: Layer from parameters to p(x|z), such as `zoo.layers.Bernoulli(image_shape)`.
        pixels: "binarize", "dequantize" or "as_given"; by default what the likelihood is over.
        seed: Seed of shuffling and binarization.

    Metrics: `loss`, which is -log p(x|z) in nats per image, and `log_likelihood`.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    _PARTS = {"encoder": "encoder", "decoder": "decoder", "likelihood": "likelihood_layer"}
    term_names = ("loss", "log_likelihood")

    def __init__(self, encoder, decoder, likelihood, *, pixels=None, condition_shape=None, seed=0, **kwargs):
        if condition_shape is not None:
            raise ValueError(f"Autoencoder takes no condition. Received: condition_shape={shown(condition_shape)}.")
        super().__init__(likelihood, pixels=pixels, seed=seed, **kwargs)
        assert_networks(encoder=encoder, decoder=decoder)
        self.encoder = encoder
        self.decoder = decoder
        z = self.encode(tf.zeros([1, *self.image_shape]))  # creates all weights, and checks that the parts fit together
        self.latent_dim = z.shape[-1]
        self.decode(z)
        self.built = True

    def encode(self, x, *, training=None):
        """The code z of images: [B, D]."""
        return apply(self.encoder, self._as_tensors(x, None)[0], training=training)

    def decode(self, z, *, training=None):
        """p(x|z): batch [..., B] as z [..., B, D], event `image_shape`."""
        return self.likelihood_layer(over_samples(self.decoder, self._as_code(z), training=training))

    def _as_code(self, z):
        return as_vectors("z", z, self.latent_dim) if self.built else z

    def call(self, data, training=None):
        """p(x|z) at the code of the images."""
        return self.decode(self.encode(self._unpack(data)[0], training=training), training=training)

    def loss_terms(self, batch, noise, training):
        log_likelihood = self(batch, training=training).log_prob(batch["image"])
        return {"loss": -log_likelihood, "log_likelihood": log_likelihood}

    def reconstruct(self, x, condition=None):
        """Mean of p(x|z) at the code: [B, *image_shape]."""
        return self(self._as_tensors(x, condition)[0]).mean()

    # -- What a server is asked for

    @property
    def latent_shapes(self):
        return {"z": (self.latent_dim,)}

    def latent_parameters(self, x, condition=None):
        """What `encode` answers with when it is served: the code itself."""
        self._refuse_condition(condition)
        return {"z": self.encode(x)}
