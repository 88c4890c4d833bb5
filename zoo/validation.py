"""Numbers as users give them, Python's or NumPy's: taken as what they are, or refused by name.
Standard library alone."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard, runtime_checkable

LARGEST = 2**31 - 1  # steps, rows and samples are counted in int32
LONGEST_SHOWN = 200  # characters


@runtime_checkable
class Array(Protocol):
    """An array or tensor of any package."""

    shape: Any
    dtype: Any


def shown(value: Any) -> str:
    """A value of any kind in a message: one short line. An array or a tensor is told by its shape
    and type."""
    if isinstance(value, Array) and not isinstance(value, type) and tuple(value.shape or ()):
        # TensorFlow's types call themselves "<dtype: 'float32'>".
        dtype = str(value.dtype).removeprefix("<dtype: '").removesuffix("'>")
        return f"{type(value).__name__} of shape {tuple(value.shape)} and type {dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def integer(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """An integer of any type, as Python's.

    Raises:
        ValueError: If `value` is no integer in `least` ... `most`; the message calls it `name`.
    """
    number = as_integer(value)
    if number is not None and most is None and number > LARGEST:
        raise ValueError(
            f"`{name}` must be an integer below 2**31. Received: {name}={shown(value)}."
        )
    if number is None or number < least or (most is not None and number > most):
        raise ValueError(
            f"`{name}` must be {_range(least, most)}. Received: {name}={shown(value)}."
        )
    return number


def as_integer(value: Any) -> int | None:
    """A Python integer, or None for what is none: booleans and floats are not."""
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return None
    try:
        return operator.index(value)
    except (TypeError, AttributeError):  # the latter of TensorFlow's booleans
        return None


def boolean(name: str, value: Any) -> bool:
    """True or False, of Python or of NumPy, as Python's.

    Raises:
        ValueError: If `value` is neither; the message calls it `name`.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={shown(value)}.")
    return bool(value)


def seed(value: Any, name: str = "seed") -> int:
    """A seed as a Python integer in 0 ... 2**32 - 1.

    Raises:
        ValueError: If it is none.
    """
    number = as_integer(value)
    if number is None or not 0 <= number < 2**32:
        raise ValueError(
            f"`{name}` must be an integer in 0 ... 2**32 - 1. Received: {name}={shown(value)}."
        )
    return number


def non_negative(name: str, value: Any) -> float:
    """A finite number of at least 0, as Python's.

    Raises:
        ValueError: If it is none; the message calls it `name`.
    """
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"`{name}` must be a non-negative number. Received: {name}={shown(value)}."
        )
    return value if type(value) is int else float(value)


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words.

    Raises:
        ValueError: If `value` is none of them; the message calls it `name`.
    """
    if not (isinstance(value, str) and value in choices):
        *others, last = [repr(choice) for choice in choices]
        raise ValueError(
            f"`{name}` must be {', '.join(others)} or {last}. Received: {name}={shown(value)}."
        )
    return value


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a real number, of Python or of NumPy; booleans are not, and NaN is."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _range(least, most):
    if most is not None:
        return f"an integer in {least} ... {most}"
    return {0: "a non-negative integer", 1: "a positive integer"}.get(
        least, f"an integer of at least {least}"
    )
