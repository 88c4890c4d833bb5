"""White shapes on black, drawn from their factors: a data set that is nowhere stored.

The factors are those of dSprites: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions, 737,280
binary images of 64x64 pixels. This is a rendering of the same factors and not DeepMind's file:
sizes, outlines and margins are this module's own.

Reference:
    Matthey, Higgins, Hassabis & Lerchner, "dSprites: disentanglement testing sprites dataset",
    2017.
    https://github.com/google-deepmind/dsprites-dataset
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.observations.image import Rendered

IMAGE_SHAPE = (64, 64, 1)
# Name -> number of values, in the order in which the last one changes fastest.
FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SHAPES = ("square", "ellipse", "heart")
NUM_IMAGES = math.prod(FACTORS.values())
NUM_TEST = 10_000

SCALES = np.linspace(0.5, 1.0, 6)
# As in dSprites the last orientation is a full turn, which is the first again.
ORIENTATIONS = np.linspace(0.0, 2.0 * np.pi, 40)
POSITIONS = np.linspace(15.0, 49.0, 32)  # of the centre, in pixels: no shape reaches the edge
# At scale 1, in pixels.
SQUARE_SIDE = 20.0
ELLIPSE_AXES = (14.0, 7.0)  # half of them
HEART_SIZE = 10.0  # of the unit in (u^2 + v^2 - 1)^3 = u^2 v^3


class Sprites(Rendered):
    """Images that are drawn when they are looked at: a uint8 array [N, 64, 64, 1], 0 and 255, in
    what data need of one.

    Slices and selections of rows are `Sprites` again, `np.asarray` draws. A model that is trained
    on them gets the factors, and draws inside its step.

    Args:
        factors: Int array [N, 5], as `render` takes it.
    """

    stored_as = "sprites"
    dtype = np.dtype(np.uint8)
    ndim = 4
    factor_names = tuple(FACTORS)
    _CHUNK = 5000  # drawn at once: 80 MB of floats for each step of the arithmetic

    def __init__(self, factors: Any) -> None:
        self.stored = self.factors = np.asarray(factors, np.int32)

    @staticmethod
    def render(stored: np.ndarray | tf.Tensor) -> tf.Tensor:
        return render(stored)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *IMAGE_SHAPE)

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, rows: Any) -> "Sprites":
        return Sprites(np.atleast_2d(self.factors[rows]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        chunks = [
            self.factors[first : first + self._CHUNK] for first in range(0, len(self), self._CHUNK)
        ]
        images = [render(chunk).numpy().astype(np.uint8) * np.uint8(255) for chunk in chunks]
        return np.concatenate(images or [np.zeros(self.shape, np.uint8)]).astype(
            dtype or np.uint8, copy=False
        )


def split(name: str) -> np.ndarray:
    """The factors of "train" or "test": all images in a fixed random order, of which the last
    10,000 are for testing.

    Returns:
        Int32 array [N, 5].
    """
    order = np.random.Generator(np.random.Philox(0)).permutation(NUM_IMAGES)
    return factors_of({"train": order[:-NUM_TEST], "test": order[-NUM_TEST:]}[name])


def factors_of(index: Any) -> np.ndarray:
    """The factors of the `index`-th image in the order of `FACTORS`.

    Args:
        index: Int array [N], 0 ... NUM_IMAGES - 1.

    Returns:
        Int32 array [N, 5].
    """
    return np.stack(np.unravel_index(index, tuple(FACTORS.values())), axis=-1).astype(np.int32)


def render(factors: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Draws sprites; runs eagerly, in graphs and under XLA.

    Args:
        factors: Int tensor [B, 5]: shape, scale, orientation, x, y,
            each 0 ... its number of values - 1.

    Returns:
        Float32 tensor [B, 64, 64, 1] of 0 and 1.
    """
    # [B, 1, 1] each.
    shape, scale, orientation, x, y = (
        factor[:, None, None] for factor in tf.unstack(tf.cast(factors, tf.int32), axis=-1)
    )
    scale, cosine, sine, x, y = (
        tf.gather(tf.constant(table, tf.float32), index)
        for table, index in (
            (SCALES, scale),
            (np.cos(ORIENTATIONS), orientation),
            (np.sin(ORIENTATIONS), orientation),
            (POSITIONS, x),
            (POSITIONS, y),
        )
    )
    centres = tf.range(IMAGE_SHAPE[0], dtype=tf.float32) + 0.5
    right = (centres[None, None, :] - x) / scale  # [B, 1, 64]
    down = (centres[None, :, None] - y) / scale  # [B, 64, 1]
    # [B, 64, 64], in the shape's own axes.
    u, v = cosine * right + sine * down, cosine * down - sine * right
    square = tf.maximum(tf.abs(u), tf.abs(v)) < SQUARE_SIDE / 2
    ellipse = (u / ELLIPSE_AXES[0]) ** 2 + (v / ELLIPSE_AXES[1]) ** 2 < 1.0
    a, b = u / HEART_SIZE, -v / HEART_SIZE  # the heart stands upright at orientation 0
    heart = (a**2 + b**2 - 1.0) ** 3 < a**2 * b**3
    inside = tf.where(shape == 0, square, tf.where(shape == 1, ellipse, heart))
    return tf.cast(inside, tf.float32)[:, :, :, None]
