"""One picture of a file as pixels."""

import functools
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.extras import need

need("data", "Pictures")

from PIL import Image, ImageOps

EXPECTED = "A picture must be grey or RGB, with 8 bits, opaque, and of one frame"
# How Pillow names the samples of 16 bits that it would cut to 8; "BGR;16" is a pixel of 16 bits.
SIXTEEN_BITS = re.compile(r"\b(L|LA|RGB|RGBA|RGBX);16[BLN]\b")
DEEP_MODES = ("I", "F")
PALETTES = ("P", "PA")
READABLE_MODES = ("1", "L", "LA", *PALETTES, "RGB", "RGBA", "RGBX")


@functools.cache
def suffixes() -> frozenset[str]:
    """Those of the files that Pillow opens, in lower case."""
    return frozenset(
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    )


def is_picture(file: Path) -> bool:
    return file.suffix.lower() in suffixes()


def read_picture(
    file: Path | BinaryIO, name: str | None = None, over_white: bool = False
) -> np.ndarray:
    """uint8 [H, W] of a grey picture, [H, W, 3] of one in colours, upright as its EXIF data say. A
    palette of greys is grey.

    Args:
        file: Path of the picture, or its bytes as a file.
        name: What it is called in messages; None: its path.
        over_white: Whether transparent pixels are laid over white; otherwise none may be.

    Raises:
        ValueError: If it cannot be read, or is of a kind that has no 8-bit grey or RGB pixels.
    """
    name = str(file) if name is None else name
    try:
        with Image.open(file) as image:
            refusal, pixels = _refusal(image), None
            if refusal is None:
                ImageOps.exif_transpose(image, in_place=True)
                pixels = _opaque(image, over_white)
    except Exception as error:  # Pillow's readers have no common class of errors
        raise ValueError(
            f"The picture {name!r} cannot be read: {_reason(error, file, name)} "
            f"({type(error).__name__}). Restore or remove it."
        ) from None
    if pixels is None:
        refusal = refusal or (
            "with transparent pixels. Lay it over a background, or say how many `channels` there "
            "are: it is laid over white."
        )
        raise ValueError(f"{EXPECTED}. Received: {name!r}, {refusal}")
    return pixels


def _reason(error, file, name):
    """What Pillow says, where it would name a file in memory by its address."""
    return str(error) if isinstance(file, Path) else str(error).replace(repr(file), repr(name))


def _refusal(image):
    """What the picture is and what to do about it, or None."""
    num_frames = getattr(image, "n_frames", 1)
    # A photograph whose other frames are previews of it.
    if num_frames > 1 and image.format != "MPO":
        return f"with {num_frames} frames. Save each in a file of its own."
    if _is_deep(image):
        return (
            f"with more than 8 bits (mode {image.mode!r}). Scale its pixels to 0 ... 255, or "
            "save floats in [0, 1] as .npz."
        )
    if image.mode not in READABLE_MODES:
        return f"in colours of mode {image.mode!r}. Convert it to RGB."
    return None


def _is_deep(image):
    """Whether the file has more bits than the pixels that Pillow gives, or pixels of more than
    8."""
    if image.mode.split(";")[0] in DEEP_MODES or SIXTEEN_BITS.search(str(image.tile)):
        return True
    if not image.tile:
        return False
    # (codec, extents, offset, arguments): SGI's has 16 bits by its name, those of PPM end in the
    # largest level.
    codec, *_, arguments = image.tile[0]
    return codec == "SGI16" or (codec in ("ppm", "ppm_plain") and arguments[-1] > 255)


def _opaque(image, over_white):
    """Pixels of a picture, or None where some are transparent."""
    mode = image.mode
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if over_white:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        elif image.getchannel("A").getextrema()[0] < 255:
            return None
    kind = "L" if image.mode in ("1", "L") else "RGB"
    pixels = np.asarray(image if image.mode == kind else image.convert(kind))
    is_grey = mode in ("1", "L", "LA") or (mode in PALETTES and np.all(pixels == pixels[..., :1]))
    return pixels[..., 0] if is_grey and pixels.ndim == 3 else pixels


def has_palette(file: Path | BinaryIO) -> bool:
    """Whether a picture that is grey could as well have had colours."""
    with Image.open(file) as image:
        return image.mode in PALETTES or image.format == "GIF"
