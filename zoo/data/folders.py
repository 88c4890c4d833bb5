"""Images of a folder of pictures."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.encoded import as_images
from zoo.data.examples import IMAGE, known_split
from zoo.data.form import AS_THEY_ARE, Form
from zoo.data.parts import PARTS, is_in_part
from zoo.data.pictures import is_picture, suffixes

logger = logging.getLogger("zoo")

HINT = " A folder of images holds <split>/*.png, or <split>/<class>/*.png."
# Names of folders that say that folders are splits, and not classes.
SPLITS = {"train", "training", "test", "testing", "validation", "valid", "val", "dev", "all"}


class Files:
    """Pictures in files.

    Args:
        paths: At least one.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, number: int) -> str:
        return str(self.paths[number])

    def open(self, number: int) -> Path:
        return self.paths[number]


def splits_of_folder(path: Path) -> tuple[str, ...]:
    """The names of the folders of splits. Where there are none the pictures are divided, by a
    checksum of their names: into 80 % "train", 10 % "validation" and 10 % "test"; or "all"."""
    names = [child.name for child in _visible(path) if child.is_dir()]
    return tuple(names) if SPLITS & set(names) else (*PARTS, "all")


def read_folder(path: Path, split: str, form: Form = AS_THEY_ARE) -> dict[str, Any]:
    """`<folder>/<split>/*.png`, or `<folder>/<split>/<class>/*.png` with the numbers of the classes
    as labels. Where no folder is named like a split, the same without `<split>`.

    Pictures are those of every suffix that Pillow reads. The classes are numbered over all splits,
    so that a class has one number in each: in the order of their names, or of the numbers where all
    names are numbers. Hidden files are not looked at; what is left out besides is logged.

    Args:
        path: The folder.
        split: One of `splits_of_folder`.
        form: What becomes of a picture; by default all have one size.

    Returns:
        Dict of images, `OnDisk` [N, H, W, C], "name" [N], the path of each within the folder, and,
        where there are classes, "label" int32 [N]. The order is that of the paths.

    Raises:
        ValueError: If there is no such split, it holds no pictures or folders within classes, or
            the first picture cannot be read.
    """
    splits = splits_of_folder(path)
    known_split(str(path), split, splits, HINT)
    divided = splits == (*PARTS, "all") and not (path / "all").is_dir()
    directory = path if divided else path / split
    files = _pictures(directory)
    with_classes = _has_classes(files, directory)
    if divided:
        names = [file.relative_to(path).as_posix() for file in files]
        inside = is_in_part(names, split)
        files = [file for file, kept in zip(files, inside, strict=True) if kept]
        if not files:
            raise ValueError(
                f"Split {split!r} of {str(path)!r} is empty: its {len(names)} pictures are too few "
                "to be divided. Make folders `train`, `validation` and `test`."
            )
    images, kept = as_images(Files(files), form)
    files = [files[number] for number in kept]
    examples = {IMAGE: images, "name": np.array([str(file.relative_to(path)) for file in files])}
    if with_classes:
        numbers = _class_numbers([path] if divided else [path / name for name in splits])
        examples["label"] = np.array([numbers[file.parent.name] for file in files], np.int32)
    return examples


def _visible(directory):
    return [child for child in directory.iterdir() if not child.name.startswith(".")]


def _pictures(directory):
    """The pictures below a directory, sorted by path."""
    files = [file for file in directory.rglob("*") if file.is_file()]
    files = [
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(directory).parts)
    ]
    others = sorted(file for file in files if not is_picture(file))
    if others:
        kinds = ", ".join(
            f"{count:,} {suffix or 'without a suffix'}"
            for suffix, count in Counter(file.suffix for file in others).items()
        )
        logger.warning(
            "Left out of %r, as no pictures: %s, such as %r.", str(directory), kinds, others[0].name
        )
    pictures = sorted(file for file in files if is_picture(file))
    if not pictures:
        raise ValueError(
            f"There are no images ({', '.join(sorted(suffixes()))}) in {str(directory)!r}. "
            f"Received: {len(others)} other files."
        )
    return pictures


def _has_classes(files, directory):
    """Whether the files lie in folders of classes."""
    depths = {len(file.relative_to(directory).parts): file for file in files}
    if max(depths) > 2:
        raise ValueError(
            f"Classes hold pictures and no folders. Received: {str(depths[max(depths)])!r}.{HINT}"
        )
    if len(depths) > 1:
        received = f"{str(depths[1])!r} and {str(depths[2])!r}"
        raise ValueError(
            "Either all pictures of a split lie in folders of classes, or none. Received: "
            f"{received}.{HINT}"
        )
    return 2 in depths


def _class_numbers(directories):
    """Name of a class -> its number; a class is a folder that holds pictures in one of the
    directories of splits."""
    folders = [folder for each in directories for folder in _visible(each) if folder.is_dir()]
    names = {
        folder.name for folder in folders if any(is_picture(file) for file in _visible(folder))
    }
    # "10" comes after "9".
    order = (lambda name: (int(name), name)) if all(name.isdecimal() for name in names) else None
    return {name: number for number, name in enumerate(sorted(names, key=order))}
