"""Images: what counts as one, at the edge where users hand them in, and what a step makes of their
pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.observations.base import Observation, is_symbolic
from zoo.observations.on_disk import OnDisk
from zoo.random import RowNoise, Stream
from zoo.validation import shown

EXPECTED = "integers in 0 ... 255 or floats in [0, 1]"
# Images that are read at once to measure them.
MOMENTS_CHUNK = 1000
PIXELS = ("binarize", "dequantize", "as_given")


@keras.saving.register_keras_serializable(package="zoo")
class Image(Observation):
    """Images [H, W, C], of grey levels or colours.

    They are integers in 0 ... 255, bools, or floats in [0, 1], and mean the same to every method,
    as arrays, tensors or in a stream.

    Args:
        shape: Shape of one image.
        pixels: What training sees of a level. "binarize": a white pixel with that probability,
            drawn anew at every step (Salakhutdinov & Murray, ICML 2008). "dequantize": the level
            plus uniform noise of its own width, so that a density of it is bounded (Theis et al.,
            ICLR 2016). "as_given": the level.

    Raises:
        ValueError: If `pixels` is none of these.
    """

    key = "image"
    noun = "image"

    def __init__(self, shape: tuple[int, ...], pixels: str = "as_given") -> None:
        if not (isinstance(pixels, str) and pixels in PIXELS):
            raise ValueError(
                f"`pixels` must be one of {', '.join(map(repr, PIXELS))}. Received: "
                f"pixels={shown(pixels)}."
            )
        self.shape = tuple(shape)
        self.pixels = pixels

    def check(self, x: Any) -> dict[str, Any]:
        if isinstance(x, Rendered) and x.shape[1:] == self.shape:
            return {x.stored_as: x.stored}  # drawn in `prepare`
        if isinstance(x, OnDisk):
            _fitting_shape(x.shape[1:], self.shape)
            return {self.key: x}  # bytes, whatever they are
        return {self.key: check_images(x, self.shape)}

    def check_stream(self, x: Any) -> dict[str, tf.Tensor]:
        return {self.key: check_image_stream(x, self.shape)}

    def check_first_block(self, stored: Mapping[str, tf.Tensor]) -> None:
        images = stored.get(self.key)
        if images is not None and images.dtype.is_integer:
            check_levels(images.numpy())  # of a stream, one can judge by no more than its beginning

    def prepare(self, stored: Mapping[str, Any], noise: RowNoise) -> dict[str, tf.Tensor]:
        image = self.as_stored(stored)
        if self.pixels == "binarize":
            image = tf.cast(noise.uniform(Stream.BINARIZE, self.shape) < image, tf.float32)
        elif self.pixels == "dequantize":
            image = (255.0 * image + noise.uniform(Stream.BINARIZE, self.shape)) / 256.0
        return {self.key: image}

    def as_stored(self, stored: Mapping[str, Any]) -> tf.Tensor:
        """Stored images with nothing drawn: float32 [B, *shape] in [0, 1]."""
        for name, kind in Rendered.kinds.items():
            if name in stored:
                return kind.render(stored[name])
        return to_unit_interval(stored[self.key])

    def as_tensors(self, x: Any) -> dict[str, tf.Tensor]:
        return {self.key: as_unit_interval(x, self.shape)}

    def assert_outcomes(self, data: Mapping[str, tf.Tensor]) -> None:
        x = data[self.key]
        if (
            self.pixels == "binarize"
            and not is_symbolic(x)
            and not np.isin(x.numpy(), (0.0, 1.0)).all()
        ):
            raise ValueError(
                "Under Bernoulli only black and white images have a log-probability. "
                "Received: grey levels. Pass `images > 127` (of uint8) or `images > 0.5` (of "
                "floats); `zoo.evaluate` draws each pixel by its grey level."
            )

    @staticmethod
    def made_up(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return (generator.integers(0, 256, shape) / 255).astype(np.float32)

    def moments(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        if isinstance(x, OnDisk):
            return _moments_of_chunks(x)
        images = check_images(x, self.shape)
        white = 255.0 if images.dtype == np.uint8 else 1.0
        mean = np.mean(images, axis=0, dtype=np.float64) / white
        # Of a pixel that is constant, the width of a level.
        scale = np.maximum(np.std(images, axis=0, dtype=np.float64) / white, 1 / 255)
        return tf.constant(mean, tf.float32), tf.constant(scale, tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pixels": self.pixels}


def _moments_of_chunks(images):
    """Mean and standard deviation of each pixel of images that do not all fit into memory."""
    sums = np.zeros((2, *images.shape[1:]))
    for first in range(0, len(images), MOMENTS_CHUNK):
        levels = np.asarray(images[first : first + MOMENTS_CHUNK]) / 255.0
        sums += levels.sum(axis=0), np.square(levels).sum(axis=0)
    mean, square = sums / len(images)
    scale = np.sqrt(np.maximum(square - np.square(mean), 0.0))
    return tf.constant(mean, tf.float32), tf.constant(np.maximum(scale, 1 / 255), tf.float32)


class Rendered:
    """Images that are drawn when they are looked at: what an array [N, H, W, C] has, and what it is
    drawn from.

    A model that is trained on them gets what they are drawn from, and draws inside its step.

    Attributes:
        stored: Array [N, ...] that images are drawn from.
        stored_as: Its name in a batch: each kind has one of its own.
    """

    # Name -> subclass.
    kinds: dict[str, type["Rendered"]] = {}
    stored_as: str
    stored: np.ndarray
    shape: tuple[int, ...]

    def __init_subclass__(cls) -> None:
        Rendered.kinds[cls.stored_as] = cls

    @staticmethod
    def render(stored: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C], float32 in [0, 1], of stored rows; in graphs and under XLA as
        well."""
        raise NotImplementedError


def check_images(images: Any, image_shape: Sequence[int]) -> np.ndarray:
    """Images as an array [N, *image_shape], uint8 or float32; nothing is scaled.

    An image is integers of any type in 0 ... 255, bools, or floats in [0, 1]. Integers that are 0
    and 1 alone are refused: as grey levels they would all be black, and that is not what they are
    meant for.

    Args:
        images: Array-like or tensor [N, ...]. A missing last dimension of size 1 is added.
        image_shape: Shape of one image.

    Raises:
        ValueError: If there are none, their shape does not fit, a pixel is NaN or outside its
            range, or integers are 0 and 1 alone.
    """
    if isinstance(images, (dict, tf.data.Dataset)):
        raise ValueError(
            f"Images must be an array of {EXPECTED}. Received: a {type(images).__name__}. "
            "Pass the images alone, such as `data['image']`."
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
        count = int(np.isnan(images).any(axis=tuple(range(1, images.ndim))).sum())
        raise ValueError(f"Images must be {EXPECTED}. Received: {count} images with NaN.")
    is_float = images.dtype.kind == "f"
    if low < 0 or high > (1.0 if is_float else 255):
        hint = " Divide by 255, or pass uint8." if is_float and 1 < high <= 255 and low >= 0 else ""
        raise ValueError(
            f"Images must be {EXPECTED}. "
            f"Received: {images.dtype} pixels in [{low:g}, {high:g}].{hint}"
        )
    if not is_float:
        check_levels(images)
    return images.astype(np.float32 if is_float else np.uint8, copy=False)


def check_levels(images: np.ndarray | tf.Tensor) -> None:
    """Refuses integers that are 0 and 1 alone.

    Args:
        images: Integer array or tensor: all images that there are, or as many as one can judge by.
            Black ones pass.

    Raises:
        ValueError: If the greatest of them is 1.
    """
    if np.max(images) == 1:
        raise ValueError(
            "Images of the integers 0 and 1 would be black, as 255 is white. Received: "
            f"{images.dtype} pixels in [{np.min(images)}, 1]. "
            "Multiply by 255, or pass bools or floats."
        )


def check_image_stream(element: Any, image_shape: Sequence[int]) -> tf.Tensor:
    """The same checks inside a `tf.data` map, but for `check_levels`: a batch [B, ...]
    -> [B, *image_shape], uint8 or float32.

    Raises:
        ValueError: If the static shape or dtype does not fit.
        tf.errors.InvalidArgumentError: When a batch with a bad pixel comes by.
    """
    element = tf.convert_to_tensor(element)
    if element.shape.rank == len(image_shape) and element.shape == tuple(image_shape):
        raise ValueError(
            "A stream brings batches [B, ...]: add `.batch(32)`. Received: single images of "
            f"shape {tuple(element.shape)}."
        )
    images = tf.reshape(element, [-1, *_fitting_shape(element.shape[1:], image_shape)])
    if images.dtype == tf.uint8:
        return images
    if images.dtype == tf.bool:
        return tf.cast(images, tf.float32)
    if not (images.dtype.is_floating or images.dtype.is_integer):
        raise ValueError(
            f"Images in a tf.data.Dataset must be {EXPECTED}. Received: dtype {images.dtype.name}."
        )
    top = 1 if images.dtype.is_floating else 255
    # Written so that NaN fails as well; compared in a type that holds both ends.
    values = images if images.dtype.is_floating else tf.cast(images, tf.int64)
    in_range = tf.reduce_all((values >= 0) & (values <= top))
    hint = (
        "is NaN or outside [0, 1]. Divide by 255, or pass uint8."
        if images.dtype.is_floating
        else "is outside 0 ... 255."
    )
    message = f"Images must be {EXPECTED}. Received: a batch with a pixel that {hint}"
    with tf.control_dependencies([tf.debugging.Assert(in_range, [message])]):
        return tf.cast(images, tf.float32 if images.dtype.is_floating else tf.uint8)


def as_unit_interval(images: Any, image_shape: Sequence[int]) -> tf.Tensor:
    """Images as a user hands them in -> float32 tensor [B, *image_shape] in [0, 1]. Within a graph
    their values are not looked at.

    Raises:
        ValueError: As `check_images` does.
    """
    if not is_symbolic(images):
        checked = check_images(images, image_shape)
        if not tf.is_tensor(images):
            return to_unit_interval(tf.constant(checked))
    # The tensor itself, through which a gradient may pass.
    shape = _fitting_shape(images.shape[1:], image_shape)
    return to_unit_interval(
        images if images.shape[1:] == shape else tf.reshape(images, [-1, *shape])
    )


def to_unit_interval(images: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Integers -> float32 / 255; floats and bools as float32."""
    # A division: 255 times the rounded reciprocal is not 1.
    values = tf.cast(images, tf.float32)
    return values / 255.0 if tf.as_dtype(images.dtype).is_integer else values


def _fitting_shape(shape, image_shape):
    """`image_shape` if an image of `shape` is one, give or take a last dimension of 1."""
    if tuple(shape) in (
        tuple(image_shape),
        tuple(image_shape[:-1]) if image_shape[-1] == 1 else None,
    ):
        return tuple(image_shape)
    raise ValueError(
        f"Images must have the shape {tuple(image_shape)}. "
        f"Received: images of shape {tuple(shape)}."
    )
