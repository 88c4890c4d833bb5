"""Rows of mixed columns: numbers that are real, positive, counts, or one of several classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.observations.numbers import as_rows
from zoo.observations.vector import Vector
from zoo.validation import shown

GREATEST = 2**24  # beyond it float32 has no place for each integer


class Support(NamedTuple):
    """The values that a column may have, beside NaN for one that was not seen."""

    text: str
    least: float
    most: float
    whole: bool
    least_allowed: bool = True


def _classes(number):
    return Support(f"a class 0 ... {number - 1}", 0, number - 1, True)


SUPPORTS = {
    "real": Support("finite", -np.inf, np.inf, False),
    "positive": Support("positive", 0, np.inf, False, least_allowed=False),
    "binary": Support("0 or 1", 0, 1, True),
    "count": Support(f"a whole number in 0 ... {GREATEST}", 0, GREATEST, True),
}


@keras.saving.register_keras_serializable(package="zoo")
class Rows(Vector):
    """Rows [C] of mixed columns: one number of each, a class as its number 0 ... K - 1, and NaN for
    what was not seen.

    The encoder gets each column's number, a class as K numbers of which one is 1, zeros for what
    was not seen, and behind them 1 for each column that was: [B, `encoder_size`].

    Args:
        columns: What each column may hold: "real", "positive", "binary", "count", or
            ("class", K).

    Raises:
        ValueError: If a column may hold none of these.
    """

    key = "rows"
    noun = "row"

    def __init__(self, columns: Sequence[str | tuple[str, int]]) -> None:
        self.columns = [column if isinstance(column, str) else tuple(column) for column in columns]
        super().__init__(len(self.columns), missing=True)
        # What messages call them.
        self.names = [str(number) for number in range(len(self.columns))]
        self.supports = [_support(column) for column in self.columns]
        # Number of classes of each column; 0 of those that hold numbers.
        self.num_classes = [
            0 if isinstance(column, str) else int(column[1]) for column in self.columns
        ]

    @property
    def encoder_size(self) -> int:
        """How many numbers the encoder gets of a row."""
        return sum(max(number, 1) for number in self.num_classes) + len(self.columns)

    def check(self, x: Any) -> dict[str, Any]:
        rows = as_rows(x, self.noun, self.shape).astype(np.float32, copy=False)
        for name, column, support in zip(self.names, rows.T, self.supports, strict=True):
            outside = ~(np.isnan(column) | is_in(support, column))
            if outside.any():
                raise ValueError(
                    f"Column {name!r} must hold values that are {support.text}, or NaN. Received: "
                    f"{column[outside][0]:g}."
                )
        return {self.key: rows}

    def check_stream(self, x: Any) -> dict[str, tf.Tensor]:
        rows = super().check_stream(x)[self.key]
        inside = [
            tf.reduce_all(tf.math.is_nan(column) | is_in(support, column))
            for support, column in zip(self.supports, tf.unstack(rows, axis=-1), strict=True)
        ]
        message = "A batch holds a row with a value that its column may not hold: columns are "
        told = [tf.debugging.Assert(tf.reduce_all(inside), [message + shown(self.columns)])]
        with tf.control_dependencies(told):
            return {self.key: tf.identity(rows)}

    def encoder_input(self, data: Any) -> tf.Tensor:
        x = data[self.key]
        observed = data.get("observed")
        observed = tf.ones_like(x) if observed is None else observed
        parts = [
            column[..., None]
            if number == 0
            else tf.one_hot(tf.cast(column, tf.int32), number) * seen[..., None]
            for column, number, seen in zip(
                tf.unstack(x, axis=-1), self.num_classes, tf.unstack(observed, axis=-1), strict=True
            )
        ]
        return tf.concat([*parts, observed], axis=-1)

    @staticmethod
    def made_up(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Ones, which every column may hold, and gaps."""
        return np.where(generator.random(shape) < 0.3, np.nan, 1.0).astype(np.float32)

    def get_config(self) -> dict[str, Any]:
        columns = [column if isinstance(column, str) else list(column) for column in self.columns]
        return {"columns": columns}


def _support(column):
    if isinstance(column, str):
        if column in SUPPORTS:
            return SUPPORTS[column]
    elif len(column) == 2 and column[0] == "class":
        return _classes(validation.integer("number of classes", column[1], least=2))
    raise ValueError(
        f"A column holds one of {', '.join(SUPPORTS)}, or ('class', K). Received: {shown(column)}."
    )


def is_in(support: Support, column: Any) -> Any:
    """Of an array or a tensor, whether each value is one that the column may hold; NaN is none."""
    least = column >= support.least if support.least_allowed else column > support.least
    whole = column == tf.math.floor(column) if tf.is_tensor(column) else column == np.floor(column)
    inside = least & (column <= support.most) & (abs(column) < np.inf)
    return inside & whole if support.whole else inside
