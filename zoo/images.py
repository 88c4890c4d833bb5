"""What counts as images: the checks at the edge where users hand them in, and which of their pixels are seen."""

import numpy as np
import tensorflow as tf

from zoo import validation

EXPECTED = "integers in 0 ... 255 or floats in [0, 1]"


def check_images(images, image_shape) -> np.ndarray:
    """Images as an array [N, *image_shape], uint8 or float32; nothing is scaled.

    An image is integers of any type in 0 ... 255, bools, or floats in [0, 1]. Integers that are 0 and 1 alone are refused: as grey levels
    they would all be black, and that is not what they are meant for.

    Args:
        images: Array-like or tensor [N, ...]. A missing last dimension of size 1 is added.
        image_shape: Shape of one image.

    Raises:
        ValueError: If there are none, their shape does not fit, a pixel is NaN or outside its range, or integers are 0 and 1 alone.
    """
    if isinstance(images, (dict, tf.data.Dataset)):
        raise ValueError(
            f"Images must be an array of {EXPECTED}. Received: a {type(images).__name__}. Pass the images alone, such as `data['image']`."
        )
    if tf.is_tensor(images):
        images = (tf.cast(images, tf.float32) if images.dtype.is_floating else images).numpy()
    images = np.asarray(images)
    if images.dtype == bool:
        images = images.astype(np.float32)
    if images.dtype.kind not in "uif":
        raise ValueError(f"Images must be {EXPECTED}. Received: dtype {images.dtype}.")
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"There are no images. Received: an array of shape {images.shape}.")
    images = images.reshape([len(images), *_fitting_shape(images.shape[1:], image_shape)])
    low, high = images.min(), images.max()
    if np.isnan(low):
        raise ValueError(
            f"Images must be {EXPECTED}. Received: {int(np.isnan(images).any(axis=tuple(range(1, images.ndim))).sum())} images with NaN."
        )
    is_float = images.dtype.kind == "f"
    if low < 0 or high > (1.0 if is_float else 255):
        hint = " Divide by 255, or pass uint8." if is_float and 1 < high <= 255 and low >= 0 else ""
        raise ValueError(f"Images must be {EXPECTED}. Received: {images.dtype} pixels in [{low:g}, {high:g}].{hint}")
    if not is_float:
        check_levels(images)
    return images.astype(np.float32 if is_float else np.uint8, copy=False)


def check_levels(images) -> None:
    """Refuses integers that are 0 and 1 alone.

    Args:
        images: Integer array or tensor: all images that there are, or as many as one can judge by. Black ones pass.

    Raises:
        ValueError: If the greatest of them is 1.
    """
    if np.max(images) == 1:
        raise ValueError(
            f"Images of the integers 0 and 1 would be black, as 255 is white. Received: {images.dtype} pixels in [{np.min(images)}, 1]. "
            "Multiply by 255, or pass bools or floats."
        )


def check_image_stream(element, image_shape):
    """The same checks inside a `tf.data` map, but for `check_levels`: a batch [B, ...] -> [B, *image_shape], uint8 or float32.

    Raises:
        ValueError: If the static shape or dtype does not fit.
        tf.errors.InvalidArgumentError: When a batch with a bad pixel comes by.
    """
    element = tf.convert_to_tensor(element)
    if element.shape.rank == len(image_shape) and element.shape == tuple(image_shape):
        raise ValueError(f"A stream brings batches [B, ...]: add `.batch(32)`. Received: single images of shape {tuple(element.shape)}.")
    images = tf.reshape(element, [-1, *_fitting_shape(element.shape[1:], image_shape)])
    if images.dtype == tf.uint8:
        return images
    if images.dtype == tf.bool:
        return tf.cast(images, tf.float32)
    if not (images.dtype.is_floating or images.dtype.is_integer):
        raise ValueError(f"Images in a tf.data.Dataset must be {EXPECTED}. Received: dtype {images.dtype.name}.")
    top = 1 if images.dtype.is_floating else 255
    # Written so that NaN fails as well; compared in a type that holds both ends.
    values = images if images.dtype.is_floating else tf.cast(images, tf.int64)
    in_range = tf.reduce_all((values >= 0) & (values <= top))
    hint = "is NaN or outside [0, 1]. Divide by 255, or pass uint8." if images.dtype.is_floating else "is outside 0 ... 255."
    with tf.control_dependencies(
        [tf.debugging.Assert(in_range, [f"Images must be {EXPECTED}. Received: a batch with a pixel that {hint}"])]
    ):
        return tf.cast(images, tf.float32 if images.dtype.is_floating else tf.uint8)


def as_unit_interval(images, image_shape):
    """Images as a user hands them in -> float32 tensor [B, *image_shape] in [0, 1]. Within a graph their values are not looked at.

    Raises:
        ValueError: As `check_images` does.
    """
    if not is_symbolic(images):
        checked = check_images(images, image_shape)
        if not tf.is_tensor(images):
            return to_unit_interval(tf.constant(checked))
    # The tensor itself, through which a gradient may pass.
    shape = _fitting_shape(images.shape[1:], image_shape)
    return to_unit_interval(images if images.shape[1:] == shape else tf.reshape(images, [-1, *shape]))


def is_symbolic(x) -> bool:
    """Whether `x` is a tensor of a graph, whose values are not known yet."""
    return tf.is_tensor(x) and not hasattr(x, "numpy")


def to_unit_interval(images):
    """Integers -> float32 / 255; floats and bools as float32."""
    # A division: 255 times the rounded reciprocal is not 1.
    return tf.cast(images, tf.float32) / 255.0 if tf.as_dtype(images.dtype).is_integer else tf.cast(images, tf.float32)


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


def _height_and_width(image_shape):
    try:
        height, width = (validation.integer("image_shape", size) for size in tuple(image_shape)[:2])
    except (TypeError, ValueError):
        raise ValueError(f"`image_shape` must be (H, W, C). Received: image_shape={validation.shown(image_shape)}.") from None
    return height, width


def quadrants(image_shape, num_seen):
    """Mask [H, W] of 1, 2 or 3 visible quadrants: the lower left one, the left half, all but the upper right one (Sohn et al. 2015)."""
    if validation.as_integer(num_seen) not in (1, 2, 3):
        raise ValueError(f"1, 2 or 3 quadrants can be seen. Received: {validation.shown(num_seen)}.")
    height, width = _height_and_width(image_shape)
    lower, left = np.arange(height)[:, None] >= height // 2, np.arange(width)[None] < width // 2
    return {1: lower & left, 2: (lower | True) & left, 3: lower | left}[int(num_seen)]


def center_column(image_shape, num_seen=1):
    """Mask [H, W] of the `num_seen` columns in the middle (Doersch, "Tutorial on variational autoencoders", 2016, section 4)."""
    height, width = _height_and_width(image_shape)
    if validation.as_integer(num_seen) is None or not 1 <= num_seen < width:
        raise ValueError(f"1 to {width - 1} columns can be seen. Received: {validation.shown(num_seen)}.")
    first = (width - num_seen) // 2
    return np.broadcast_to((np.arange(width) >= first) & (np.arange(width) < first + num_seen), (height, width))
