"""The variational autoencoder: two programs and a bound.

    generative program   p(x, z | c) = p(z | c) p(x | z, c)
    inference program    q(z | x, c)
    objective            ELBO = E_q[log p(x | z, c)] - KL(q(z | x, c) || p(z | c))  <=  log p(x | c)

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014. https://arxiv.org/abs/1312.6114
Rezende, Mohamed & Wierstra, "Stochastic Backpropagation ...", ICML 2014.
https://arxiv.org/abs/1401.4082
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo.inference import Objective
from zoo.inference.handlers import Handler
from zoo.layers.base import shape_tuple
from zoo.layers.priors import StandardNormal
from zoo.models.base import assert_networks, assert_posterior
from zoo.models.condition import NoCondition, Numbers
from zoo.models.latent_variable import LatentVariableModel
from zoo.networks import apply, over_samples
from zoo.observations import Observation
from zoo.tensors import as_flat_latents
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class VAE(LatentVariableModel):
    """Variational autoencoder with an optional condition.

    What x may be is told by `zoo.models.base.Model`. All quantities are in nats per example.

    Args:
        encoder: Network (x [B, ...], condition or None) -> [B, posterior.num_params].
        decoder: Network (z [B, D], condition or None) -> [B, likelihood.num_params].
        posterior: Layer from parameters to q(z|x, c), such as
            `zoo.layers.DiagonalNormal(latent_dim)`.
        likelihood: Layer from parameters to p(x|z, c), such as `zoo.layers.Bernoulli(image_shape)`.
        prior: Layer condition -> p(z|c). Standard normal if left out.
        objective: What training minimizes and how its gradient is estimated;
            `zoo.objectives.ELBO()` if left out.
        observation: What x is, one of `zoo.observations`; by default what the likelihood is over.
        pixels: Short for the observation `Image(image_shape, pixels)`: "binarize", "dequantize" or
            "as_given".
        condition_shape: Shape of one condition, or None for an unconditional model.
        seed: Every draw is a function of (seed, step, row).

    Metrics: `loss`, `elbo`, `log_likelihood` (log p(x|z)) and `kl` (KL(q || p), analytic), or
    `kl_monte_carlo` where TFP knows no closed form.

    Raises:
        ValueError: If a part does not fit its neighbour, or an argument is out of range.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        condition_shape: tuple[int, ...] | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            likelihood,
            objective=objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        assert_networks(encoder=encoder, decoder=decoder)
        assert_posterior(posterior)
        self.encoder = encoder
        self.decoder = decoder
        self.posterior_layer = posterior
        self.prior_layer = StandardNormal(posterior.latent_dim) if prior is None else prior
        self.condition = NoCondition(type(self).__name__)
        if condition_shape is not None:
            self.condition = Numbers(shape_tuple(condition_shape, "condition_shape"))

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        condition = data.get("condition")
        z = latent(
            "z",
            prior=lambda: self.prior(condition, training=training),
            posterior=lambda: self.encode(data, training=training),
        )
        return self.decode(z, condition, training=training, **self.observation.companions(data))

    def encode(
        self, x: Any, condition: Any = None, *, training: bool | None = None
    ) -> Distribution:
        """q(z|x, c): batch [B], event [D], or [H, W, C] where latents are maps."""
        data = self.as_data(x, condition)
        params = apply(
            self.encoder, self.observation.encoder_input(data), data.get("condition"), training
        )
        return self.posterior_layer(params)

    def prior(self, condition: Any = None, *, training: bool | None = None) -> Distribution:
        """p(z|c): batch [] or [B], event as of q."""
        if condition is not None:
            condition = self.condition.check(condition)
        return self.prior_layer(condition=condition, training=training)

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None, **companions: Any
    ) -> Distribution:
        """p(x|z, c): batch [..., B] as z [..., B, D], event as x. A condition [B, ...] serves every
        leading sample.

        `companions` are what the likelihood takes beside its parameters, such as the `library` of
        counts.
        """
        z = as_flat_latents("z", z, self.posterior_layer.event_shape)
        if condition is not None:
            condition = self.condition.check(condition)
            _assert_one_each(z, condition)
        return self.likelihood_layer(
            over_samples(self.decoder, z, condition, training), **companions
        )

    @property
    def latent_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": self.posterior_layer.event_shape}

    def latent_parameters(self, x: Any, condition: Any = None) -> dict[str, tf.Tensor]:
        """The parameters of q(z|x, c) by name, [B, ...] each."""
        return self.posterior_layer.named_parameters(self.encode(x, condition))


def _assert_one_each(z, condition):
    """Raises ValueError unless there is a condition for each row of z [..., B, D], or one for
    all."""
    if condition.shape[0] != 1 and not condition.shape[:1].is_compatible_with(z.shape[-2:-1]):
        raise ValueError(
            "There must be a condition for each row of `z`, or one for all. "
            f"Received: {condition.shape[0]} conditions, z of shape {tuple(z.shape)}."
        )
