"""How pictures become images."""

import dataclasses

import numpy as np

from zoo.extras import need
from zoo.recipe import Dataset


@dataclasses.dataclass(frozen=True)
class Form:
    """The size and channels that pictures are given, first the crop, then the size; and when they
    are read.

    Attributes:
        crop: Side of the square that is cut from the middle, in pixels; None: nothing is cut.
        image_size: (height, width). The picture is scaled until it covers them, by Pillow's
            bicubic filter, which averages where it shrinks, and the middle is kept. None: as it is.
        channels: 1 (by Pillow's luma) or 3, over white where a picture is transparent; None: as
            they are, and none may be transparent.
        skip_corrupt: Whether pictures that cannot be decoded are left out.
        in_memory: Whether all are read at once; None: where that takes a quarter of the memory or
            less.
        cache: Whether those that are read when they are looked at are decoded once alone.
    """

    crop: int | None = None
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    in_memory: bool | None = None
    cache: bool = False

    def __post_init__(self) -> None:
        if self.changes:
            need("data", "Pictures of another size")

    @classmethod
    def of(cls, dataset: Dataset) -> "Form":
        size = dataset.image_size
        size = (size, size) if isinstance(size, int) else size
        return cls(
            crop=dataset.crop,
            image_size=size,
            channels=dataset.channels,
            skip_corrupt=dataset.skip_corrupt,
            in_memory=dataset.in_memory,
            cache=dataset.cache,
        )

    @property
    def changes(self) -> bool:
        """Whether anything becomes of a picture."""
        return (self.crop, self.image_size, self.channels) != (None, None, None)

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape of an image that a picture of `shape`, [H, W] or [H, W, C], becomes."""
        height, width = (self.crop, self.crop) if self.crop else shape[:2]
        height, width = self.image_size or (height, width)
        return height, width, self.channels or (shape[2] if len(shape) == 3 else 1)

    def __call__(self, pixels: np.ndarray, name: str) -> np.ndarray:
        """A picture, uint8 [H, W] or [H, W, C], as an image [h, w, c].

        Raises:
            ValueError: If the picture `name` is smaller than the crop.
        """
        if not self.changes:
            return pixels[..., None] if pixels.ndim == 2 else pixels
        from PIL import Image, ImageOps

        if self.crop and min(pixels.shape[:2]) < self.crop:
            raise ValueError(
                f"A picture must be at least as large as the crop, {self.crop} pixels. Received: "
                f"{name} of {pixels.shape[1]} x {pixels.shape[0]} pixels. Leave `crop` out: "
                "`image_size` enlarges."
            )
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
        if self.channels:
            image = image.convert("L" if self.channels == 1 else "RGB")
        if self.crop:
            left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        if self.image_size and image.size[::-1] != self.image_size:
            height, width = self.image_size
            image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def of_array(self, images: np.ndarray, source: str) -> np.ndarray:
        """Images [N, H, W, C] in this form.

        Raises:
            ValueError: If they have other levels than 0 ... 255, or are smaller than the crop.
        """
        if not self.changes or self.shape_of(images.shape[1:]) == images.shape[1:]:
            return images
        if images.dtype != np.uint8:
            raise ValueError(
                f"{source}: images that are cut, scaled or converted must be uint8. Received: "
                f"{images.dtype}."
            )
        return np.stack([self(image, f"image {i}") for i, image in enumerate(images)])


AS_THEY_ARE = Form()
