"""A ladder of stochastic groups: what is seen goes up once, a state comes down and is told by each
group in turn.

    generative program   p(z1) p(z2 | z1) ... p(zL | z1 ... z_{L-1}) p(x | z1 ... zL)
    inference program    q(z1 | x) q(z2 | x, z1) ... q(zL | x, z1 ... z_{L-1})

Sønderby et al., "Ladder variational autoencoders", NeurIPS 2016, https://arxiv.org/abs/1602.02282;
with one state and residual groups, Child, "Very deep VAEs generalize autoregressive models", ICLR
2021, https://arxiv.org/abs/2011.10650
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.inference import Objective
from zoo.inference.handlers import Handler, Typical
from zoo.models.latent_variable import LatentVariableModel
from zoo.networks import apply, over_maps
from zoo.observations import Observation
from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class LadderVAE(LatentVariableModel):
    """Variational autoencoder of L groups of latent maps, `z1` at the top to `zL`; each network
    runs once a pass.

    Args:
        features: L networks from the bottom up: x -> h1 [B, H, W, C], h1 -> h2, and so on. The top
            group sees the last.
        posteriors: L networks from the top down: (features of the group, condition state) ->
            parameters of q(z_i | x, z_<i).
        priors: L networks from the top down: state -> parameters of p(z_i | z_<i).
        states: L networks from the top down: (z_i, condition state) -> the state that the next
            group sees, such as `zoo.networks.StateUpdate`; it may have another resolution.
        latents: L layers from parameters to a distribution of maps, such as
            `zoo.layers.DiagonalNormal((4, 4, 2))`.
        decoder: Network: the last state -> parameters of p(x|z).
        likelihood: Layer from parameters to p(x|z).
        state_shape: [H, W, C] of the first state, which is learned.
        objective, observation, pixels, seed: As in `zoo.VAE`.

    Raises:
        ValueError: If the numbers of parts do not fit, or a part does not fit its neighbour.
    """

    def __init__(
        self,
        features: Sequence[keras.layers.Layer],
        posteriors: Sequence[keras.layers.Layer],
        priors: Sequence[keras.layers.Layer],
        states: Sequence[keras.layers.Layer],
        latents: Sequence[keras.layers.Layer],
        decoder: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        *,
        state_shape: tuple[int, ...],
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        sizes = [len(parts) for parts in (features, posteriors, priors, states, latents)]
        if len(set(sizes)) != 1:
            raise ValueError(
                "L groups need L features, posteriors, priors, states and latents. Received: "
                f"{sizes} of them."
            )
        super().__init__(
            likelihood,
            objective=objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        self.features, self.posteriors, self.priors = list(features), list(posteriors), list(priors)
        self.states, self.groups = list(states), list(latents)
        self.decoder = decoder
        self.state_shape = tuple(state_shape)
        self.first_state = self.add_weight(
            shape=(1, *self.state_shape), initializer="zeros", name="first_state"
        )

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        seen = self._features(data, training) if latent.infers else []
        state = tf.convert_to_tensor(self.first_state)  # [1, H, W, C]; then [S, B, H, W, C]
        for i, group in enumerate(self.groups):
            z = latent(
                f"z{i + 1}",
                prior=lambda: self._distribution(
                    group, over_maps(self.priors[i], state, training=training)
                ),
                posterior=lambda: self._distribution(
                    group, over_maps(self.posteriors[i], seen[i], state, training)
                ),
            )
            state = over_maps(self.states[i], z, state, training)
        params = over_maps(self.decoder, state, training=training)
        return self.likelihood_layer(params, **self.observation.companions(data))

    def _features(self, data, training):
        """What each group sees, from the top down."""
        h, features = self.observation.encoder_input(data), []
        for network in self.features:
            h = apply(network, h, training=training)
            features.append(h)
        return features[::-1]

    @staticmethod
    def _distribution(group, params):
        """Parameters as a network gives them, [..., P] or maps [..., H, W, P'], as a
        distribution."""
        event = 1 if params.shape[-1] == group.num_params else 3
        batch = tf.shape(params)[: len(params.shape) - event]
        return group(tf.reshape(params, tf.concat([batch, [group.num_params]], axis=0)))

    def latent_parameters(self, x: Any, condition: Any = None) -> dict[str, tf.Tensor]:
        """Parameters of each group, where those above it are at their means: z1_loc, z1_scale,
        ..."""
        trace = self.run(Typical(), self.as_data(x, condition))
        return {
            f"{name}_{parameter}": value
            for (name, site), group in zip(trace.items(), self.groups, strict=True)
            for parameter, value in group.named_parameters(site.posterior).items()
        }
