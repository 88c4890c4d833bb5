"""Encoded pictures, in files or in records, as images."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from zoo import machine
from zoo.data.form import Form
from zoo.data.pictures import has_palette, read_picture
from zoo.observations.on_disk import OnDisk

logger = logging.getLogger("zoo")

# That are named, of those that are left out.
NAMED = 3


class Encoded(Protocol):
    """Pictures that are not decoded yet."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """What a picture is called in messages."""
        ...

    def open(self, number: int) -> Path | BinaryIO:
        """A picture as Pillow opens it."""
        ...


def as_images(pictures: Encoded, form: Form) -> tuple[OnDisk, np.ndarray]:
    """Images of one shape, which are decoded when they are looked at.

    Where the form leaves the channels or the size to the pictures, all have those of the first. A
    picture of a palette that happens to use greys alone goes with colours.

    Args:
        pictures: At least one.
        form: What becomes of them. To leave out the corrupt ones, all are decoded once.

    Returns:
        The images [N, H, W, C], and the numbers of the pictures that they are of, int [N].

    Raises:
        ValueError: If the first picture cannot be read. When images are looked at: if one cannot be
            read, or is not like the first.
    """
    numbers = np.arange(len(pictures))
    if form.skip_corrupt:
        numbers = np.array(_readable(pictures, form), np.int64)
    shape = _shape_of_first(pictures, form, numbers)
    like = pictures.name(int(numbers[0]))

    def read(chosen):
        return np.stack([_image(pictures, int(number), form, shape, like) for number in chosen])

    return OnDisk(read, shape, numbers), numbers


def _pixels(pictures, number, form):
    return read_picture(
        pictures.open(number), pictures.name(number), over_white=form.channels is not None
    )


def _shape_of_first(pictures, form, numbers):
    """The shape of an image: [H, W, C]."""
    first = _pixels(pictures, int(numbers[0]), form)
    if form.channels is None and first.ndim == 2:
        # It may be one of a palette: the first of another kind tells.
        for number in numbers:
            if not has_palette(pictures.open(int(number))):
                pixels = _pixels(pictures, int(number), form)
                first = first if pixels.ndim == 2 else np.stack([first] * 3, axis=-1)
                break
    return form.shape_of(first.shape)


def _image(pictures, number, form, shape, like):
    pixels = _pixels(pictures, number, form)
    if form.channels is None:
        grey = pixels.ndim == 2
        if grey and shape[2] == 3 and has_palette(pictures.open(number)):
            pixels = np.stack([pixels] * 3, axis=-1)
        elif grey != (shape[2] == 1):
            raise ValueError(
                "All images must be grey, or all in colour. Received: "
                f"{_kind(shape[2] == 1)} ({like}) and {_kind(grey)} ({pictures.name(number)}). "
                "Say how many `channels` there are, 1 or 3, or convert them to one mode."
            )
    image = form(pixels, pictures.name(number))
    if image.shape != shape:
        raise ValueError(
            f"All images must have one size. Received: {shape[:2]} ({like}) and "
            f"{image.shape[:2]} ({pictures.name(number)}). Say which by `image_size`, or resize "
            "them."
        )
    return image


def _kind(grey):
    return "grey" if grey else "colour"


def _readable(pictures, form):
    """The numbers of the pictures that can be decoded. The others are told."""

    def reason(number):
        try:
            _pixels(pictures, number, form)
        except ValueError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(machine.cores()) as pool:
        reasons = list(pool.map(reason, range(len(pictures))))
    refused = [text for text in reasons if text is not None]
    if len(refused) == len(reasons):
        raise ValueError(f"No picture can be read. {refused[0]}")
    if refused:
        logger.warning(
            "Left out, as they cannot be read: %d of %d pictures. %s",
            len(refused),
            len(reasons),
            " ".join(refused[:NAMED]),
        )
    return [number for number, text in enumerate(reasons) if text is None]
