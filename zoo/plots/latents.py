"""What codes decode to: one dimension moved, the way between two codes, a whole plane."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from zoo.files import write_atomically
from zoo.plots.codes import drawn, means
from zoo.plots.figures import finished, subplots
from zoo.plots.sheets import assert_images, tiled


def traversals(
    model: keras.Model,
    examples: Mapping[str, Any],
    row: int = 0,
    num_dims: int = 10,
    num_steps: int = 11,
    reach: float = 2.5,
    path: str | Path | None = None,
) -> Figure:
    """One image's code, and each dimension of it moved by itself: rows by their KL, the most active
    first.

    Args:
        model: A model with one latent vector.
        examples: Dict of data (with "condition" or "label" where the model takes one).
        row: Number of the example whose code the others keep.
        num_dims: Rows at most.
        num_steps: Values of a dimension, from -reach to reach.
        reach: In standard deviations of the prior N(0, I).
        path: A .png for a sheet; a .gif for one image a dimension, all moving together.
    """
    assert_images(model)
    code, kl, condition = _code(model, examples, row)
    dims = np.argsort(kl)[::-1][:num_dims]
    values = np.linspace(-reach, reach, num_steps)
    codes = np.tile(code, (len(dims), num_steps, 1))
    for number, dim in enumerate(dims):
        codes[number, :, dim] = values
    images = _decoded(model, codes.reshape(-1, len(code)), condition)  # [rows * steps, H, W, C]
    if str(path).endswith(".gif"):
        _write_gif(images.reshape(len(dims), num_steps, *images.shape[1:]), path)
        path = None
    figure, axis = subplots(figsize=(num_steps * 0.55 + 1.2, len(dims) * 0.55 + 0.6))
    sheet = tiled(images, len(dims), num_steps)
    axis.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    height, width = sheet.shape[0] / len(dims), sheet.shape[1] / num_steps
    axis.set_yticks(
        (np.arange(len(dims)) + 0.5) * height,
        [f"$z_{{{dim + 1}}}$: {kl[dim]:.2f} nats" for dim in dims],
        fontsize=7,
    )
    axis.set_xticks(
        (np.arange(num_steps) + 0.5) * width, [f"{value:+.1f}" for value in values], fontsize=7
    )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("One dimension of a code moved at a time; rows by KL(q || p)", fontsize=9)
    return finished(figure, path)


def interpolations(
    model: keras.Model,
    examples: Mapping[str, Any],
    num_rows: int = 6,
    num_steps: int = 10,
    path: str | Path | None = None,
) -> Figure:
    """Between the codes of two images on the great circle (Shoemake's slerp), which keeps codes of
    N(0, I) at the length they have there.

    White, "Sampling generative networks", 2016. https://arxiv.org/abs/1609.04468

    Args:
        model: A model with one latent vector and no condition.
        examples: Dict with images: pairs of neighbours are shown, with the images themselves at
            both ends.
        num_rows: Pairs.
        num_steps: Codes between and with the two ends.
    """
    assert_images(model)
    images = np.asarray(examples[model.key][: 2 * num_rows])
    codes = means(model, {model.key: images})
    steps = np.linspace(0.0, 1.0, num_steps)[:, None]
    pairs = zip(codes[::2], codes[1::2], strict=True)
    between = np.concatenate([slerp(a, b, steps) for a, b in pairs])
    decoded = _decoded(model, between).reshape(len(codes) // 2, num_steps, *images.shape[1:])
    originals = images / np.float32(255) if images.dtype == np.uint8 else images
    rows = np.concatenate([originals[::2, None], decoded, originals[1::2, None]], axis=1)
    figure, axis = subplots(figsize=(rows.shape[1] * 0.55, len(rows) * 0.55 + 0.35))
    sheet = tiled(rows.reshape(-1, *images.shape[1:]), len(rows), rows.shape[1])
    axis.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(
        "From image to image (at the ends) on a great circle of the latent space", fontsize=9
    )
    return finished(figure, path)


def slerp(a: np.ndarray, b: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """The code a `share` of the way from a to b along the great circle; on the straight line where
    none is between them."""
    length = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / length, -1.0, 1.0)) if length else 0.0
    if np.sin(angle) < 1e-6:
        return (1.0 - share) * a + share * b
    return (np.sin((1.0 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def manifold(model: keras.Model, num_steps: int = 20, path: str | Path | None = None) -> Figure:
    """What a latent space of two dimensions decodes to, on a grid whose cells hold equal shares of
    N(0, I).

    Kingma & Welling, "Auto-Encoding Variational Bayes", 2014, figure 4.

    Raises:
        ValueError: If the latent has other than two dimensions, or decodes to no images.
    """
    assert_images(model)
    if list(model.latent_shapes.values()) != [(2,)] or model.condition_shape is not None:
        raise ValueError(
            "A manifold is drawn of two dimensions and no condition. Received: "
            f"{dict(model.latent_shapes)}."
        )
    edges = stats.norm.ppf((np.arange(num_steps) + 0.5) / num_steps)
    codes = np.stack(np.meshgrid(edges, edges[::-1]), axis=-1).reshape(-1, 2)  # z2 grows upwards
    sheet = tiled(_decoded(model, codes), num_steps, num_steps)
    height, width = sheet.shape[:2]
    figure, axis = subplots(figsize=(6.2 * min(1, width / height), 6.4 * min(1, height / width)))
    axis.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    cells = np.linspace(0, num_steps - 1, 5).round().astype(int)
    places = (cells + 0.5) / num_steps
    axis.set_xticks(places * width, [f"{edges[i]:+.2f}" for i in cells], fontsize=8)
    axis.set_yticks(places * height, [f"{edges[::-1][i]:+.2f}" for i in cells], fontsize=8)
    axis.set_xlabel("$z_1$", fontsize=9)
    axis.set_ylabel("$z_2$", fontsize=9)
    axis.set_title("Mean of p(x|z); every cell holds the same share of N(0, I)", fontsize=9)
    return finished(figure, path)


def _code(model, examples, row):
    """The posterior mean of one example [D], the KL of every dimension [D], and the example's
    condition or None."""
    kl = drawn(model, examples)[1]
    one = {name: array[row : row + 1] for name, array in examples.items()}
    return means(model, one)[0], kl, model.condition.of(one)


def _decoded(model, codes, condition=None):
    """Means of p(x|z) [N, H, W, C] of codes [N, D], all of them under one condition."""
    codes = np.asarray(codes, np.float32)
    conditions = ()
    if condition is not None:
        conditions = (np.repeat(np.asarray(condition), len(codes), axis=0),)
    return np.asarray(model.decode(codes, *conditions).mean())


def _write_gif(rows, path, zoom=2, milliseconds=80):
    """[rows, steps, H, W, C] -> an animation that goes through the steps and back, all rows side by
    side."""
    order = [*range(rows.shape[1]), *range(rows.shape[1] - 2, 0, -1)]
    columns = min(5, len(rows))
    frames = [
        (255 * tiled(rows[:, step], -(-len(rows) // columns), columns)).astype(np.uint8)
        for step in order
    ]
    frames = [
        Image.fromarray(np.kron(frame, np.ones((zoom, zoom, *[1] * (frame.ndim - 2)), np.uint8)))
        for frame in frames
    ]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, format="gif", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0
    )
    write_atomically(Path(path), buffer.getvalue())
