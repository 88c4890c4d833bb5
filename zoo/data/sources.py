"""Where data come from. A source is a function from the name of a split to a dict of whole
arrays."""

import functools
import logging
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np

from zoo.data import missing, sprites, tables
from zoo.data.archives import read_archive
from zoo.data.cells import worm_neurons
from zoo.data.examples import IMAGE, checked_images, checked_labels, known_split
from zoo.extras import need
from zoo.observations.frames import is_frame

logger = logging.getLogger("zoo")

OFFLINE_RECIPE = "vae_digits"
# "mnist", "mnist:3.0.1", "emnist/letters", "emnist/letters:3.1.0"
TFDS_NAME = re.compile(r"\w+(/[\w.-]+)?(:[\w.*]+)?")
TABLE_FILE = re.compile(r"\.(csv(\.gz)?|parquet)$")
# "mnist@4": of a set with labels, one is normal.
ONE_CLASS = re.compile(r"(?P<name>[\w/.:*-]+)@(?P<label>\d+)")
# TFDS's sets whose uint8 images are not 0 ... 255 but 0 and 1.
OF_ZEROS_AND_ONES = ("binarized_mnist", "dsprites")


def find(name: object, data_dir: str | Path | None = None) -> Callable[[str], dict[str, Any]]:
    """The source of this name; what a name can be is told in `zoo.data.load`.

    Raises:
        ValueError: If it is a file or a folder that is not there or of another kind; an unknown
            name of TFDS is found out by the source.
    """
    if not isinstance(name, (str, Path)):
        return functools.partial(_from_arrays, name)
    if isinstance(name, str) and (one_class := ONE_CLASS.fullmatch(name)):
        return functools.partial(_one_class, find(one_class["name"], data_dir), one_class["label"])
    if isinstance(name, str) and name in EMBEDDED:
        return EMBEDDED[name]
    if isinstance(name, str) and name in FILES:
        return functools.partial(FILES[name], data_dir=data_dir or default_data_dir())
    path = Path(name)
    could_be_tfds = isinstance(name, str) and TFDS_NAME.fullmatch(name) is not None
    if path.suffix.lower() == ".npz":
        return functools.partial(read_archive, path)
    if TABLE_FILE.search(path.name.lower()):
        return functools.partial(tables.read_file, path)
    if path.is_file():
        raise ValueError(
            "Data are a folder of images, an .npz file, or a table as .csv or .parquet. Received: "
            f"the file {str(name)!r}. "
            "`np.savez` writes an .npz file."
        )
    if path.is_dir() and not _is_prepared_by_tfds(path):
        from zoo.data.folders import read_folder

        return functools.partial(read_folder, path)
    if path.is_dir() and not could_be_tfds:
        raise ValueError(
            f"{str(name)!r} was prepared by TFDS. Pass the data set's name, and the directory "
            "that holds it as `data_dir`."
        )
    if could_be_tfds:
        return lambda split: _from_tfds(name, split, data_dir or default_data_dir())
    raise ValueError(f"There is no folder or .npz file {str(name)!r}.")


def _is_prepared_by_tfds(path):
    return any(any(path.glob(f"{above}dataset_info.json")) for above in ("", "*/", "*/*/"))


def shown(name: object) -> str:
    """A name for messages."""
    return repr(str(name)) if isinstance(name, (str, Path)) else "the arrays"


def default_data_dir() -> str | None:
    return os.environ.get("ZOO_DATA_DIR")


def _digits(split):
    """scikit-learn's digits (UCI ML hand-written digits): 1,797 images 8x8 in 17 grey levels; the
    first 1,500 train, the others test."""
    need("data", "The digits of scikit-learn")
    from sklearn.datasets import load_digits
    from sklearn.utils import Bunch

    digits = cast("Bunch", load_digits())  # a tuple comes only where one is asked for
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    parts = {"train": slice(0, 1500), "test": slice(1500, None)}
    part = parts[known_split("digits", split, parts)]
    return {IMAGE: images[part], "label": digits.target[part].astype(np.int32)}


def _sprites(split):
    """White shapes with the factors of dSprites, drawn when they are looked at; 10,000 of the
    737,280, in a fixed random order, test."""
    factors = sprites.split(known_split("sprites", split, ("train", "test")))
    return {IMAGE: sprites.Sprites(factors), "factors": factors}


def _one_class(source, label, split):
    """The images of a label in "train"; all of another split, with "anomaly" 1 where they have
    another label."""
    arrays = source(split)
    if "label" not in arrays or int(label) not in arrays["label"]:
        raise ValueError(f"The normal label must be one of the images'. Received: {label}.")
    anomaly = (arrays["label"] != int(label)).astype(np.int32)
    if split != "train":
        return {**arrays, "anomaly": anomaly}
    return {name: array[anomaly == 0] for name, array in arrays.items()}


EMBEDDED = {"digits": _digits, "sprites": _sprites, **tables.EMBEDDED, **missing.EMBEDDED}
# What takes a file that lies in the data directory, or is downloaded.
FILES = {"adult": tables.adult, "worm_neurons": worm_neurons}


def _from_arrays(arrays, split):
    if is_frame(arrays):
        return tables.part_of(arrays, "the table", split)
    arrays = arrays if isinstance(arrays, dict) else {IMAGE: arrays}
    if IMAGE not in arrays:
        raise ValueError(f"A dict of data must hold 'image'. Received: keys {sorted(arrays)}.")
    known_split("arrays", split, ("all",))
    arrays = {key: np.asarray(array) for key, array in arrays.items()}
    arrays[IMAGE] = checked_images(arrays[IMAGE], "The arrays")
    num_images = len(arrays[IMAGE])
    if "label" in arrays:
        arrays["label"] = checked_labels(arrays["label"], num_images, "The arrays")
    for key, array in arrays.items():
        if array.ndim == 0 or len(array) != num_images:
            raise ValueError(
                f"The arrays: all must have as many rows as the images, {num_images}. Received: "
                f"{key!r} of shape {array.shape}."
            )
    return arrays


# Training and validation are slices of one split, and decoding it takes seconds.
@functools.lru_cache(maxsize=2)
def _from_tfds(name, split, data_dir):
    need("data", "Data sets of TFDS")
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    known_split(name, split, builder.info.splits)
    features = _features(builder, name)
    arrays = _read(builder, split, features)
    if builder.name in OF_ZEROS_AND_ONES:
        arrays[IMAGE] = arrays[IMAGE] * np.uint8(255)
    arrays[IMAGE] = checked_images(arrays[IMAGE], f"Data set {name!r}")
    for key in features[1:]:
        arrays[key] = checked_labels(
            arrays[key], len(arrays[IMAGE]), f"{key!r} of data set {name!r}"
        )
    factors = [key for key in features if key.startswith("label_")]  # of dsprites and shapes3d
    if factors:
        arrays["factors"] = np.stack([arrays.pop(key) for key in factors], axis=-1)
    for array in arrays.values():
        array.flags.writeable = False  # they are shared between calls
    return arrays


def _read(builder, split, features):
    """The features of these names, as arrays. TFDS's order of the examples is its own, not that of
    the original files."""
    import tensorflow_datasets as tfds

    decoders = {
        key: tfds.decode.SkipDecoding() for key in builder.info.features if key not in features
    }
    columns = {key: [] for key in features}
    for batch in builder.as_dataset(
        split=split, batch_size=1000, decoders=decoders, shuffle_files=False
    ).as_numpy_iterator():
        for key, column in columns.items():
            column.append(batch[key])
    return {key: np.concatenate(column) for key, column in columns.items()}


def _builder(name, data_dir):
    need("data", "Data sets of TFDS")
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


def _features(builder, name):
    """Names of the features to read: the image, then "label" and "label_*" as far as they are class
    numbers."""
    features = builder.info.features
    if IMAGE not in features:
        raise ValueError(f"Data set {name!r} has no images. Its features are {sorted(features)}.")
    shape = features[IMAGE].shape
    if None in shape:
        raise ValueError(
            "All images of a data set must have one size. "
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
