"""A ladder of residual blocks, by its depth and widths."""

from collections.abc import Sequence
from typing import Any

import keras

from zoo import validation
from zoo.layers.base import shape_tuple
from zoo.layers.likelihoods import Likelihood
from zoo.layers.posteriors import DiagonalNormal
from zoo.models.ladder_vae import LadderVAE
from zoo.networks import ConvBlock, ResidualBlock, ResidualDecoder, StateUpdate
from zoo.networks.residual import Activation, conv


def residual_ladder(
    likelihood: Likelihood,
    groups: int | Sequence[int],
    filters: int | Sequence[int],
    latent_channels: int | Sequence[int],
    *,
    patch: int = 1,
    num_blocks: int = 1,
    bottleneck: bool = True,
    activation: Activation = "silu",
    gated: bool = False,
    dtype: Any = None,
    **model: Any,
) -> LadderVAE:
    """A `LadderVAE` of residual blocks, of any depth: from the few groups of Sønderby et al.
    (NeurIPS 2016) to the dozens of Child, "Very deep VAEs", ICLR 2021
    (https://arxiv.org/abs/2011.10650).

    The first level has the resolution of the image over `patch`, each other half of that before.
    The groups of a level see the image's features at its resolution, and the state that the groups
    before them have told. Images whose sides cannot be halved so often are padded with zeros.

    Args:
        likelihood: Layer over images [H, W, C].
        groups: Number of groups of each level, the finest first.
        filters: Channels of each level.
        latent_channels: Channels of a group's latents at each level.
        patch: Side of the squares of pixels that are one place of the first level, a power of 2.
        num_blocks: Residual blocks of a level on the way up, and of a group on the way down.
        bottleneck, activation, gated: As in `zoo.networks.ConvBlock`. A bottleneck has a quarter of
            the channels inside.
        dtype: Keras's precision policy of all layers, such as "mixed_bfloat16"; by default the
            global one.
        model: Further arguments of `LadderVAE`.

    Raises:
        ValueError: If levels do not have a number of groups, filters and latent channels each.
    """
    groups, filters = shape_tuple(groups, "groups"), shape_tuple(filters, "filters")
    channels = shape_tuple(latent_channels, "latent_channels")
    if not len(groups) == len(filters) == len(channels):
        raise ValueError(
            "Each level needs a number of groups, of filters and of latent channels. Received: "
            f"groups={groups}, filters={filters}, latent_channels={channels}."
        )
    patch, num_blocks = (
        validation.integer(name, value)
        for name, value in (("patch", patch), ("num_blocks", num_blocks))
    )
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    blocks = [
        {
            "inner": max(width // 4, 1) if bottleneck else width,
            "bottleneck": bottleneck,
            "activation": activation,
            "gated": gated,
            "dtype": policy,
        }
        for width in filters
    ]
    height, width, _ = likelihood.event_shape
    coarsest = patch * 2 ** (len(groups) - 1)
    padding = (-height % coarsest, -width % coarsest)
    features: list[keras.layers.Layer] = []
    for level, number in enumerate(groups):
        features.append(_features(level, filters[level], padding, patch, num_blocks, blocks[level]))
        features += [keras.layers.Identity(dtype=policy.name) for _ in range(number - 1)]
    posteriors, priors, states, latents = [], [], [], []
    for level in reversed(range(len(groups))):
        scale = patch * 2**level
        places = ((height + padding[0]) // scale, (width + padding[1]) // scale)
        for group in range(groups[level]):
            params = 2 * channels[level]
            posteriors.append(ConvBlock(params, **blocks[level]))
            priors.append(ConvBlock(params, zero_output=True, **blocks[level]))
            is_last = group == groups[level] - 1
            states.append(
                StateUpdate(
                    filters[level],
                    num_blocks,
                    upsample_to=filters[level - 1] if is_last and level else None,
                    **blocks[level],
                )
            )
            latents.append(DiagonalNormal((*places, channels[level])))
    return LadderVAE(
        features=features,
        posteriors=posteriors,
        priors=priors,
        states=states,
        latents=latents,
        decoder=ResidualDecoder(
            likelihood.event_shape,
            likelihood.num_params,
            filters[0],
            num_blocks=num_blocks,
            bottleneck=bottleneck,
            activation=activation,
            gated=gated,
            patch=patch,
            maps=True,
            dtype=policy,
        ),
        likelihood=likelihood,
        state_shape=(*latents[0].event_shape[:2], filters[-1]),
        dtype=policy,
        **model,
    )


def _features(level, filters, padding, patch, num_blocks, block):
    """The network from one level's features to the next one's."""
    stride = patch if level == 0 else 2
    policy = block["dtype"]
    layers = [conv(filters, max(3, stride), policy, strides=stride)]
    if level == 0 and any(padding):
        sides = ((0, padding[0]), (0, padding[1]))
        layers.insert(0, keras.layers.ZeroPadding2D(sides, dtype=policy))
    return keras.Sequential(layers + [ResidualBlock(filters, **block) for _ in range(num_blocks)])
