"""Images of a folder of pictures."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from zoo.data.examples import IMAGE, checked_images, known_split, with_channel
from zoo.data.pictures import has_palette, is_picture, read_picture, suffixes

logger = logging.getLogger("zoo")

HINT = " A folder of images holds <split>/*.png, or <split>/<class>/*.png."


def read_folder(path: Path, split: str) -> dict[str, np.ndarray]:
    """`<folder>/<split>/*.png`, or `<folder>/<split>/<class>/*.png` with the numbers of the classes
    as labels.

    Pictures are those of every suffix that Pillow reads, and have one size. The classes are
    numbered over all splits, so that a class has one number in each: in the order of their names,
    or of the numbers where all names are numbers. Hidden files are not looked at; what is left out
    besides is logged.

    Returns:
        Dict of images, uint8 [N, H, W, C] and, where there are classes, "label" int32 [N]. The
        order is that of the paths.

    Raises:
        ValueError: If there is no such split, it holds no pictures or folders within classes, or a
            picture is not like the others.
    """
    splits = [child.name for child in _visible(path) if child.is_dir()]
    known_split(str(path), split, splits, HINT)
    files = _pictures(path / split)
    images = _of_one_kind(files, [read_picture(file) for file in files])
    for file, image in zip(files, images, strict=True):
        _check_like_first(files[0], images[0], file, image)
    images = checked_images(np.stack(images), f"The folder {str(path / split)!r}")
    arrays = {IMAGE: with_channel(images)}
    if _has_classes(files, path / split):
        numbers = _class_numbers(path, splits)
        arrays["label"] = np.array([numbers[file.parent.name] for file in files], np.int32)
    return arrays


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


def _class_numbers(path, splits):
    """Name of a class -> its number; a class is a folder that holds pictures in some split."""
    folders = [folder for split in splits for folder in _visible(path / split) if folder.is_dir()]
    names = {
        folder.name for folder in folders if any(is_picture(file) for file in _visible(folder))
    }
    # "10" comes after "9".
    order = (lambda name: (int(name), name)) if all(name.isdecimal() for name in names) else None
    return {name: number for number, name in enumerate(sorted(names, key=order))}


def _of_one_kind(files, images):
    """The images, where one of a palette that happens to use greys alone has three channels as
    those in colours have."""
    if len({image.ndim for image in images}) == 1:
        return images
    return [
        np.stack([image] * 3, axis=-1) if image.ndim == 2 and has_palette(file) else image
        for file, image in zip(files, images, strict=True)
    ]


def _check_like_first(first_file, first, file, image):
    if image.ndim != first.ndim:
        received = f"{_kind(first)} ({first_file.name}) and {_kind(image)} ({file.name})"
        raise ValueError(
            f"All images of a folder must be grey, or all in colour. Received: {received}. "
            "Convert them to one mode."
        )
    if image.shape != first.shape:
        received = f"{first.shape} ({first_file.name}) and {image.shape} ({file.name})"
        raise ValueError(
            f"All images of a folder must have one size. Received: {received}. "
            "Resize or crop them to one."
        )


def _kind(image):
    return "grey" if image.ndim == 2 else "colour"
