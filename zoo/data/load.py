"""From a name and a split to examples."""

import hashlib
import re
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.data import sources, sprites
from zoo.data.examples import IMAGE, num_examples
from zoo.observations.frames import is_frame
from zoo.observations.image import to_unit_interval
from zoo.random import RowNoise, Stream
from zoo.validation import shown


def load(
    name: Any,
    split: str,
    *,
    data_dir: str | Path | None = None,
    binarization: str = "grey",
    seed: int = 0,
) -> dict[str, Any]:
    """The examples of a split, in memory.

    Args:
        name: "digits" or "sprites" (embedded), the TFDS name of an image data set ("mnist",
            "emnist/letters", "mnist:3.0.1"; "mnist@4" where one label is normal and others are
            anomalies), the path of an .npz file (`zoo.data.archives`) or of a folder of images
            (`zoo.data.folders`), or the arrays themselves: an array or a dict with images. Tables:
            a .csv or .parquet file, a DataFrame, "breast_cancer", "wine", "diabetes", "adult"
            (`zoo.data.tables`), "breast_cancer_half_missing_0" ... (`zoo.data.missing`). Cells:
            "worm_neurons" (`zoo.data.cells`).
        split: In TFDS's notation: "train", "test", "train[:50000]", "train[80%:]".
        data_dir: Where TFDS keeps its data; by default $ZOO_DATA_DIR, else TFDS's own default.
        binarization: "grey" or "dynamic" leave the images as they are (a model draws dynamic
            binarization inside its step); "static" draws every pixel once, from `seed`. That is
            this package's static binarization and not Larochelle's file.
        seed: Seed of the static binarization.

    Returns:
        Dict of arrays: "image", uint8 [N, H, W, C], or float32 in [0, 1] where the data hold
        floats, a "table" (DataFrame), "vector" or "counts"; "label" int32 [N] where the data have
        labels; and "factors" int32 [N, K] where they have ground-truth factors (sprites, and TFDS's
        dsprites and shapes3d). The images of "sprites" are `zoo.data.sprites.Sprites`, drawn when
        they are looked at; arrays that were passed keep their shape.

    Raises:
        ValueError: If the data cannot be found or read, are no images in 0 ... 255 or [0, 1] or no
            class numbers, or the split is not one of theirs.
    """
    seed = validation.seed(seed)
    base, start, stop = _parse_split(split)
    arrays = sources.find(name, data_dir)(base)
    # Which are black and white.
    if binarization == "static" and isinstance(arrays.get(IMAGE), np.ndarray):
        arrays = {**arrays, IMAGE: _binarize_once(arrays[IMAGE], seed, base)}
    elif binarization not in ("grey", "dynamic"):
        raise ValueError(
            "`binarization` must be 'dynamic', 'static' or 'grey'. Received: "
            f"binarization={shown(binarization)}."
        )
    num_rows = num_examples(arrays)
    first, last = (
        _position(edge, num_rows, default) for edge, default in ((start, 0), (stop, num_rows))
    )
    if first >= last:
        raise ValueError(
            f"Split {split!r} of {sources.shown(name)} is empty: it has {num_rows} examples."
        )
    return {key: array[first:last] for key, array in arrays.items()}


def batches(
    name: Any,
    split: str,
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    data_dir: str | Path | None = None,
    binarization: str = "grey",
) -> tf.data.Dataset:
    """The same as a `tf.data.Dataset` of dicts, for use with any Keras model. Arguments as in
    `load`; a short last batch is kept."""
    batch_size = validation.integer("batch_size", batch_size)
    arrays = load(name, split, data_dir=data_dir, binarization=binarization, seed=seed)
    drawn = isinstance(arrays.get(IMAGE), sprites.Sprites)
    stored = {key: array for key, array in arrays.items() if key != IMAGE} if drawn else arrays
    # Its stub knows of tensors alone, not of dicts of them.
    dataset = tf.data.Dataset.from_tensor_slices(cast("Any", stored))
    if shuffle:
        dataset = dataset.shuffle(num_examples(arrays), seed=seed, reshuffle_each_iteration=True)
    dataset = dataset.batch(batch_size)
    if drawn:
        dataset = dataset.map(
            lambda batch: {
                **batch,
                IMAGE: tf.cast(255.0 * sprites.render(batch["factors"]), tf.uint8),
            }
        )
    return dataset.prefetch(tf.data.AUTOTUNE)


def _binarize_once(images, seed, split):
    # The split's name takes the place of the training step: train and test draw different numbers.
    noise = RowNoise(seed, zlib.crc32(split.encode()), tf.range(len(images)), jit=True)
    white = noise.uniform(Stream.BINARIZE, images.shape[1:]) < to_unit_interval(tf.constant(images))
    return np.where(white.numpy(), 255, 0).astype(np.uint8)


def _parse_split(split):
    """ "train[10:50%]" -> ("train", "10", "50%")."""
    match = None
    if isinstance(split, str):
        match = re.fullmatch(r"([\w.-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?", split)
    if match is None:
        raise ValueError(
            "A split is a name with an optional slice, such as 'test' or 'train[:50000]'. "
            f"Received: {shown(split)}."
        )
    return match.groups()


def _position(edge, num_rows, default):
    if edge is None:
        return default
    position = round(num_rows * int(edge[:-1]) / 100) if edge.endswith("%") else int(edge)
    return min(max(position + num_rows if position < 0 else position, 0), num_rows)


def sha256(images: Any, chunk: int = 10_000) -> str:
    """Of the decoded pixels as they are stored, some images at a time: they may be drawn only
    now. Of a table, of its CSV file."""
    digest = hashlib.sha256()
    if is_frame(images):
        digest.update(images.to_csv(index=False).encode())
        return digest.hexdigest()
    for first in range(0, len(images), chunk):
        digest.update(np.ascontiguousarray(images[first : first + chunk]).data)
    return digest.hexdigest()
