"""Weights in nine bits each.

A matrix is rounded to whole multiples of a power of two, 64 to 128 of them to its standard
deviation, and the multiples are deflated: 9 bits a weight, for a change of log p(x) that is a
hundredth of its standard error over MNIST's test images (`zoo push` measures the rounded weights,
so the published numbers hold it). Vectors, such as biases, stay as they are.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

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
    step, whole = multiples(array)
    if whole is None:
        content = array.tobytes()
    else:
        quotients, remainders = np.divmod(whole.astype(np.int32).ravel(), 16)
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


def multiples(array: np.ndarray) -> tuple[float, np.ndarray | None]:
    """(step, integers): the array is nearly step * integers; (0, None) where it is to be kept as it
    is."""
    spread = array.std() if array.ndim > 1 and array.dtype == np.float32 else 0.0
    if not spread or not np.isfinite(spread):
        return 0.0, None
    step = 2.0 ** np.floor(np.log2(spread / RESOLUTION))
    whole = np.round(array / step)
    return (step, whole) if np.abs(whole).max() <= np.iinfo(np.int16).max else (0.0, None)
