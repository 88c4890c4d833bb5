"""Decoders as lists of layers that a page can run, and the same in NumPy: `layers.js` computes what
this file says."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from zoo.networks import MLP, ConvDecoder, ResidualBlock, ResidualDecoder, Upsample

MAX_BYTES = 10 * 2**20
# What layers.js can compute.
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softplus", "elu", "silu")

Layer = dict[str, Any]


def layers_of(network: keras.layers.Layer) -> list[Layer]:
    """The layers of a decoder: dicts that JSON can hold, weights as base64 of float32.

    Raises:
        ValueError: If the page cannot compute one of them, or they are too large for a page.
    """
    layers = _layers(network)
    size = sum(len(text) for text in _weights_in(layers))
    if size > MAX_BYTES:
        raise ValueError(
            f"The decoder takes {size / 2**20:.0f} MB of a page, more than {MAX_BYTES / 2**20:.0f}."
        )
    return layers


def run(layers: Sequence[Mapping[str, Any]], x: np.ndarray) -> np.ndarray:
    """What layers.js computes of x [N, ...]."""
    for layer in layers:
        x = activate(layer["activation"], _KINDS[layer["kind"]](layer, x))
    return x


def activate(name: str, x: np.ndarray) -> np.ndarray:
    return _ACTIVATIONS[name](x)


def _weights_in(layers):
    for layer in layers:
        yield from (layer[name] for name in ("kernel", "bias") if name in layer)
        yield from _weights_in(layer.get("layers", ()))
        yield from _weights_in(layer.get("projection", ()))


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
    if isinstance(network, ResidualDecoder):
        return _residual_decoder(network)
    raise ValueError(
        "The page computes dense, residual and transposed convolutional decoders, not "
        f"{type(network).__name__}."
    )


def _residual_decoder(network):
    shape = tuple(network.start_shape)
    if network.maps:
        layers = [_convolution(network.stem, network.latent_shape)]
    else:
        layers = _layers(network.stem)
    for layer in network.chain:
        more, shape = _of_maps(layer, shape)
        layers += more
    layers.append(_convolution(network.output_layer, shape))
    shape = (*shape[:2], network.output_layer.filters)
    if network.patch > 1:
        layers.append(_plain("depth_to_space", shape, block=network.patch))
        shape = (*(network.patch * side for side in shape[:2]), shape[2] // network.patch**2)
    height, width = network.image_shape[:2]
    return [*layers, _plain("crop", shape, height=height, width=width)]


def _of_maps(layer, shape):
    """The layers of a part of a residual decoder on maps of a shape, and the shape of what it
    gives."""
    height, width, channels = shape
    if isinstance(layer, ResidualBlock):
        if layer.gated or layer.groups:
            raise ValueError("The page computes residual blocks without gates or normalization.")
        inside, inner = [], shape
        block = layer.block
        for before, convolution in zip(block.activations, block.convolutions, strict=True):
            inside += [*_of_maps(before, inner)[0], _convolution(convolution, inner)]
            inner = (*inner[:2], convolution.filters)
        projection = [] if layer.projection is None else [_convolution(layer.projection, shape)]
        return [_plain("residual", shape, layers=inside, projection=projection)], inner
    if isinstance(layer, Upsample):
        layers = []
        if layer.projection is not None:
            layers.append(_convolution(layer.projection, shape))
            channels = layer.projection.filters
        kind = "nearest" if layer.method == "nearest" else "depth_to_space"
        layers.append(_plain(kind, (height, width, channels), block=2))
        return layers, (2 * height, 2 * width, layer.filters)
    if isinstance(layer, keras.layers.Activation):
        return [_plain("same", shape) | {"activation": _activation(layer.activation)}], shape
    raise ValueError(f"The page cannot compute the layer {type(layer).__name__} of the decoder.")


def _plain(kind, shape, **more):
    """A layer without weights, on maps of a shape."""
    return {"kind": kind, "from": list(shape), "activation": "linear", **more}


def _convolution(layer, shape):
    geometry = {"from": list(shape), "filters": layer.filters, "kernel_size": layer.kernel_size[0]}
    weights = _weights(layer)
    return {"kind": "convolution", **geometry, "activation": "linear", **weights}


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
    arrays = {"kernel": layer.kernel, "bias": layer.bias}
    if layer.bias is None:
        arrays["bias"] = np.zeros(layer.kernel.shape[-1])
    return {
        name: base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()
        for name, array in arrays.items()
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


def _apply_convolution(layer, x):
    """A kernel [k, k, channels, filters] at each place; what lies outside is 0."""
    (height, width, channels), k, filters = layer["from"], layer["kernel_size"], layer["filters"]
    half = k // 2
    x = x.reshape(-1, height, width, channels)
    x = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    kernel, bias = _read(layer, "kernel", k, k, channels, filters), _read(layer, "bias", -1)
    return bias + sum(
        x[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(k)
        for column in range(k)
    )


def _apply_residual(layer, x):
    x = x.reshape(-1, *layer["from"])
    return run(layer["layers"], x) + run(layer["projection"], x)


def _apply_nearest(layer, x):
    x = x.reshape(-1, *layer["from"])
    return x.repeat(layer["block"], axis=1).repeat(layer["block"], axis=2)


def _apply_depth_to_space(layer, x):
    (height, width, channels), block = layer["from"], layer["block"]
    x = x.reshape(-1, height, width, block, block, channels // block**2)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height * block, width * block, channels // block**2)


_KINDS: dict[str, Callable] = {
    "dense": _apply_dense,
    "transposed": _apply_transposed,
    "crop": _apply_crop,
    "same": lambda layer, x: x,
    "convolution": _apply_convolution,
    "residual": _apply_residual,
    "nearest": _apply_nearest,
    "depth_to_space": _apply_depth_to_space,
}
_ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * 0.5 * (1 + np.tanh(0.5 * x)),
}
