"""What turns a decoder's outputs into pixels, as data, and the same in NumPy: `layers.js` computes
what this file says."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from zoo import validation
from zoo.layers import Bernoulli, DiscretizedLogistic, DiscretizedLogisticMixture, Laplace, Normal
from zoo.layers.base import LOG_SCALE_BOUND, bounded_scale

LINKS = {Bernoulli: "sigmoid", Laplace: "linear", Normal: "linear"}


def mean_of(likelihood: keras.layers.Layer) -> dict[str, Any]:
    """How the mean of a likelihood follows from its parameters: a dict that JSON can hold.

    Raises:
        ValueError: If the page cannot compute it.
    """
    kind = type(likelihood)
    per_pixel = likelihood.num_params // math.prod(likelihood.event_shape)
    if kind in LINKS:
        return {"kind": LINKS[kind], "params_per_pixel": per_pixel}
    if kind is DiscretizedLogistic:
        scale = likelihood.scale
        if scale == "shared":
            scale = float(bounded_scale(likelihood.raw_scale.value))
        fixed = scale if validation.is_number(scale) else None
        return {"kind": "logistic", "params_per_pixel": per_pixel, "scale": fixed}
    if kind is DiscretizedLogisticMixture:
        channels = likelihood.event_shape[-1]
        return {"kind": "mixture", "components": likelihood.num_components, "channels": channels}
    known = (*LINKS, DiscretizedLogistic, DiscretizedLogisticMixture)
    raise ValueError(
        f"The page computes means of the likelihoods {', '.join(each.__name__ for each in known)}, "
        f"not of {kind.__name__}."
    )


def pixels(mean: Mapping[str, Any], params: np.ndarray) -> np.ndarray:
    """What layers.js makes of parameters [N, ...]: means [N, H W C]."""
    if mean["kind"] == "mixture":
        return _of_mixture(params, mean["components"], mean["channels"])
    params = params.reshape(len(params), -1, mean["params_per_pixel"]).astype(np.float64)
    if mean["kind"] == "sigmoid":
        return _sigmoid(params[..., 0])
    if mean["kind"] == "linear":
        return params[..., 0]
    scale = mean["scale"]
    if scale is None:
        scale = np.exp(_bounded(params[..., 1]))
    return _clipped_logistic(params[..., 0], scale)


def _clipped_logistic(loc, scale):
    """Mean of a logistic variable that is clipped to [0, 1]."""

    def softplus(v):
        return np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v)))

    return np.clip(scale * (softplus(loc / scale) - softplus((loc - 1) / scale)), 0, 1)


def _of_mixture(params, num_components, num_channels):
    """As `zoo.layers.logistic_mixture.LogisticMixtureImage` takes its mean."""
    num_maps = 1 + 2 * num_channels + num_channels * (num_channels - 1) // 2
    maps = params.reshape(len(params), -1, num_maps, num_components).astype(np.float64)
    weights = np.exp(maps[:, :, 0] - maps[:, :, 0].max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)  # [N, P, K]
    means, moved, pair = [], [], 1 + 2 * num_channels
    for channel in range(num_channels):
        loc = 0.5 + 0.5 * maps[:, :, 1 + channel]
        scale = np.exp(_bounded(maps[:, :, 1 + num_channels + channel])) / 8
        coefficients = [np.tanh(maps[:, :, pair + before]) for before in range(channel)]
        pair += channel
        noises = [
            sum(coefficients[j] * moved[j][i] for j in range(i, channel)) for i in range(channel)
        ]
        noises.append(scale)
        for coefficient, before in zip(coefficients, means, strict=True):
            loc = loc + coefficient * (before - 0.5)
        scale = np.sqrt(sum(noise**2 for noise in noises))
        means.append(_clipped_logistic(loc, scale))
        slope = _sigmoid(loc / scale) - _sigmoid((loc - 1) / scale)
        moved.append([slope * noise for noise in noises])
    channels = [np.sum(weights * mean, axis=-1) for mean in means]
    return np.stack(channels, axis=-1).reshape(len(params), -1).astype(np.float32)


def _bounded(raw):
    return LOG_SCALE_BOUND * np.tanh(raw / LOG_SCALE_BOUND)


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))
