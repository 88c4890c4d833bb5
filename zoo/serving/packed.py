"""Weights in nine bits each: a SavedModel that unpacks them into ordinary variables while it is
loaded.

A matrix is rounded to whole multiples of a power of two, 64 to 128 of them to its standard
deviation, and the multiples are deflated: 9 bits a weight, for a change of log p(x) that is a
hundredth of its standard error over MNIST's test images (`zoo push` measures the rounded weights,
so the published numbers hold it). Vectors, such as biases, stay as they are.

In the file lies one variable of strings. The variables that the model reads have an initializer
each, which inflates its string: the loader of TF Serving runs it once, as it runs those of lookup
tables, and requests are answered at full speed.
"""

import functools
import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Multiples of the step in a standard deviation, at least: the step is the power of two below.
RESOLUTION = 64


def pack(array: np.ndarray) -> bytes:
    """Bytes that `unpack` makes the array of again: exact for vectors and for what was packed
    before, else rounded to the step.

    Deflated: the step as float32; the multiples divided by 16, rounded down, plus 128, their low
    bytes and then their high bytes (int16 in two's complement); the remainders, two to a byte, the
    first of the two in the lower half. Only the low bytes are worth a code, and Huffman's wastes
    little of 8 bits where 4 are even. A step of 0 says that the array's own bytes follow.
    """
    step, multiples = _multiples(array)
    if step == 0.0:
        content = array.tobytes()
    else:
        quotients, remainders = np.divmod(multiples.astype(np.int32).ravel(), 16)
        pairs = np.pad(remainders, (0, remainders.size % 2)).reshape(-1, 2)
        planes = (quotients + 128).astype("<i2").reshape(-1, 1).view(np.uint8).T
        content = planes.tobytes() + (pairs[:, 0] + 16 * pairs[:, 1]).astype(np.uint8).tobytes()
    content = np.float32(step).tobytes() + content
    strategies = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE)
    return min((_deflate(content, strategy) for strategy in strategies), key=len)


def _deflate(content, strategy):
    """In noise, as most weights are, nothing repeats that is worth its code, but for a single byte
    again and again: Z_RLE."""
    compressor = zlib.compressobj(level=9, strategy=strategy)
    return compressor.compress(content) + compressor.flush()


def unpack(packed: bytes, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """The array of this shape and dtype.

    Raises:
        ValueError: If the bytes are not those of such an array.
    """
    try:
        content = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"packed weights cannot be inflated: {error}") from None
    step, content = np.frombuffer(content[:4], np.float32)[0], content[4:]
    size = np.prod(shape, dtype=int)
    if len(content) != (2 * size + (size + 1) // 2 if step else size * np.dtype(dtype).itemsize):
        raise ValueError(
            f"packed weights of {len(content)} bytes do not fit the shape {tuple(shape)}"
        )
    if not step:
        return np.frombuffer(content, dtype).reshape(shape)
    low = np.frombuffer(content[:size], np.uint8)
    high = np.frombuffer(content[size : 2 * size], np.int8)
    pairs = np.frombuffer(content[2 * size :], np.uint8)
    quotients = 256 * high.astype(np.int32) + low - 128
    remainders = np.stack([pairs % 16, pairs // 16], axis=-1).ravel()[:size]
    return (step * (16 * quotients + remainders).astype(np.float32)).reshape(shape)


def round_weights(model: keras.Model) -> None:
    """Gives a model the weights that a packed export of it holds."""
    for weight in model.weights:
        array = np.asarray(weight)
        weight.assign(unpack(pack(array), array.shape, array.dtype))


def _multiples(array):
    """(step, integers): the array is nearly step * integers; (0, None) where it is to be kept as it
    is."""
    spread = array.std() if array.ndim > 1 and array.dtype == np.float32 else 0.0
    if not spread or not np.isfinite(spread):
        return 0.0, None
    step = 2.0 ** np.floor(np.log2(spread / RESOLUTION))
    multiples = np.round(array / step)
    return (step, multiples) if np.abs(multiples).max() <= np.iinfo(np.int16).max else (0.0, None)


class PackedWeights(tf.Module):
    """The weights of a model as an export tracks them.

    Args:
        variables: The `tf.Variable`s that the exported functions read.
    """

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        super().__init__()
        content = [pack(variable.numpy()) for variable in variables]
        self.packed = tf.Variable(content, dtype=tf.string)
        self.unpacked = [
            _Unpacked(variable, self.packed, number, content[number])
            for number, variable in enumerate(variables)
        ]


class _Unpacked(tf.saved_model.experimental.TrackableResource):
    """Stands for a variable in an export: created there without a value, which its initializer
    takes from `packed[number]`."""

    def __init__(
        self, variable: tf.Variable, packed: tf.Variable, number: int, content: bytes
    ) -> None:
        super().__init__()
        self._shape, self._dtype = variable.shape, variable.dtype
        self._packed, self._number = packed, number
        self._is_whole = _multiples(variable.numpy())[0] == 0.0
        # Variables of one name in one process are one: the name says what is in it.
        self._name = f"weights_{hashlib.sha256(content).hexdigest()[:32]}"
        self._resource_handle_value = variable.handle  # what the functions have captured

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=self._dtype, shape=self._shape, shared_name=self._name)

    def _initialize(self):
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=self._value())

    def _value(self):
        """`unpack` in a graph."""
        content = tf.io.decode_compressed(self._packed[self._number], "ZLIB")
        size = self._shape.num_elements()
        if self._is_whole:
            content = tf.strings.substr(content, 4, size * self._dtype.size)
            flat = tf.io.decode_raw(content, self._dtype)
        else:
            flat = _unrounded(content, tf.constant(size))
        return tf.reshape(flat, self._shape)


# One function of a graph for all of its weights.
@functools.partial(
    tf.function,
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)],
    autograph=False,
)
def _unrounded(content, size):
    """Step, quotients and remainders as `pack` lays them out -> float32 [size]."""
    step = tf.io.decode_raw(tf.strings.substr(content, 0, 4), tf.float32)
    low = tf.io.decode_raw(tf.strings.substr(content, 4, size), tf.uint8)
    high = tf.io.decode_raw(tf.strings.substr(content, 4 + size, size), tf.int8)
    pairs = tf.io.decode_raw(tf.strings.substr(content, 4 + 2 * size, (size + 1) // 2), tf.uint8)
    quotients = 256.0 * tf.cast(high, tf.float32) + tf.cast(low, tf.float32) - 128.0
    remainders = tf.reshape(tf.stack([pairs % 16, pairs // 16], axis=-1), [-1])[:size]
    return step * (16.0 * quotients + tf.cast(remainders, tf.float32))
