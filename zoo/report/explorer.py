"""A decoder as data that a page can run: its layers, its weights, and what turns its outputs into
pixels."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from zoo.networks import MLP, ConvDecoder
from zoo.observations import Image

MAX_BYTES = 10 * 2**20
# What explorer.js can compute.
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softplus", "elu", "silu")
MEANS = {"Bernoulli": "sigmoid", "Laplace": "linear", "Normal": "linear"}
TOLERANCE = 1e-4


def program(model: keras.Model, order: Sequence[int] | np.ndarray | None = None) -> dict[str, Any]:
    """The decoder of a model, for explorer.js.

    Args:
        model: A trained model with one latent vector z, and a class beside it or not.
        order: Dimensions of z in the order in which the page shows them; by default by how far each
            moves the image at z = 0.

    Returns:
        Dict that JSON can hold: `layers`, `mean`, `image_shape`, `latent_dim`, `num_classes` and
        `order`.

    Raises:
        ValueError: If the model decodes in a way that the page cannot: the message says which.
    """
    if not isinstance(model.observation, Image):
        raise ValueError(
            f"The page decodes images, and this is a model of {model.observation.noun}s."
        )
    latents = set(model.latent_shapes)
    num_classes = model.num_classes or 0
    if latents not in ({"z"}, {"y", "z"}) or (
        model.condition_shape is not None and model.condition_shape != (num_classes,)
    ):
        source = "what it is given"
        if latents != {"z"}:
            source = f"the latents {', '.join(sorted(latents)) or 'none'}"
        raise ValueError(f"{type(model).__name__} decodes from {source}, which sliders cannot say.")
    likelihood = type(model.likelihood_layer).__name__
    if likelihood not in MEANS:
        raise ValueError(
            f"The page computes means of the likelihoods {', '.join(MEANS)}, not of {likelihood}."
        )
    latent_dim = model.latent_shapes["z"][0]
    written = {
        "layers": _layers(model.decoder),
        "mean": MEANS[likelihood],
        "params_per_pixel": model.likelihood_layer.num_params // math.prod(model.observation.shape),
        "image_shape": list(model.observation.shape),
        "latent_dim": latent_dim,
        "num_classes": num_classes,
    }
    arrays = ("kernel", "bias")
    size = sum(len(layer.get(name, "")) for layer in written["layers"] for name in arrays)
    if size > MAX_BYTES:
        raise ValueError(
            f"The decoder takes {size / 2**20:.0f} MB of a page, more than {MAX_BYTES / 2**20:.0f}."
        )
    z = np.concatenate([np.zeros((1, latent_dim)), 1.5 * np.eye(latent_dim)]).astype(np.float32)
    images = decode(written, z)
    if not np.allclose(images, _by_model(model, z), atol=TOLERANCE):
        raise ValueError(f"The decoder of {type(model).__name__} does more than its layers say.")
    moved = np.abs(images[1:] - images[:1]).mean(axis=(1, 2, 3))
    if order is None:
        order = np.argsort(moved)[::-1]
    return {**written, "order": [int(dim) for dim in order]}


def decode(program: Mapping[str, Any], z: Any, label: int = 0) -> np.ndarray:
    """What explorer.js computes, in NumPy: codes [N, D] -> means of p(x|z) [N, H, W, C]."""
    x = np.asarray(z, np.float32)
    if program["num_classes"]:
        one_hot = np.eye(program["num_classes"], dtype=np.float32)[label]
        x = np.concatenate([x, np.tile(one_hot, (len(x), 1))], axis=-1)
    for layer in program["layers"]:
        x = _ACTIVATIONS[layer["activation"]](_KINDS[layer["kind"]](layer, x))
    x = x.reshape(len(x), *program["image_shape"], program["params_per_pixel"])[..., 0]
    return _ACTIVATIONS[program["mean"]](x)


def _by_model(model, z):
    if set(model.latent_shapes) == {"y", "z"}:
        z = {"z": z, "y": np.tile(np.eye(model.num_classes, dtype=np.float32)[:1], (len(z), 1))}
        return np.asarray(model.decode(z).mean())
    conditions = [] if model.condition_shape is None else [np.zeros(len(z), np.int32)]
    return np.asarray(model.decode(z, *conditions).mean())


# -- Networks as lists of layers


def _layers(network):
    if isinstance(network, MLP):
        return [_dense(layer) for layer in network.stack]
    if isinstance(network, ConvDecoder):
        *hidden, last = _layers(network.stem)
        shape = network.start_shape
        layers = [*hidden, {**last, "activation": _activation(network.stem_activation.activation)}]
        for convolution in network.convolutions:
            layers.append(_transposed(convolution, shape))
            shape = (2 * shape[0], 2 * shape[1], convolution.filters)
        height, width = network.image_shape[:2]
        return [
            *layers,
            {
                "kind": "crop",
                "from": list(shape),
                "height": height,
                "width": width,
                "activation": "linear",
            },
        ]
    raise ValueError(
        "The page computes dense and transposed convolutional decoders, not "
        f"{type(network).__name__}."
    )


def _dense(layer):
    return {
        "kind": "dense",
        "units": layer.units,
        "activation": _activation(layer.activation),
        **_weights(layer),
    }


def _transposed(layer, shape):
    geometry = {"from": list(shape), "filters": layer.filters, "kernel_size": layer.kernel_size[0]}
    return {
        "kind": "transposed",
        **geometry,
        "activation": _activation(layer.activation),
        **_weights(layer),
    }


def _activation(function):
    if function.__name__ not in ACTIVATIONS:
        raise ValueError(
            f"The page knows the activations {', '.join(ACTIVATIONS)}, not {function.__name__}."
        )
    return function.__name__


def _weights(layer):
    return {
        name: base64.b64encode(np.asarray(getattr(layer, name), "<f4").tobytes()).decode()
        for name in ("kernel", "bias")
    }


def _read(layer, name, *shape):
    return np.frombuffer(base64.b64decode(layer[name]), "<f4").reshape(shape)


# -- The same in NumPy


def _apply_dense(layer, x):
    kernel, bias = _read(layer, "kernel", -1, layer["units"]), _read(layer, "bias", -1)
    return x.reshape(len(x), -1) @ kernel + bias


def _apply_transposed(layer, x):
    """Every input pixel adds its kernel [k, k, filters, channels] at twice its place; the margin
    that exceeds twice the size is cut."""
    (height, width, channels), k, filters = layer["from"], layer["kernel_size"], layer["filters"]
    x = x.reshape(-1, height, width, channels)
    kernel, bias = _read(layer, "kernel", k, k, filters, channels), _read(layer, "bias", -1)
    full = np.zeros((len(x), 2 * height + k - 2, 2 * width + k - 2, filters), np.float32)
    for row in range(k):
        for column in range(k):
            rows, columns = slice(row, row + 2 * height, 2), slice(column, column + 2 * width, 2)
            full[:, rows, columns] += x @ kernel[row, column].T
    margin = (k - 2) // 2
    return full[:, margin : margin + 2 * height, margin : margin + 2 * width] + bias


def _apply_crop(layer, x):
    return x.reshape(-1, *layer["from"])[:, : layer["height"], : layer["width"]]


_KINDS = {"dense": _apply_dense, "transposed": _apply_transposed, "crop": _apply_crop}
_ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * 0.5 * (1 + np.tanh(0.5 * x)),
}
