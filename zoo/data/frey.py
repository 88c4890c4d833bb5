"""Frey faces: a man's face in 1,965 frames of a film, 28x20 grey pixels each.

Roweis & Saul, "Nonlinear dimensionality reduction by locally linear embedding", Science 290, 2000;
the file is that of https://github.com/jmtomczak/vae_vampprior (MIT).
"""

import functools
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.examples import IMAGE, known_split
from zoo.data.parts import PARTS, is_in_part
from zoo.extras import need

SPLITS = (*PARTS, "all")
SHAPE = (1965, 28, 20, 1)
URL = "https://github.com/jmtomczak/vae_vampprior/raw/master/datasets/Freyfaces/freyfaces.pkl"
FILES = ("frey_faces.npz", "freyfaces.pkl")
# Of the pixels, in the film's order.
SHA256 = "2438ba4f0d2a6bd8bac43de756141eaa33c8d248dd613d464bdb1210d9b7af78"
# What a pickled array is made of; nothing else in a file is run.
PARTS_OF_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


def frey_faces(split: str, data_dir: str | Path | None = None) -> dict[str, Any]:
    """The frames of a split: "train" (80 %), "validation" and "test" (10 % each), by a checksum of
    their numbers, or "all".

    Neighbours in the film are nearly alike, so that a test frame has others like it in training: a
    number of them is of frames in between and not of another film.

    Args:
        split: Name of a split.
        data_dir: Directory that holds `frey_faces.npz` or `freyfaces.pkl`. Where it is in neither
            form it is downloaded.

    Returns:
        Dict of "image" uint8 [N, 28, 20, 1].

    Raises:
        ValueError: If there is no such split, or the file cannot be had or is another one.
    """
    known_split("frey_faces", split, SPLITS)
    directory = None if data_dir is None else Path(data_dir)
    there = [directory / name for name in FILES if directory and (directory / name).is_file()]
    images = read_frames(there[0] if there else _downloaded(directory))
    inside = is_in_part((f"row {number}" for number in range(len(images))), split)
    return {IMAGE: images[inside]}


@functools.lru_cache(maxsize=1)
def read_frames(path: Path) -> np.ndarray:
    """All frames of a file: uint8 [1965, 28, 20, 1], in the film's order.

    Raises:
        ValueError: If it holds anything else.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                (images,) = (archive[name] for name in archive.files)
        else:
            with path.open("rb") as file:
                images = _Arrays(file, encoding="latin1").load()
        images = np.asarray(images).reshape(SHAPE)
        images = np.round(images * 255) if images.max() <= 1 else images
        images = images.astype(np.uint8)
    except (OSError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(f"{str(path)!r} does not hold the Frey faces: {error}.") from None
    if hashlib.sha256(images.tobytes()).hexdigest() != SHA256:
        raise ValueError(
            f"{str(path)!r} holds other pixels than the Frey faces that are known. Remove it, to "
            "download them."
        )
    return images


class _Arrays(pickle.Unpickler):
    """Reads a pickled array, and refuses whatever else could be run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PARTS_OF_ARRAYS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return super().find_class(module, name)


def _downloaded(directory):
    need("tables", "Data that are downloaded")
    import pooch

    try:
        cache = directory or pooch.os_cache("vae-zoo")
        # Its pixels are checked once they are read.
        return Path(pooch.retrieve(URL, None, fname=FILES[1], path=cache, progressbar=False))
    except Exception as error:  # of sockets, of servers
        reason = " ".join(str(error).split())
        raise ValueError(
            f"'frey_faces' is not in the data directory and cannot be downloaded ({reason}). Put "
            f"{FILES[1]} there by hand from {URL}, and say where with --data-dir or ZOO_DATA_DIR."
        ) from None
