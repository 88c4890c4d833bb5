"""Images of IDX files, the format in which MNIST and its kin are published.

LeCun, Cortes & Burges, "The MNIST database of handwritten digits",
http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.examples import IMAGE, checked_images, checked_labels, known_split, with_channel

# "train-images-idx3-ubyte.gz", "emnist-letters-test-images-idx3-ubyte".
IMAGES = re.compile(r"(?P<start>.*?)(?P<split>train|t10k|test)-images[.-]idx(3|4)-ubyte(\.gz)?")
SPLITS = {"train": "train", "t10k": "test", "test": "test"}
UBYTE = 0x08


def splits_of_idx(path: Path) -> dict[str, Path]:
    """Split -> file of its images, of a directory of IDX files or of one of them."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    found = {}
    for file in files:
        match = IMAGES.fullmatch(file.name)
        if match and file.is_file():
            found.setdefault(SPLITS[match["split"]], file)
    return found


def read_idx(path: Path, split: str) -> dict[str, Any]:
    """The images of a split, and their labels where a file of these stands beside.

    Args:
        path: Directory of IDX files, packed by gzip or not, or one file of images.
        split: "train" or "test".

    Returns:
        Dict of "image" uint8 [N, H, W, C], and "label" int32 [N].

    Raises:
        ValueError: If there is no such split, or a file is damaged or of another type.
    """
    files = splits_of_idx(path)
    file = files[known_split(str(path), split, files)]
    images = checked_images(_array(file), repr(str(file)))
    examples = {IMAGE: with_channel(images)}
    stem = file.name.removesuffix(".gz").replace("-images", "-labels")
    for name in {stem, re.sub(r"idx[34]", "idx1", stem)}:
        for labels in (file.parent / name, file.parent / f"{name}.gz"):
            if labels.is_file():
                examples["label"] = checked_labels(_array(labels), len(images), repr(str(labels)))
    return examples


def _array(file):
    """Two zero bytes, the type, the number of dimensions, their sizes, the numbers."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        zeros, kind, rank = struct.unpack(">HBB", content[:4])
        sizes = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise ValueError(
            f"{str(file)!r} is not an IDX file: {error} ({type(error).__name__})."
        ) from None
    numbers = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if zeros != 0 or kind != UBYTE or len(numbers) != np.prod(sizes):
        raise ValueError(
            f"An IDX file of images or labels holds bytes, as many as its sizes say. Received: "
            f"{str(file)!r} of type {kind:#04x}, sizes {sizes} and {len(numbers):,} bytes."
        )
    return numbers.reshape(sizes)
