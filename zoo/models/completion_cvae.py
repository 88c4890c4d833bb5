"""Completing an image: the conditional VAE whose condition is the part of the image that is seen.

    p(z | visible) p(hidden | visible, z),   q(z | visible, hidden)

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative
models", NIPS 2015, eq. 4.
https://papers.nips.cc/paper/5775
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo.inference import Objective
from zoo.layers.likelihoods import Bernoulli
from zoo.layers.priors import Conditional
from zoo.models.base import Data, Model, assert_likelihood, assert_networks
from zoo.models.condition import Numbers
from zoo.models.vae import VAE
from zoo.networks import apply, over_samples
from zoo.observations import Observation
from zoo.observations.image import as_unit_interval
from zoo.observations.masks import VisiblePixels
from zoo.random import RowNoise
from zoo.tensors import as_vectors
from zoo.typing import Distribution


class Seen(Numbers):
    """What is seen of an image: its visible pixels, and -1 where it is hidden. Given as an image,
    whose hidden pixels are ignored.

    Args:
        visible: The `VisiblePixels`.
        shape: Shape of an image.
        owner: Name of the model, for messages.
    """

    def __init__(self, visible: VisiblePixels, shape: tuple[int, ...], owner: str) -> None:
        super().__init__(shape)
        self.visible = visible
        self.owner = owner

    def check(self, condition: Any, num_rows: int | None = None) -> tf.Tensor:
        if condition is not None and not (tf.is_tensor(condition) and condition.dtype.is_floating):
            condition = as_unit_interval(condition, self.shape)
        return self.visible.see(super().check(condition, num_rows))

    def check_data(self, data: Mapping[str, Any], num_rows: int | None = None) -> dict[str, Any]:
        if data.get("condition") is not None:
            raise ValueError(
                f"The condition of a {self.owner} is a part of the image: pass images alone. "
                "Received: data with 'condition'."
            )
        return {}

    def of(self, data: Mapping[str, Any]) -> None:
        return None

    def blank(self) -> dict[str, tf.Tensor]:
        return {"condition": self.visible.see(tf.zeros([1, *self.shape]))}


@keras.saving.register_keras_serializable(package="zoo")
class CompletionCVAE(VAE):
    """Conditional variational autoencoder that completes images. Bounds are of log p(hidden |
    visible), nats per image.

    Data are images alone: the condition is what is seen of them. A method that asks for a condition
    takes images, and ignores their hidden pixels; visible pixels count as black or white.

    Args:
        encoder: Network image -> parameters of q(z | visible, hidden).
        decoder: Network (z, what is seen) -> logits of all pixels; those of visible ones are not
            used.
        posterior: Layer from parameters to q.
        likelihood: `zoo.layers.Bernoulli`.
        prior: `zoo.layers.Conditional`: the learned p(z | visible).
        visible: Mask [H, W] of the pixels that are seen, such as
            `zoo.images.quadrants((28, 28), 1)`.
        objective, observation, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the mask does not fit the images, the likelihood is not Bernoulli, or a part
            does not fit its neighbour.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: Bernoulli,
        prior: Conditional,
        *,
        visible: Any,
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_binary_likelihood(type(self).__name__, likelihood)
        if not isinstance(prior, Conditional):
            raise ValueError(
                "`prior` must be a zoo.layers.Conditional, for p(z | visible). Received: "
                f"{type(prior).__name__}."
            )
        super().__init__(
            *(encoder, decoder, posterior, likelihood, prior),
            objective=objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        self.visible = VisiblePixels(visible, likelihood.event_shape)
        self.condition = Seen(self.visible, likelihood.event_shape, type(self).__name__)

    def prepare(self, batch: Mapping[str, Any], noise: RowNoise) -> dict[str, Any]:
        data = super().prepare(batch, noise)
        return {**data, "condition": self.visible.see(data[self.key])}

    def as_data(self, x: Any, condition: Any = None) -> dict[str, Any]:
        """x and what is seen of it: of x itself where no condition is given."""
        if isinstance(x, Data):
            return x
        data = self.observation.as_tensors(self._x_of(x) if isinstance(x, dict) else x)
        seen = data[self.key] if condition is None else condition
        return {**data, "condition": self.condition.check(seen, data[self.key].shape[0])}

    def encode(
        self, x: Any, condition: Any = None, *, training: bool | None = None
    ) -> Distribution:
        """q(z|x) of whole images: batch [B], event [D]."""
        return self.posterior_layer(
            apply(self.encoder, self.as_data(x, condition)[self.key], training=training)
        )

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x | visible, z): batch [..., B] as z [..., B, D]; visible pixels are what they are in
        `condition`."""
        condition = self.condition.check(condition)
        params = over_samples(
            self.decoder, as_vectors("z", z, self.posterior_layer.latent_dim), condition, training
        )
        return self.likelihood_layer(self.visible.known(params, condition))


@keras.saving.register_keras_serializable(package="zoo")
class CompletionNetwork(Model):
    """The same without a latent, to compare with: p(hidden | visible) with independent pixels. The
    baseline of Sohn et al., section 5.

    Args:
        network: Network (what is seen of the image) -> logits of all pixels.
        likelihood: `zoo.layers.Bernoulli`.
        visible: Mask [H, W] of the pixels that are seen.
        observation, pixels, seed: As in `zoo.VAE`.

    Metrics: `loss`, which is -log p(hidden | visible) in nats per image, and `log_likelihood`.
    """

    term_names = ("loss", "log_likelihood")
    knows_log_prob = True

    def __init__(
        self,
        network: keras.layers.Layer,
        likelihood: Bernoulli,
        *,
        visible: Any,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_binary_likelihood(type(self).__name__, likelihood)
        super().__init__(
            likelihood, observation=observation, pixels=pixels, seed=seed, name=name, dtype=dtype
        )
        assert_networks(network=network)
        self.network = network
        self.visible = VisiblePixels(visible, likelihood.event_shape)

    def build_parts(self) -> None:
        self(self.observation.blank())

    def call(self, data: Any, training: bool | None = None) -> Distribution:
        """p(x | visible) of images: batch [B], event `observation.shape`."""
        seen = self.visible.see(self.as_data(data)[self.key])
        return self.likelihood_layer(
            self.visible.known(apply(self.network, seen, training=training), seen)
        )

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, tf.Tensor]:
        log_likelihood = self(batch, training=training).log_prob(batch[self.key])
        return {"loss": -log_likelihood, "log_likelihood": log_likelihood}

    def log_prob(self, x: Any) -> tf.Tensor:
        """log p(hidden | visible), exact: nats [B]."""
        data = self.as_data(x)
        self.observation.assert_outcomes(data)
        return self(data).log_prob(data[self.key])

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """The images completed: visible pixels, and the mean of the hidden ones,
        [B, *image_shape]."""
        return self(dict(data)).mean()


def check_binary_likelihood(owner: str, likelihood: Any) -> None:
    """Raises ValueError unless a likelihood is over black and white."""
    assert_likelihood(likelihood)
    if not isinstance(likelihood, Bernoulli):
        raise ValueError(
            f"{owner} completes binary images. Received: likelihood={type(likelihood).__name__}."
        )
