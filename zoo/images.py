"""What counts as images: the checks at the edge where users hand them in, and which of their pixels are seen."""

import numpy as np
import tensorflow as tf

EXPECTED = "uint8 in 0 ... 255 or floats in [0, 1]"


def check_images(images, image_shape):
    """Images as an array [N, *image_shape], uint8 or float32; nothing is scaled.

    Args:
        images: Array-like [N, ...]. A missing last dimension of size 1 is added.
        image_shape: Shape of one image.

    Raises:
        ValueError: If there are none, their shape does not fit, a pixel is NaN or outside its range.
    """
    images = images.numpy() if tf.is_tensor(images) else np.asarray(images)
    if images.dtype == bool:
        images = images.astype(np.float32)
    if images.dtype.kind not in "uif":
        raise ValueError(f"Images must be {EXPECTED}. Received: dtype {images.dtype}.")
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"There are no images. Received: an array of shape {images.shape}.")
    images = images.reshape([len(images), *_fitting_shape(images.shape[1:], image_shape)])
    if images.dtype == np.uint8:
        return images
    low, high = images.min(), images.max()
    if np.isnan(low):
        raise ValueError(
            f"Images must be {EXPECTED}. Received: {int(np.isnan(images).any(axis=tuple(range(1, images.ndim))).sum())} images with NaN."
        )
    top = 1.0 if images.dtype.kind == "f" else 255
    if low < 0 or high > top:
        hint = " Divide by 255, or pass uint8." if images.dtype.kind == "f" and 1 < high <= 255 and low >= 0 else ""
        raise ValueError(f"Images must be {EXPECTED}. Received: {images.dtype} pixels in [{low:g}, {high:g}].{hint}")
    return images.astype(np.float32 if images.dtype.kind == "f" else np.uint8)


def check_image_stream(element, image_shape):
    """The same checks inside a `tf.data` map: a batch [B, ...] -> [B, *image_shape], uint8 or float32.

    Raises:
        ValueError: If the static shape or dtype does not fit.
        tf.errors.InvalidArgumentError: When a batch with a bad pixel comes by.
    """
    shape = _fitting_shape(element.shape[1:], image_shape)
    images = tf.reshape(element, [-1, *shape])
    if images.dtype == tf.uint8:
        return images
    if not images.dtype.is_floating:
        raise ValueError(f"Images in a tf.data.Dataset must be {EXPECTED}. Received: dtype {images.dtype.name}.")
    # Written so that NaN fails as well.
    in_range = tf.reduce_all((images >= 0) & (images <= 1))
    message = f"Images must be {EXPECTED}. Received: a batch with a pixel that is NaN or outside [0, 1]. Divide by 255, or pass uint8."
    with tf.control_dependencies([tf.debugging.Assert(in_range, [message])]):
        return tf.cast(images, tf.float32)


def to_unit_interval(images):
    """uint8 -> float32 / 255; floats as float32."""
    # A division: 255 times the rounded reciprocal is not 1.
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else tf.cast(images, tf.float32)


def _fitting_shape(shape, image_shape):
    """`image_shape` if an image of `shape` is one, give or take a last dimension of 1."""
    if tuple(shape) in (tuple(image_shape), tuple(image_shape[:-1]) if image_shape[-1] == 1 else None):
        return tuple(image_shape)
    raise ValueError(f"Images must have the shape {tuple(image_shape)}. Received: images of shape {tuple(shape)}.")


class VisiblePixels:
    """Which pixels of an image are seen, where the others are to be predicted.

    Args:
        mask: Bools, or 0 and 1, [H, W].
        image_shape: (H, W, C).

    Raises:
        ValueError: If the mask does not fit the images, or hides nothing.
    """

    # Logit of a pixel that is known: in float32 its probability is 1 and the log-probability of what it is 0.
    CERTAIN = 100.0

    def __init__(self, mask, image_shape):
        mask = np.asarray(mask)
        if mask.shape != tuple(image_shape[:2]) or not np.isin(mask, (0, 1)).all() or mask.all():
            raise ValueError(
                f"`visible` must be a mask of shape {tuple(image_shape[:2])} that hides some pixels. "
                f"Received: shape {mask.shape}, values {np.unique(mask)[:4].tolist()}."
            )
        self.mask = mask.astype(bool)
        self._pixels = np.broadcast_to(self.mask[..., None], image_shape)

    def see(self, images):
        """The visible pixels, and -1 where they are hidden: [B, *image_shape]."""
        return tf.where(self._pixels, images, -1.0)

    def known(self, logits, images):
        """Logits [..., B, P] of all pixels -> the same, with certainty for those that are seen in `images` [B, *image_shape]."""
        flat = tf.reshape(images, [-1, self._pixels.size])
        return tf.where(self._pixels.ravel(), tf.where(flat > 0.5, self.CERTAIN, -self.CERTAIN), logits)

    def tolist(self):
        return self.mask.astype(int).tolist()


def quadrants(image_shape, num_seen):
    """Mask [H, W] of 1, 2 or 3 visible quadrants: the lower left one, the left half, all but the upper right one (Sohn et al. 2015)."""
    if num_seen not in (1, 2, 3):
        raise ValueError(f"1, 2 or 3 quadrants can be seen. Received: {num_seen!r}.")
    height, width = image_shape[:2]
    lower, left = np.arange(height)[:, None] >= height // 2, np.arange(width)[None] < width // 2
    return {1: lower & left, 2: (lower | True) & left, 3: lower | left}[num_seen]


def center_column(image_shape, num_seen=1):
    """Mask [H, W] of the `num_seen` columns in the middle (Doersch, "Tutorial on variational autoencoders", 2016, section 4)."""
    height, width = image_shape[:2]
    if not 1 <= num_seen < width:
        raise ValueError(f"1 to {width - 1} columns can be seen. Received: {num_seen!r}.")
    first = (width - num_seen) // 2
    return np.broadcast_to((np.arange(width) >= first) & (np.arange(width) < first + num_seen), (height, width))
