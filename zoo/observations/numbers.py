"""Rows of numbers, as users hand them in."""

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.validation import shown


def as_rows(x: Any, noun: str, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of numbers as an array [N, *shape] of their own type.

    Raises:
        ValueError: If there are none, they are no numbers, or a row has another shape.
    """
    if isinstance(x, (dict, tf.data.Dataset)):
        raise ValueError(
            f"{noun.capitalize()}s must be an array of numbers. Received: a {type(x).__name__}."
        )
    try:
        rows = np.asarray(x)
    # Of ragged lists, and whatever an object of the user's raises.
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{noun.capitalize()}s must be an array of numbers. Received: {shown(x)}."
        ) from error
    if rows.dtype.kind not in "buif":
        raise ValueError(
            f"{noun.capitalize()}s must be an array of numbers. Received: dtype {rows.dtype}."
        )
    if rows.ndim == 0 or len(rows) == 0:
        raise ValueError(f"There are no {noun}s. Received: an array of shape {rows.shape}.")
    if rows.shape[1:] != shape:
        raise ValueError(
            f"{noun.capitalize()}s must have the shape {shape}. "
            f"Received: {noun}s of shape {rows.shape[1:]}."
        )
    return rows


def as_batch(x: Any, noun: str, shape: tuple[int, ...]) -> tf.Tensor:
    """A batch of a stream, [B, *shape], of its own type.

    Raises:
        ValueError: If its static shape or dtype does not fit.
    """
    x = tf.convert_to_tensor(x)
    if not (x.dtype.is_floating or x.dtype.is_integer or x.dtype == tf.bool):
        raise ValueError(f"{noun.capitalize()}s must be numbers. Received: dtype {x.dtype.name}.")
    if x.shape == shape:
        raise ValueError(
            "A stream brings batches [B, ...]: add `.batch(32)`. "
            f"Received: single {noun}s of shape {tuple(x.shape)}."
        )
    if not x.shape[1:].is_compatible_with(shape):
        raise ValueError(
            f"{noun.capitalize()}s must have the shape {shape}. "
            f"Received: {noun}s of shape {tuple(x.shape[1:])}."
        )
    return tf.ensure_shape(x, [None, *shape])
