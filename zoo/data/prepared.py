"""Data sets that TFDS prepares: read whole, or record by record."""

import functools
import logging
import math
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from zoo import machine
from zoo.data.encoded import as_images
from zoo.data.examples import IMAGE, checked_images, checked_labels, known_split
from zoo.data.form import AS_THEY_ARE, Form
from zoo.data.records import Records
from zoo.extras import need

logger = logging.getLogger("zoo")

OFFLINE_RECIPE = "vae_digits"
# Sets whose uint8 images are not 0 ... 255 but 0 and 1.
OF_ZEROS_AND_ONES = ("binarized_mnist", "dsprites")


def splits_of_prepared(name: str, data_dir: str | Path | None) -> tuple[str, ...]:
    """The splits of a TFDS data set."""
    return tuple(_prepared(name, data_dir).info.splits)


def read_prepared(
    name: str,
    split: str,
    data_dir: str | Path | None,
    form: Form = AS_THEY_ARE,
) -> dict[str, Any]:
    """The examples of a TFDS data set, in the order of its shards. That is TFDS's own, not the one
    of the original files.

    Images of one size are read whole where they fit into memory, others one by one when they are
    looked at.

    Args:
        name: TFDS's name.
        split: One of its splits.
        data_dir: Where TFDS keeps its data; None: its default.
        form: What becomes of a picture.

    Returns:
        Dict of images, uint8 array or `OnDisk` [N, H, W, C]; "label" int32 [N], and "factors" int32
        [N, K], where there are some.

    Raises:
        ValueError: If there is no such data set or split, it cannot be prepared, or its images are
            not what they should be.
    """
    builder = _prepared(name, data_dir)
    known_split(name, split, builder.info.splits)
    features = _features(builder, name, any_size=form.image_size is not None)
    num_bytes = _num_bytes(builder, split)
    if form.in_memory is None:
        whole = num_bytes is not None and machine.fits_in_memory(num_bytes)
    else:
        whole = form.in_memory and num_bytes is not None
    if builder.name in OF_ZEROS_AND_ONES or whole:
        arrays = _whole(name, split, data_dir)
        return {**arrays, IMAGE: form.of_array(arrays[IMAGE], f"Data set {name!r}")}
    kind = builder.info.file_format
    if kind is None or kind.value != "tfrecord":
        raise ValueError(
            "Images of TFDS that are read when they are looked at must lie in TFRecords. Received: "
            f"{name!r} as {kind and kind.value}. Prepare it anew, or pass `in_memory=True`."
        )
    files = [Path(file) for file in builder.info.splits[split].filepaths]
    images, kept = as_images(Records(files, IMAGE), form)
    others = _columns(builder, name, split, features[1:])
    return {IMAGE: images, **{key: array[kept] for key, array in others.items()}}


def _num_bytes(builder, split):
    """What the images of a split take; None where each has its own size."""
    shape = builder.info.features[IMAGE].shape
    if None in shape:
        return None
    return math.prod(shape) * builder.info.splits[split].num_examples


# Training and validation are slices of one split, and decoding it takes seconds.
@functools.lru_cache(maxsize=2)
def _whole(name, split, data_dir):
    builder = _prepared(name, data_dir)
    features = _features(builder, name)
    arrays = _read(builder, split, [IMAGE])
    if builder.name in OF_ZEROS_AND_ONES:
        arrays[IMAGE] = arrays[IMAGE] * np.uint8(255)
    arrays[IMAGE] = checked_images(arrays[IMAGE], f"Data set {name!r}")
    arrays |= _columns(builder, name, split, features[1:])
    for array in arrays.values():
        array.flags.writeable = False  # they are shared between calls
    return arrays


def _prepared(name, data_dir):
    need("data", "Data sets of TFDS")
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    return builder


def _columns(builder, name, split, keys):
    """Labels and factors of a split, as far as it has them: dict of int32 arrays [N, ...]."""
    if not keys:
        return {}
    arrays = _read(builder, split, keys)
    for key, array in arrays.items():
        arrays[key] = checked_labels(array, len(array), f"{key!r} of data set {name!r}")
    factors = [key for key in keys if key.startswith("label_")]  # of dsprites and shapes3d
    if factors:
        arrays["factors"] = np.stack([arrays.pop(key) for key in factors], axis=-1)
    return arrays


def _read(builder, split, features):
    """The features of these names, as arrays, one shard after another."""
    import tensorflow_datasets as tfds

    decoders = {
        key: tfds.decode.SkipDecoding() for key in builder.info.features if key not in features
    }
    columns = {key: [] for key in features}
    for batch in builder.as_dataset(
        split=split,
        batch_size=1000,
        decoders=decoders,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    ).as_numpy_iterator():
        for key, column in columns.items():
            column.append(batch[key])
    return {key: np.concatenate(column) for key, column in columns.items()}


def _builder(name, data_dir):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        hint = str(error).strip().splitlines()[0]
        raise ValueError(
            f"No data set is named {name!r}: it is not 'digits', not a file or folder, "
            f"and TFDS says: {hint}"
        ) from None
    except (AssertionError, ValueError) as error:  # of a version, of a configuration
        hint = str(error).strip().splitlines()[0]
        raise ValueError(
            f"TFDS knows {name.partition('/')[0].partition(':')[0]!r}, but not {name!r}: {hint}"
        ) from None


def _features(builder, name, any_size=False):
    """Names of the features to read: the image, then "label" and "label_*" as far as they are class
    numbers."""
    features = builder.info.features
    if IMAGE not in features:
        raise ValueError(f"Data set {name!r} has no images. Its features are {sorted(features)}.")
    shape = features[IMAGE].shape
    if None in shape and not any_size:
        raise ValueError(
            "All images of a data set must have one size, or be given one by `image_size`. "
            f"Received: {name!r} with images of shape {shape}."
        )
    labels = [key for key in features if key == "label" or key.startswith("label_")]
    numbers = [
        key
        for key in labels
        if features[key].shape == () and np.dtype(features[key].np_dtype).kind in "biu"
    ]
    for key in set(labels) - set(numbers):
        logger.warning("Left out of data set %r: %r, as it holds no class numbers.", name, key)
    return [IMAGE, *numbers]


def _prepare(builder, name):
    """Prepares a TFDS data set from raw files on disk, or from the network where there is one.

    TFDS itself would retry a missing file for minutes, so it is asked only once every file is known
    to be within reach.
    """
    import tensorflow_datasets as tfds

    has_configuration = builder.builder_config is not None
    # <root>/<name>/<configuration>/<version>.
    root = Path(builder.data_dir).parents[2 if has_configuration else 1]
    manual_dir = root / "downloads" / "manual" / builder.name
    missing = {}  # URL -> the name that a file put there by hand has
    for url, info in (builder.url_infos or {}).items():
        if not (manual_dir / (info.filename or "")).is_file():
            missing[url] = info.filename
    unreachable = sorted(
        {urlsplit(url).hostname for url in missing if not _is_reachable(urlsplit(url).hostname)}
    )
    if unreachable or not builder.url_infos:
        why = "TFDS lists no files to download"
        if unreachable:
            why = f"{', '.join(unreachable)} cannot be reached"
        files = ", ".join(sorted(filter(None, missing.values())))
        raise ValueError(
            f"Data set {name!r} is not in {root} and cannot be downloaded ({why}). "
            f"Say where it is with --data-dir or ZOO_DATA_DIR, put its raw files ({files}) into "
            f"{manual_dir}, or run the recipe {OFFLINE_RECIPE!r}, which needs no download."
        )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=str(manual_dir) if manual_dir.is_dir() else None, try_download_gcs=False
        )
    )


def _is_reachable(host, port=443, seconds=3):
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        return False
    return True
