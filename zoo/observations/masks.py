"""Which pixels of an image are seen, where the others are to be predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import validation


class VisiblePixels:
    """Which pixels of an image are seen, where the others are to be predicted.

    Args:
        mask: Bools, or 0 and 1, [H, W].
        image_shape: (H, W, C).

    Raises:
        ValueError: If the mask does not fit the images, or hides nothing.
    """

    # Logit of a pixel that is known: in float32 its probability is 1 and the log-probability of
    # what it is 0.
    CERTAIN = 100.0

    def __init__(self, mask: Any, image_shape: Sequence[int]) -> None:
        mask = np.asarray(mask)
        if mask.shape != tuple(image_shape[:2]) or not np.isin(mask, (0, 1)).all() or mask.all():
            raise ValueError(
                f"`visible` must be a mask of shape {tuple(image_shape[:2])} that hides some "
                f"pixels. Received: shape {mask.shape}, values {np.unique(mask)[:4].tolist()}."
            )
        self.mask = mask.astype(bool)
        self._pixels = np.broadcast_to(self.mask[..., None], image_shape)

    def see(self, images: tf.Tensor) -> tf.Tensor:
        """The visible pixels, and -1 where they are hidden: [B, *image_shape]."""
        return tf.where(self._pixels, images, -1.0)

    def known(self, logits: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Logits [..., B, P] of all pixels -> the same, with certainty for those that are seen in
        `images` [B, *image_shape]."""
        flat = tf.reshape(images, [-1, self._pixels.size])
        return tf.where(
            self._pixels.ravel(), tf.where(flat > 0.5, self.CERTAIN, -self.CERTAIN), logits
        )

    def tolist(self) -> list[list[int]]:
        return self.mask.astype(int).tolist()


def _height_and_width(image_shape):
    try:
        height, width = (validation.integer("image_shape", size) for size in tuple(image_shape)[:2])
    except (TypeError, ValueError):
        raise ValueError(
            "`image_shape` must be (H, W, C). Received: "
            f"image_shape={validation.shown(image_shape)}."
        ) from None
    return height, width


def quadrants(image_shape: Sequence[int], num_seen: int) -> np.ndarray:
    """Mask [H, W] of 1, 2 or 3 visible quadrants: the lower left one, the left half, all but the
    upper right one (Sohn et al. 2015)."""
    if validation.as_integer(num_seen) not in (1, 2, 3):
        raise ValueError(
            f"1, 2 or 3 quadrants can be seen. Received: {validation.shown(num_seen)}."
        )
    height, width = _height_and_width(image_shape)
    lower, left = np.arange(height)[:, None] >= height // 2, np.arange(width)[None] < width // 2
    return {1: lower & left, 2: (lower | True) & left, 3: lower | left}[int(num_seen)]


def center_column(image_shape: Sequence[int], num_seen: int = 1) -> np.ndarray:
    """Mask [H, W] of the `num_seen` columns in the middle (Doersch, "Tutorial on variational
    autoencoders", 2016, section 4)."""
    height, width = _height_and_width(image_shape)
    if validation.as_integer(num_seen) is None or not 1 <= num_seen < width:
        raise ValueError(
            f"1 to {width - 1} columns can be seen. Received: {validation.shown(num_seen)}."
        )
    first = (width - num_seen) // 2
    columns = np.arange(width)
    return np.broadcast_to((columns >= first) & (columns < first + num_seen), (height, width))
