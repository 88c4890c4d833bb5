"""A decoder as data that a page can run: its layers, its weights, and what turns its outputs into
pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from zoo.observations import Image
from zoo.report.layers import layers_of, run
from zoo.report.means import mean_of, pixels

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
    latent_dim = model.latent_shapes["z"][0]
    written = {
        "layers": layers_of(model.decoder),
        "mean": mean_of(model.likelihood_layer),
        "image_shape": list(model.observation.shape),
        "latent_dim": latent_dim,
        "num_classes": num_classes,
    }
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
    params = run(program["layers"], x)
    return pixels(program["mean"], params).reshape(-1, *program["image_shape"])


def _by_model(model, z):
    if set(model.latent_shapes) == {"y", "z"}:
        z = {"z": z, "y": np.tile(np.eye(model.num_classes, dtype=np.float32)[:1], (len(z), 1))}
        return np.asarray(model.decode(z).mean())
    conditions = [] if model.condition_shape is None else [np.zeros(len(z), np.int32)]
    return np.asarray(model.decode(z, *conditions).mean())
