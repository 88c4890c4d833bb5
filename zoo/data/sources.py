"""Where data come from: from a name to a `Source`."""

import functools
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from zoo.data import cells, frey, missing, sprites, tables
from zoo.data.archives import read_archive, splits_of_archive
from zoo.data.examples import IMAGE, checked_images, checked_labels, known_split
from zoo.data.form import AS_THEY_ARE, Form
from zoo.data.idx import read_idx, splits_of_idx
from zoo.extras import need
from zoo.observations.frames import is_frame

# "mnist", "mnist:3.0.1", "emnist/letters", "emnist/letters:3.1.0"
TFDS_NAME = re.compile(r"\w+(/[\w.-]+)?(:[\w.*]+)?")
TABLE_FILE = re.compile(r"\.(csv(\.gz)?|parquet)$")
# "train.tfrecord", "train-00000-of-00010.tfrecords", "train.tfrecord-00000-of-00010".
RECORDS = re.compile(r"(?P<split>.*?)([.-].*)?[.]tfrecords?(-\d+-of-\d+)?", re.IGNORECASE)
SPLITS = {"train", "validation", "test"}
# "mnist@4": of a set with labels, one is normal.
ONE_CLASS = re.compile(r"(?P<name>[\w/.:*-]+)@(?P<label>\d+)")


class Source(NamedTuple):
    """Data that have splits.

    Attributes:
        read: Function (name of a split) -> dict of arrays, images among them as `OnDisk` where they
            are read when they are looked at. "name" holds the names of examples that have some.
        splits: Function () -> the names of the splits.
    """

    read: Callable[[str], dict[str, Any]]
    splits: Callable[[], Collection[str]]


def find(
    name: object,
    data_dir: str | Path | None = None,
    form: Form = AS_THEY_ARE,
) -> Source:
    """The source of this name; what a name can be is told in `zoo.data.load`.

    Args:
        name: The name, or the data themselves.
        data_dir: As in `zoo.data.load`.
        form: What becomes of pictures that are decoded.

    Raises:
        ValueError: If it is a file or a folder that is not there or of another kind; an unknown
            name of TFDS is found out by the source.
    """
    if not isinstance(name, (str, Path)):
        return Source(functools.partial(_from_arrays, name), lambda: _splits_of_arrays(name))
    if isinstance(name, str) and (one_class := ONE_CLASS.fullmatch(name)):
        whole = find(one_class["name"], data_dir, form)
        return Source(functools.partial(_one_class, whole.read, one_class["label"]), whole.splits)
    data_dir = data_dir or default_data_dir()
    if isinstance(name, str) and name in EMBEDDED:
        return EMBEDDED[name]
    if isinstance(name, str) and name in FILES:
        read, splits = FILES[name]
        return Source(functools.partial(read, data_dir=data_dir), lambda: splits)
    path = Path(name)
    if (of_path := _of_path(path, form)) is not None:
        return of_path
    could_be_tfds = isinstance(name, str) and TFDS_NAME.fullmatch(name) is not None
    if path.is_dir() and not could_be_tfds:
        raise ValueError(
            f"{str(name)!r} was prepared by TFDS. Pass the data set's name, and the directory "
            "that holds it as `data_dir`."
        )
    if could_be_tfds:
        from zoo.data.prepared import read_prepared, splits_of_prepared

        return Source(
            lambda split: read_prepared(str(name), split, data_dir, form),
            lambda: splits_of_prepared(str(name), data_dir),
        )
    raise ValueError(f"There is no folder or file {str(name)!r}.")


def _of_path(path, form):
    """The source of a file or folder, or None where it is neither, or of TFDS."""
    if path.suffix.lower() == ".npz":
        return Source(functools.partial(read_archive, path), lambda: splits_of_archive(path))
    if TABLE_FILE.search(path.name.lower()):
        return Source(functools.partial(tables.read_file, path), lambda: tables.SPLITS)
    if path.suffix.lower() == ".npy" and path.is_file():
        return Source(lambda split: _from_arrays(_map(path), split), lambda: ("all",))
    if (path.is_file() or path.is_dir()) and splits_of_idx(path):
        return Source(functools.partial(read_idx, path), lambda: splits_of_idx(path))
    if records := _records_of(path):
        return Source(functools.partial(_from_records, path, records, form), lambda: records)
    if path.is_file():
        raise ValueError(
            "Data are a folder of images, an .npz, .npy, IDX or .tfrecord file, or a table as .csv "
            f"or .parquet. Received: the file {str(path)!r}. `np.savez` writes an .npz file."
        )
    if path.is_dir() and not _is_prepared_by_tfds(path):
        from zoo.data.folders import read_folder, splits_of_folder

        return Source(
            lambda split: read_folder(path, split, form),
            lambda: splits_of_folder(path),
        )
    return None


def _from_records(path, files, form, split):
    from zoo.data.records import read_records

    return read_records(files[known_split(str(path), split, files)], form)


def _map(path):
    """An array that stays in its file."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{str(path)!r} is not an .npy file of numbers: {error} ({type(error).__name__})."
        ) from None


def _records_of(path):
    """Split -> files of records, of one file or of a directory of them: what stands before
    "-00000-of-00010" or the suffix is the split, where it is the name of one, and otherwise
    "all"."""
    if path.is_dir() and _is_prepared_by_tfds(path):
        return {}
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    found = {}
    for file in files:
        if match := RECORDS.fullmatch(file.name):
            split = match["split"].lower()
            found.setdefault(split if split in SPLITS else "all", []).append(file)
    return found


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


EMBEDDED = {
    "digits": Source(_digits, lambda: ("train", "test")),
    "sprites": Source(_sprites, lambda: ("train", "test")),
    **{name: Source(read, lambda: tables.SPLITS) for name, read in tables.EMBEDDED.items()},
    **{name: Source(read, lambda: ("all",)) for name, read in missing.EMBEDDED.items()},
}
# What takes a file that lies in the data directory, or is downloaded; and its splits.
FILES = {
    "adult": (tables.adult, tables.SPLITS),
    "frey_faces": (frey.frey_faces, frey.SPLITS),
    "worm_neurons": (cells.worm_neurons, tuple(cells.PARTS)),
}


def _splits_of_arrays(arrays):
    return tables.SPLITS if is_frame(arrays) else ("all",)


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
