"""Counter-based draws: one seed, the same numbers everywhere.

A generator with hidden state gives numbers that depend on what was drawn before, on how a batch was
split and on whether the program was compiled. Here every number is a function of where it stands:

    row key = Threefry(key=(seed, stream), counter=(step, row))
    number  = Threefry(key=row key, counter=(element, sample))

so resuming a run needs the step alone, two replicas agree with one process on the whole batch, and
a served reply does not depend on how the server batched it. The integer bits are equal eager, in
graphs, under XLA and in the C++ runtime; floats to rounding.

Reference:
    Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    Threefry-2x32, 20 rounds.
"""

import contextlib
import dataclasses
import enum
import functools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import tensorflow as tf

# A step that no training run reaches: evaluation's draws never coincide with training's.
EVALUATION_STEP = 0xFFFFFFFF

# TensorFlow's name for a shape that is not known, even in rank; annotations of it know none.
ANY_SHAPE = cast("tf.TensorShape", None)


class Stream(enum.IntEnum):
    """What a draw is for. Two streams of one row are independent."""

    BINARIZE = 0
    LATENT = 1
    PIXEL = 2
    SHUFFLE = 3
    COMPONENT = 4
    LAYER = 5
    PERMUTE = 6
    RESAMPLE = 7
    RESTART = 8
    LEVELS = 9
    CODE = 10


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Threefry-2x32 with 20 rounds.

    Args:
        key: Pair of uint32 tensors.
        counter: Pair of uint32 tensors that broadcast with the key's.

    Returns:
        Pair of uint32 tensors of the broadcast shape.
    """
    words = [tf.convert_to_tensor(word) for word in (*key, *counter)]
    shape = functools.reduce(tf.broadcast_static_shape, [word.shape for word in words])
    results = _twenty_rounds(*words)
    for result in results:
        result.set_shape(shape)
    return results


# One function of a graph, however often it is called and whatever the shapes: its 300 nodes would
# be most of an exported file.
@functools.partial(
    tf.function, input_signature=[tf.TensorSpec(ANY_SHAPE, tf.uint32)] * 4, autograph=False
)
def _twenty_rounds(k0, k1, x0, x1):
    keys = (k0, k1, k0 ^ k1 ^ tf.constant(0x1BD11BDA, tf.uint32))
    x0, x1 = x0 + k0, x1 + k1
    for group in range(5):
        for distance in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, distance) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return x0, x1


def _rotate_left(x, distance):
    left = tf.bitwise.left_shift(x, tf.constant(distance, tf.uint32))
    return left | tf.bitwise.right_shift(x, tf.constant(32 - distance, tf.uint32))


def _as_uint32(value):
    """Any Python or tensor integer as uint32, modulo 2**32."""
    if isinstance(value, int):
        return tf.constant(value % 2**32, tf.uint32)
    return tf.cast(value, tf.uint32)


def _unit_interval(bits):
    """uint32 -> float32 in [0, 1), on a grid of 2**-24: exactly representable, so 1 is never
    reached."""
    high = tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32))
    # Through int32: the shifted value fits, and CPUs convert signed integers in one vector
    # instruction.
    return tf.cast(tf.cast(high, tf.int32), tf.float32) * 2.0**-24


def _uniform(key, samples, size):
    """[B] keys, [S] sample numbers -> [S, B, size] in [0, 1)."""
    x0, x1 = threefry(key, _counters(samples, (size + 1) // 2))
    return _unit_interval(tf.concat([x0, x1], axis=-1)[:, :, :size])


def _normal(key, samples, size):
    """[B] keys, [S] sample numbers -> [S, B, size] standard normal, by Box and Muller's
    transform."""
    x0, x1 = threefry(key, _counters(samples, (size + 1) // 2))
    # 1 - u lies in (0, 1]: the logarithm is finite.
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - _unit_interval(x0)))
    angle = (2.0 * math.pi) * _unit_interval(x1)
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)[:, :, :size]


def _counters(samples, num_blocks):
    """Counters [S, 1, num_blocks]: each Threefry call of a row yields two numbers."""
    element = tf.cast(tf.range(num_blocks), tf.uint32)
    return element[None, None, :], _as_uint32(samples)[:, None, None]


_jitted_uniform = tf.function(_uniform, jit_compile=True, autograph=False)
_jitted_normal = tf.function(_normal, jit_compile=True, autograph=False)


@dataclasses.dataclass(frozen=True)
class RowNoise:
    """The draws of a batch of rows.

    Attributes:
        seed: Integer, or int tensor [B].
        step: Integer or scalar int tensor.
        rows: Int tensor [B]: each row's number in the global batch (training) or in the data set
            (evaluation).
        jit: Compile the draws alone. Threefry outside XLA is seven times slower than inside; a
            graph that is exported must hold no compiled function.
        latent: Number of the latent variable where a model has several: each has draws of its own.
    """

    seed: Any
    step: Any
    rows: Any
    jit: bool = False
    latent: int = 0

    @classmethod
    def of_seed(cls, seed: Any, num_rows: int | tf.Tensor) -> "RowNoise":
        """The draws that `seed` means to a user: rows 0 ... num_rows - 1 of step 0."""
        return cls(seed, 0, tf.range(num_rows))

    def of_latent(self, number: int) -> "RowNoise":
        """The same rows' draws for the latent variable of this number."""
        return dataclasses.replace(self, latent=number)

    def uniform(
        self,
        stream: Stream,
        shape: Sequence[int] | tf.TensorShape,
        num_samples: int | tf.Tensor | None = None,
        first_sample: int | tf.Tensor = 0,
    ) -> tf.Tensor:
        """Uniform draws in [0, 1).

        Args:
            stream: A `Stream`.
            shape: Shape of one row's event.
            num_samples: S, or None for one sample without the leading dimension.
            first_sample: Number of the first sample: samples come out the same in one piece or in
                chunks.

        Returns:
            Float32 tensor [S, B, *shape], or [B, *shape].
        """
        return self._draw(
            _jitted_uniform if self.jit else _uniform, stream, shape, num_samples, first_sample
        )

    def normal(
        self,
        stream: Stream,
        shape: Sequence[int] | tf.TensorShape,
        num_samples: int | tf.Tensor | None = None,
        first_sample: int | tf.Tensor = 0,
    ) -> tf.Tensor:
        """Standard normal draws; arguments and shapes as in `uniform`."""
        return self._draw(
            _jitted_normal if self.jit else _normal, stream, shape, num_samples, first_sample
        )

    def _draw(self, function, stream, shape, num_samples, first_sample):
        rows = _as_uint32(self.rows)
        stream = tf.constant(int(stream) + 256 * self.latent, tf.uint32)
        x0, x1 = threefry((_as_uint32(self.seed), stream), (_as_uint32(self.step), rows))  # [B]
        samples = first_sample + tf.range(1 if num_samples is None else num_samples)
        draws = function((x0[None, :, None], x1[None, :, None]), samples, math.prod(shape))
        if num_samples is None:
            return tf.reshape(draws[0], [-1, *shape])
        return tf.reshape(draws, [num_samples, -1, *shape])


class _Layers(threading.local):
    """The draws of the step that is being traced: replicas of one process trace in threads of their
    own."""

    noise: RowNoise | None = None


_layers = _Layers()


@contextlib.contextmanager
def layers_draw(noise: RowNoise) -> Iterator[None]:
    """Within it, layers that draw by row take the draws of `noise`: `layer_noise`."""
    outer, _layers.noise = _layers.noise, noise
    try:
        yield
    finally:
        _layers.noise = outer


def layer_noise() -> RowNoise | None:
    """The draws of the step that a layer is called in, or None outside of a step of the zoo."""
    return _layers.noise


# Not by XLA: its sort is slower on a CPU, and takes longer to compile.
@functools.partial(tf.function, autograph=False)
def permutation(seed: tf.Tensor, number: tf.Tensor, size: int) -> tf.Tensor:
    """An order of 0 ... size - 1, the same on every device.

    Args:
        seed: Integer tensor.
        number: Integer tensor: each has an order of its own.
        size: Python integer.

    Returns:
        Int32 tensor [size].
    """
    rows = tf.range(size)
    keys, _ = threefry(
        (_as_uint32(seed), tf.constant(int(Stream.SHUFFLE), tf.uint32)),
        (_as_uint32(number), _as_uint32(rows)),
    )
    return tf.argsort(keys, stable=True)
