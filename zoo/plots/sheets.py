"""Sheets of images: samples, reconstructions, and what a condition does to them. They raise
ValueError where a model is of something else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from zoo.observations.image import Image, to_unit_interval
from zoo.plots.figures import finished, subplots
from zoo.random import RowNoise, Stream
from zoo.validation import shown


def assert_images(model: keras.Model) -> None:
    """Raises ValueError where a model is of something else than images."""
    if not isinstance(model.observation, Image):
        raise ValueError(
            f"Sheets are of images. Received: a model of {model.observation.noun}s of shape "
            f"{shown(model.observation.shape)}."
        )


def samples(
    model: keras.Model,
    num_rows: int = 8,
    num_columns: int = 12,
    seed: int = 0,
    label: int | None = None,
    path: str | Path | None = None,
    temperature: float | Mapping[str, float] = 1.0,
) -> Figure:
    """A sheet of images from the prior: means of p(x|z), z ~ p(z).

    Of a model with classes each column is a class and each row one z, unless `label` asks for one
    class. `temperature` is that of `VAE.sample`.

    Raises:
        ValueError: If the model is of no images, draws none by itself, or has no label to ask for.
    """
    assert_images(model)
    if model.visible is not None:
        raise ValueError(
            f"{type(model).__name__} draws the rest of an image, given what is seen of it: "
            "`zoo reconstruct` shows that."
        )
    if "sample" not in model.answers():
        raise ValueError(
            f"{type(model).__name__} draws no images by itself: "
            "it has no distribution of its codes."
        )
    title = "Samples: mean of p(x|z), z ~ p(z)"
    num_classes = model.num_classes
    if label is not None and (num_classes is None or model.condition_shape is None):
        raise ValueError(
            f"{type(model).__name__} is not conditional on a label. Received: label={label}."
        )
    if num_classes is None:
        noise = RowNoise.of_seed(seed, num_rows * num_columns)
        images = model.generate(noise, temperature=temperature)["reconstruction"]
    else:
        if label is None:
            num_columns = num_classes
            classes = np.tile(np.arange(num_classes), num_rows)
            rows = np.repeat(np.arange(num_rows), num_columns)
            title = "Samples: mean of p(x|y, z); one z a row, one class a column"
        else:
            classes = np.full(num_rows * num_columns, label)
            rows = np.arange(num_rows * num_columns)
            title = f"Samples of class {label}: mean of p(x|y, z)"
        noise = RowNoise(seed, 0, rows.astype(np.int32))
        images = _of_classes(model, classes, noise, temperature)
    if temperature != 1.0:
        title += f", at temperature {_shown(temperature)}"
    figure = sheet_of(np.asarray(images), num_rows, num_columns)
    figure.suptitle(title, fontsize=9)
    return finished(figure, path)


def _shown(temperature):
    if not isinstance(temperature, Mapping):
        return f"{temperature:g}"
    return ", ".join(f"{value:g} of {name}" for name, value in temperature.items())


def _of_classes(model, classes, noise, temperature):
    """Means of p(x|y, z) for the classes [B] and z ~ p(z), whether the class is a condition or a
    latent."""
    if model.condition_shape is not None:
        return model.generate(noise, classes, temperature)["reconstruction"]
    z = model.generate(noise, temperature=temperature)["z"]
    return model.decode({"y": np.eye(model.num_classes, dtype=np.float32)[classes], "z": z}).mean()


def transfers(
    model: keras.Model,
    examples: Mapping[str, Any],
    num_rows: int = 8,
    path: str | Path | None = None,
) -> Figure:
    """A person's digit, and all digits in the same hand: the image on the left, then
    `model.transfer` to each class."""
    assert_images(model)
    images, labels = examples[model.key][:num_rows], examples["label"][:num_rows]
    originals = np.asarray(to_unit_interval(images))
    columns = [originals, np.ones_like(originals)]
    columns += [
        np.asarray(model.transfer(images, labels, np.full(len(images), k, np.int32)))
        for k in range(model.num_classes)
    ]
    sheet = np.stack(columns, axis=1)  # [rows, 2 + K, H, W, C]
    figure = sheet_of(sheet.reshape(-1, *sheet.shape[2:]), len(images), len(columns))
    figure.suptitle("An image (left), and every class in the same hand", fontsize=9)
    return finished(figure, path)


def completions(
    model: keras.Model,
    examples: Mapping[str, Any],
    num_rows: int = 8,
    num_samples: int = 8,
    seed: int = 0,
    path: str | Path | None = None,
) -> Figure:
    """What is seen of an image (hidden pixels grey), completions (means of p(x | visible, z), z ~
    p(z | visible)), and the image itself."""
    assert_images(model)
    originals = to_unit_interval(examples[model.key][:num_rows])
    seen = np.asarray(model.visible.see(originals))
    if "sample" in model.answers():
        noises = [RowNoise.of_seed(seed + i, len(originals)) for i in range(num_samples)]
        draws = [model.generate(noise, originals)["reconstruction"] for noise in noises]
    else:
        draws = [model.reconstruct(originals)]
    title = "Seen, completed, image"
    if len(draws) > 1:
        title = "What is seen, completions, and the image"
    columns = [np.where(seen < 0, 0.4, seen), *map(np.asarray, draws), np.asarray(originals)]
    sheet = np.stack(columns, axis=1)
    figure = sheet_of(sheet.reshape(-1, *sheet.shape[2:]), len(originals), sheet.shape[1])
    figure.suptitle(title, fontsize=9)
    return finished(figure, path)


def decoded_draws(
    models: Mapping[str, keras.Model],
    num_columns: int = 12,
    num_rows: int = 2,
    seed: int = 0,
    path: str | Path | None = None,
) -> Figure:
    """Means of p(x|z) at the same draws z ~ N(0, I), for each model that shares a latent dimension:
    what a decoder makes of the prior.

    Args:
        models: Dict from name to a model with one latent vector.
    """
    sheets = []
    for model in models.values():
        assert_images(model)
        noise = RowNoise.of_seed(seed, num_rows * num_columns)
        shape = next(iter(model.latent_shapes.values()))
        z = noise.normal(Stream.LATENT, shape)
        sheets.append(tiled(np.asarray(model.decode(z).mean()), num_rows, num_columns))
    figure, axes = subplots(
        len(models), 1, figsize=(num_columns * 0.55, len(models) * (num_rows * 0.55 + 0.35))
    )
    for axis, name, sheet in zip(np.atleast_1d(axes), models, sheets, strict=True):
        axis.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(f"{name}: decoded draws from N(0, I)", fontsize=9)
    return finished(figure, path)


def reconstructions(
    model: keras.Model,
    examples: Mapping[str, Any],
    num_columns: int = 12,
    path: str | Path | None = None,
) -> Figure:
    """Images above the mean of p(x|z) at their posterior mean.

    Args:
        model: A trained model.
        examples: Dict with the images [N, H, W, C]; the first `num_columns` are shown.
    """
    assert_images(model)
    originals = to_unit_interval(examples[model.key][:num_columns])
    num_columns = len(originals)
    condition = model.condition.of(examples)
    condition = None if condition is None else condition[:num_columns]
    pairs = np.concatenate(
        [np.asarray(originals), np.asarray(model.reconstruct(originals, condition))]
    )
    figure = sheet_of(pairs, 2, num_columns)
    figure.suptitle("Images (above) and their reconstructions (below)", fontsize=9)
    return finished(figure, path)


def tiled(images: np.ndarray, num_rows: int, num_columns: int) -> np.ndarray:
    """[rows * columns, H, W, C] -> one image with margins between them, pixels in [0, 1]."""
    _, height, width, channels = images.shape
    margin = max(1, height // 14)
    sheet = np.ones(
        [num_rows * (height + margin) + margin, num_columns * (width + margin) + margin, channels]
    )
    for number, image in enumerate(images):
        row, column = divmod(number, num_columns)
        top, left = margin + row * (height + margin), margin + column * (width + margin)
        sheet[top : top + height, left : left + width] = image
    return np.clip(sheet, 0, 1).squeeze()


def sheet_of(images: np.ndarray, num_rows: int, num_columns: int) -> Figure:
    """[rows * columns, H, W, C] -> one figure without gaps between axes to compute."""
    scale = 0.55
    figure, axis = subplots(figsize=(num_columns * scale, num_rows * scale + 0.35))
    sheet = tiled(images, num_rows, num_columns)
    axis.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    return figure
