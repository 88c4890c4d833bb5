"""From a name and a split to examples."""

import hashlib
import logging
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf

from zoo import machine, validation
from zoo.data import sources, sprites
from zoo.data.examples import IMAGE, checked_images, num_examples
from zoo.data.form import AS_THEY_ARE, Form
from zoo.data.parts import PARTS, SUFFIX, places_of, split_of_part
from zoo.engine.streams import RowReader
from zoo.observations.frames import is_frame
from zoo.observations.image import Rendered, to_unit_interval
from zoo.observations.on_disk import OnDisk
from zoo.random import RowNoise, Stream
from zoo.recipe import BINARIZATIONS, Dataset
from zoo.validation import shown

logger = logging.getLogger("zoo")


def load(
    name: Any,
    split: str,
    *,
    data_dir: str | Path | None = None,
    binarization: str = "grey",
    seed: int = 0,
) -> dict[str, Any]:
    """The examples of a split.

    Args:
        name: "digits" or "sprites" (embedded), "frey_faces" (`zoo.data.frey`), the TFDS name of an
            image data set ("mnist", "emnist/letters", "mnist:3.0.1"; "mnist@4" where one label is
            normal and others are anomalies); the path of a folder of images (`zoo.data.folders`),
            of one of IDX files (`zoo.data.idx`) or TFRecords (`zoo.data.records`), or of an .npz
            (`zoo.data.archives`) or .npy file; or the arrays themselves: an array or a dict with
            images. Tables: a .csv or .parquet file, a DataFrame, "breast_cancer", "wine",
            "diabetes", "adult" (`zoo.data.tables`), "breast_cancer_half_missing_0" ...
            (`zoo.data.missing`). Cells: "worm_neurons" (`zoo.data.cells`). A `zoo.Dataset` says
            besides what becomes of pictures, and brings its binarization.
        split: In TFDS's notation: "train", "test", "train[:50000]", "train[80%:]". Besides, any
            data have a "train part", "validation part" and "test part": the splits of these names
            where there are some, and otherwise a tenth of the training split set aside, by a
            checksum of the examples' names or numbers.
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
        they are looked at; those that would take more than a quarter of the memory are
        `zoo.observations.on_disk.OnDisk`, read when they are looked at; arrays that were passed
        keep their shape.

    Raises:
        ValueError: If the data cannot be found or read, are no images in 0 ... 255 or [0, 1] or no
            class numbers, or the split is not one of theirs.
    """
    seed = validation.seed(seed)
    dataset = name if isinstance(name, Dataset) else None
    if dataset is not None:
        name, binarization = dataset.name, dataset.binarization
    if binarization not in BINARIZATIONS:
        raise ValueError(
            "`binarization` must be 'dynamic', 'static' or 'grey'. Received: "
            f"binarization={shown(binarization)}."
        )
    base, start, stop = _parse_split(split)
    form = AS_THEY_ARE if dataset is None else Form.of(dataset)
    source = sources.find(name, data_dir, form)
    arrays = _part_of(source, base) if base.endswith(SUFFIX) else source.read(base)
    arrays = {key: array for key, array in arrays.items() if key != "name"}
    images = arrays.get(IMAGE)
    if isinstance(images, np.ndarray) and form.changes:
        arrays[IMAGE] = form.of_array(images, sources.shown(name))
    # Sprites are black and white.
    if binarization == "static" and IMAGE in arrays and not isinstance(arrays[IMAGE], Rendered):
        arrays[IMAGE] = _binarize_once(np.asarray(arrays[IMAGE]), seed, base)
    num_rows = num_examples(arrays)
    first, last = (
        _position(edge, num_rows, default) for edge, default in ((start, 0), (stop, num_rows))
    )
    if first >= last:
        raise ValueError(
            f"Split {split!r} of {sources.shown(name)} is empty: it has {num_rows} examples."
        )
    arrays = {key: array[first:last] for key, array in arrays.items()}
    return _in_place(arrays, form, sources.shown(name))


def with_mirror_images(examples: Mapping[str, Any]) -> dict[str, Any]:
    """Images and, after them, the mirror image of each; what else there is, twice.

    Args:
        examples: Dict with images, array or `OnDisk` [N, H, W, C].

    Returns:
        Dict of twice as many.
    """
    images = examples[IMAGE]
    num_images = len(images)
    others = {
        key: np.concatenate([array, array]) for key, array in examples.items() if key != IMAGE
    }
    if not isinstance(images, OnDisk):
        images = np.asarray(images)
        return {IMAGE: np.concatenate([images, images[:, :, ::-1]]), **others}

    def read(numbers):
        pixels = np.asarray(images[numbers % num_images])
        mirrored = (numbers >= num_images)[:, None, None, None]
        return np.where(mirrored, pixels[:, :, ::-1], pixels)

    return {IMAGE: OnDisk(read, images.shape[1:], np.arange(2 * num_images)), **others}


def _part_of(source, base):
    """The examples of a part, as `zoo.data.parts` tells."""
    name, (least, most) = split_of_part(base.removesuffix(SUFFIX), source.splits())
    arrays = source.read(name)
    if (least, most) == (0.0, 1.0):
        return arrays
    names = arrays.get("name", [f"row {number}" for number in range(num_examples(arrays))])
    places = places_of(map(str, names))
    rows = np.flatnonzero((places >= least) & (places < most))
    return {key: array[rows] for key, array in arrays.items()}


def _in_place(arrays, form, source):
    """The same with images in memory, or not, as was asked for; or where they fit."""
    images = arrays.get(IMAGE)
    if isinstance(images, OnDisk):
        if form.in_memory or (form.in_memory is None and machine.fits_in_memory(images.nbytes)):
            arrays[IMAGE] = checked_images(np.asarray(images), f"The pictures of {source}")
        else:
            arrays[IMAGE] = images.cached() if form.cache else images
            logger.info(
                "Images of %s are read when they are looked at: %s of them, %.1f GB in memory.",
                source,
                f"{len(images):,}",
                images.nbytes / 1e9,
            )
    elif isinstance(images, np.ndarray) and form.in_memory is False:
        arrays[IMAGE] = OnDisk(images.__getitem__, images.shape[1:], np.arange(len(images)))
    return arrays


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
    if isinstance(arrays.get(IMAGE), OnDisk):
        numbers = tf.data.Dataset.range(num_examples(arrays))
        if shuffle:
            numbers = numbers.shuffle(len(numbers), seed=seed, reshuffle_each_iteration=True)
        read = numbers.batch(batch_size).map(RowReader(arrays), tf.data.AUTOTUNE)
        return read.prefetch(tf.data.AUTOTUNE)
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
        match = re.fullmatch(
            rf"((?:{'|'.join(PARTS)}){SUFFIX}|[\w.-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?", split
        )
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
