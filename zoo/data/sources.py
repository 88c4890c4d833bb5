"""Where images come from. A source is a function from the name of a split to a dict of whole arrays."""

import functools
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from zoo import sprites

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
OFFLINE_RECIPE = "vae_digits"


def find(name, data_dir=None):
    """The source of this name; what a name can be is told in `zoo.data.load`."""
    if not isinstance(name, (str, Path)):
        return lambda split: _from_arrays(name, split)
    if name in EMBEDDED:
        return EMBEDDED[name]
    path = Path(name)
    if path.suffix == ".npz":
        return lambda split: _from_npz(path, split)
    if path.is_dir():
        return lambda split: _from_folder(path, split)
    if os.sep in str(name):
        raise ValueError(f"There is no folder or .npz file {str(name)!r}.")
    return lambda split: _from_tfds(str(name), split, data_dir or default_data_dir())


def shown(name):
    """A name for messages."""
    return repr(str(name)) if isinstance(name, (str, Path)) else "the arrays"


def default_data_dir():
    return os.environ.get("ZOO_DATA_DIR")


def _digits(split):
    """scikit-learn's digits (UCI ML hand-written digits): 1,797 images 8x8 in 17 grey levels; the first 1,500 train, the others test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    parts = {"train": slice(0, 1500), "test": slice(1500, None)}
    part = parts[_known_split("digits", split, parts)]
    return {"image": images[part], "label": digits.target[part].astype(np.int32)}


def _sprites(split):
    """White shapes with the factors of dSprites, drawn when they are looked at; 10,000 of the 737,280, in a fixed random order, test."""
    factors = sprites.split(_known_split("sprites", split, ("train", "test")))
    return {"image": sprites.Sprites(factors), "factors": factors}


EMBEDDED = {"digits": _digits, "sprites": _sprites}


def _from_arrays(arrays, split):
    arrays = arrays if isinstance(arrays, dict) else {"image": np.asarray(arrays)}
    if "image" not in arrays:
        raise ValueError(f"A dict of data must hold 'image'. Received: keys {sorted(arrays)}.")
    _known_split("arrays", split, ("all",))
    return {key: np.asarray(array) for key, array in arrays.items()}


def _from_npz(path, split):
    """Arrays named like the splits, with `<split>_label` beside them; or x_<split> and y_<split>, as in Keras's mnist.npz."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise ValueError(f"There is no file {str(path)!r}.") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not an .npz file of plain arrays: {error}.") from None
    names = {key.removeprefix("x_"): key for key in arrays if not key.endswith("_label") and not key.startswith("y_")}
    images = arrays[names[_known_split(str(path), split, names)]]
    if images.dtype != np.uint8:
        raise ValueError(f"Images in {str(path)!r} must be uint8 in 0 ... 255. Received: dtype {images.dtype}.")
    label = arrays.get(f"{split}_label", arrays.get(f"y_{split}"))
    return {"image": _with_channel(images)} | ({} if label is None else {"label": label.astype(np.int32)})


def _from_folder(path, split):
    """`<folder>/<split>/*.png`, or `<folder>/<split>/<class>/*.png` with the classes, sorted, as labels. All images of one size."""
    from PIL import Image

    _known_split(str(path), split, sorted(child.name for child in path.iterdir() if child.is_dir()))
    files = sorted(file for file in (path / split).rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"There are no images ({', '.join(IMAGE_SUFFIXES)}) in {str(path / split)!r}.")
    images = []
    for file in files:
        with Image.open(file) as image:
            images.append(np.asarray(image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB")))
        if images[-1].shape != images[0].shape:
            sizes = f"{images[0].shape} ({files[0].name}) and {images[-1].shape} ({file.name})"
            raise ValueError(f"All images of a folder must have one size. Received: {sizes}.")
    arrays = {"image": _with_channel(np.stack(images))}
    classes = sorted({file.parent.name for file in files if file.parent != path / split})
    if classes and all(file.parent != path / split for file in files):
        arrays["label"] = np.array([classes.index(file.parent.name) for file in files], np.int32)
    return arrays


@functools.lru_cache(maxsize=2)  # training and validation are slices of one split, and decoding it takes seconds
def _from_tfds(name, split, data_dir):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        hint = str(error).strip().splitlines()[0]
        raise ValueError(f"No data set is named {name!r}: it is not 'digits', not a file or folder, and TFDS says: {hint}") from None
    if not builder.is_prepared():
        _prepare(builder, name)
    _known_split(name, split, builder.info.splits)
    if "image" not in builder.info.features:
        raise ValueError(f"Data set {name!r} has no images. Its features are {sorted(builder.info.features)}.")
    # TFDS's order of the examples is its own, not that of the original files.
    features = list(builder.info.features)
    factors = [key for key in features if key.startswith("label_")]  # of dsprites and shapes3d
    wanted = [key for key in features if key in ("image", "label")] + factors
    decoders = {key: tfds.decode.SkipDecoding() for key in features if key not in wanted}
    columns = {key: [] for key in wanted}
    for batch in builder.as_dataset(split=split, batch_size=1000, decoders=decoders, shuffle_files=False).as_numpy_iterator():
        for key, column in columns.items():
            column.append(batch[key])
    arrays = {key: np.concatenate(column) for key, column in columns.items()}
    arrays = {key: array if key == "image" else array.astype(np.int32) for key, array in arrays.items()}
    if factors:
        arrays["factors"] = np.stack([arrays.pop(key) for key in factors], axis=-1)
    if name == "dsprites":
        arrays["image"] = arrays["image"] * np.uint8(255)  # its file holds 0 and 1
    for array in arrays.values():
        array.flags.writeable = False  # they are shared between calls
    return arrays


def _prepare(builder, name):
    """Prepares a TFDS data set from raw files on disk, or from the network where there is one.

    TFDS itself would retry a missing file for minutes, so it is asked only once every file is known to be within reach.
    """
    import tensorflow_datasets as tfds

    root = Path(builder.data_dir).parents[1]
    manual_dir = root / "downloads" / "manual" / name
    missing = {}  # URL -> the name that a file put there by hand has
    for url, info in (builder.url_infos or {}).items():
        if not (manual_dir / (info.filename or "")).is_file():
            missing[url] = info.filename
    unreachable = sorted({urlsplit(url).hostname for url in missing if not _is_reachable(urlsplit(url).hostname)})
    if unreachable or not builder.url_infos:
        why = f"{', '.join(unreachable)} cannot be reached" if unreachable else "TFDS lists no files to download"
        files = ", ".join(sorted(filter(None, missing.values())))
        raise ValueError(
            f"Data set {name!r} is not in {root} and cannot be downloaded ({why}). Say where it is with --data-dir or ZOO_DATA_DIR, "
            f"put its raw files ({files}) into {manual_dir}, or run the recipe {OFFLINE_RECIPE!r}, which needs no download."
        )
    manual = {"manual_dir": str(manual_dir)} if manual_dir.is_dir() else {}
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False, **manual))


def _is_reachable(host, port=443, seconds=3):
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def _known_split(name, split, splits):
    if split not in splits:
        raise ValueError(f"{name!r} has no split {split!r}. Its splits are {', '.join(sorted(splits))}.")
    return split


def _with_channel(images):
    """[N, H, W] -> [N, H, W, 1]."""
    return images[..., None] if images.ndim == 3 else images
