"""What counts as images: the checks at the edge where users hand them in."""

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
