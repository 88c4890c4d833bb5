"""Numbers of any kind that users hand in, as float32 tensors: latents, conditions. And sizes that
are known before anything runs."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from zoo.validation import shown


def as_numbers(name: str, value: Any) -> tf.Tensor:
    """An array, a tensor or nested lists of numbers as a float32 tensor, through which a gradient
    may pass.

    Raises:
        ValueError: If it holds anything else; the message calls it `name`.
    """
    try:
        tensor = tf.convert_to_tensor(value)
        if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype == tf.bool):
            raise TypeError
        return tf.cast(tensor, tf.float32)
    # Of all that is no array.
    except (TypeError, ValueError, AttributeError, OverflowError, tf.errors.OpError):
        raise ValueError(
            f"`{name}` must be an array of numbers. Received: {name}={shown(value)}."
        ) from None


def as_vectors(name: str, value: Any, dim: int) -> tf.Tensor:
    """Vectors as a float32 tensor [..., dim].

    Raises:
        ValueError: If they are no numbers, or of another length.
    """
    vectors = as_numbers(name, value)
    if vectors.shape[-1:] != (dim,):
        raise ValueError(
            f"`{name}` must have the shape [..., {dim}]. Received: shape {tuple(vectors.shape)}."
        )
    return vectors


def as_flat_latents(name: str, value: Any, shape: tuple[int, ...]) -> tf.Tensor:
    """Latents [..., *shape] as float32 vectors [..., D], in which a network sees them.

    Raises:
        ValueError: As `as_vectors` does.
    """
    if len(shape) == 1:
        return as_vectors(name, value, *shape)
    maps = as_numbers(name, value)
    if maps.shape[-len(shape) :] != shape:
        sizes = ", ".join(map(str, shape))
        raise ValueError(
            f"`{name}` must have the shape [..., {sizes}]. Received: shape {tuple(maps.shape)}."
        )
    batch = tf.shape(maps)[: -len(shape)]
    return tf.reshape(maps, tf.concat([batch, [math.prod(shape)]], axis=0))


def static_sizes(shape: Iterable[int | None]) -> tuple[int, ...]:
    """A shape, or a part of one, as Python integers.

    Raises:
        ValueError: If a size is not known before anything runs.
    """
    shape = tuple(shape)
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) < len(shape):
        raise ValueError(f"Sizes must be known before anything runs. Received: shape {shape}.")
    return sizes


def named_latents(z: Any, names: Iterable[str]) -> list[Any]:
    """The latents of a dict, in the order of `names`.

    Raises:
        ValueError: If `z` is no dict, or lacks one.
    """
    names = list(names)
    if not isinstance(z, Mapping) or any(name not in z for name in names):
        received = f"keys {shown(list(z))}" if isinstance(z, Mapping) else f"z={shown(z)}"
        raise ValueError(
            f"`z` must be a dict that holds {' and '.join(map(repr, names))}. Received: {received}."
        )
    return [z[name] for name in names]
