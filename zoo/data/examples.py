"""What every source hands over: images and labels that mean what they say, of a split that there
is."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zoo.observations import Counts, Image, Rows, Table, Vector
from zoo.observations.image import check_images

# Under which images stand in dicts of data.
IMAGE = Image.key
KINDS = (Counts, Image, Rows, Table, Vector)
LARGEST_LABEL = np.iinfo(np.int32).max


def num_examples(examples: Mapping[str, Any]) -> int:
    """The number of examples in a dict of arrays."""
    return len(next(iter(examples.values())))


def first_of(examples: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The first so many examples."""
    return {name: array[:number] for name, array in examples.items()}


def noun_of(examples: Mapping[str, Any]) -> str:
    """What one of these examples is called in messages, such as "image" or "row"."""
    return next(kind.noun for kind in KINDS if kind.key in examples)


def known_split(name: str, split: str, splits: Iterable[str], hint: str = "") -> str:
    """The split.

    Raises:
        ValueError: If it is not one of `splits`; the message ends with `hint`.
    """
    if split not in splits:
        has = f"Its splits are {', '.join(sorted(splits))}." if splits else "It has none."
        raise ValueError(f"{name!r} has no split {split!r}. {has}{hint}")
    return split


def with_channel(images: np.ndarray) -> np.ndarray:
    """[N, H, W] -> [N, H, W, 1]."""
    return images[..., None] if images.ndim == 3 else images


def checked_images(images: np.ndarray, source: str) -> np.ndarray:
    """Images as `zoo.images.check_images` takes them: uint8, or float32 in [0, 1]. The shape stays.

    Args:
        images: Array [N, H, W] or [N, H, W, C]: integers in 0 ... 255, floats in [0, 1], or bools
            (white where true).
        source: Where they are from, for messages.

    Raises:
        ValueError: If they are not such images, or their integers are 0 and 1.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{source}: images must have the shape [N, H, W] or [N, H, W, C]. "
            f"Received: shape {images.shape}."
        )
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] > 4:
        raise ValueError(
            f"{source}: the channels of images come last, [N, H, W, C]. Received: shape "
            f"{images.shape}. Pass `np.moveaxis(images, 1, -1)`."
        )
    if images.dtype == bool:
        return images.astype(np.uint8) * np.uint8(255)
    try:
        return check_images(images, images.shape[1:])
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def checked_labels(labels: np.ndarray, num_images: int, source: str) -> np.ndarray:
    """Class numbers, -1 where a class is not known: int32 [N].

    Args:
        labels: Whole numbers [N] or [N, 1], or one-hot rows [N, K].
        num_images: N.
        source: Where they are from, for messages.

    Raises:
        ValueError: If they are not such labels, or not as many as the images.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"{source}: labels must be class numbers. Received: dtype {labels.dtype}. "
            "Number the classes: `names, label = np.unique(label, return_inverse=True)`."
        )
    if labels.ndim == 0 or len(labels) != num_images:
        rows = len(labels) if labels.ndim else "a single number"
        raise ValueError(
            f"{source}: there must be a label for each image. "
            f"Received: {rows} for {num_images} images."
        )
    if labels.ndim == 2 and labels.shape[1] != 1:
        labels = _numbers_of_rows(labels, source)
    labels = labels.reshape(num_images, -1)
    if labels.shape[1] != 1:
        raise ValueError(
            f"{source}: labels must have the shape [N], or be one-hot rows [N, K]. Received: "
            f"{labels.shape[1]} numbers a row."
        )
    labels = labels[:, 0]
    # NaN is wrong as well.
    wrong = labels[~((labels >= -1) & (labels <= LARGEST_LABEL) & (labels == np.floor(labels)))]
    if wrong.size:
        raise ValueError(
            f"{source}: labels must be class numbers 0, 1, ..., or -1 for an unknown class. "
            f"Received: {wrong[0].item()}."
        )
    return labels.astype(np.int32)


def _numbers_of_rows(rows, source):
    """One-hot rows [N, K] -> class numbers [N]."""
    wrong = rows[~(np.isin(rows, (0, 1)).all(axis=1) & (rows.sum(axis=1) == 1))]
    if len(wrong):
        raise ValueError(
            f"{source}: a row of one-hot labels must hold one 1 and zeros. Received: "
            f"{wrong[0].tolist()}."
        )
    return rows.argmax(axis=1)
