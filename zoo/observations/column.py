"""A column of a table: from its values to the numbers that a model is given, and back.

Each kind of column says it twice: of a pandas column, in Python, and of a tensor, in an exported
graph.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.validation import shown


class Column:
    """A column of a table.

    A subclass defines `encode` and `decode` of arrays and tensors alike, and where values are no
    numbers `numbers` and `values`, `numbers_of_served` and `served_values`.

    Args:
        name: Its name in the table.
        dtype: The pandas dtype in which its values come back.

    Attributes:
        kind: Name of the class in configurations.
        holds: What each of the numbers that stand for it in a row may be, as
            `zoo.observations.Rows` calls it.
        served: Dtype of its values in an exported signature.
    """

    kind: str
    holds: tuple[str | tuple[str, int], ...] = ("real",)
    served = tf.float32
    kinds: dict[str, type["Column"]] = {}

    def __init__(self, name: str, dtype: str = "float64") -> None:
        self.name = name
        self.dtype = dtype

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            Column.kinds[cls.kind] = cls

    # -- In Python

    def numbers(self, values: Any) -> np.ndarray:
        """A pandas column as float64 [N], NaN where a value is missing.

        Raises:
            ValueError: If it holds what is no such value.
        """
        return as_floats(self.name, values)

    def values(self, numbers: np.ndarray) -> Any:
        """Numbers [N] as an array that pandas makes a column of `dtype` of."""
        return numbers

    # -- In arrays and tensors

    def encode(self, numbers: Any) -> list[Any]:
        """Numbers [N] -> those that stand for them in a row, [N] each."""
        return [numbers]

    def decode(self, encoded: Sequence[Any]) -> Any:
        """What stands in a row -> numbers [N]."""
        return encoded[0]

    # -- In an exported graph

    def numbers_of_served(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [B], NaN where a value is missing or none that the column may hold."""
        return values

    def served_values(self, numbers: tf.Tensor) -> tf.Tensor:
        return numbers

    def get_config(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "dtype": self.dtype}


class Category(Column):
    """One of K values, as its number 0 ... K - 1.

    In Python a value that is none of them is refused; in an exported graph, where rows of several
    users are answered together, it counts as missing.

    Args:
        categories: The K values, text or numbers.
        ordered: Whether pandas calls them ordered; the model does not use it.
        unknown: "refuse" a value that is none of the K, or take it as "missing".
    """

    kind = "category"

    def __init__(
        self,
        name: str,
        dtype: str = "object",
        *,
        categories: Sequence[Any],
        ordered: bool = False,
        unknown: str = "refuse",
    ) -> None:
        super().__init__(name, dtype)
        self.categories = list(categories)
        self.ordered = ordered
        self.unknown = unknown
        self.holds = (("class", len(self.categories)),)
        self.served = tf.string if isinstance(self.categories[0], str) else tf.float32

    def numbers(self, values: Any) -> np.ndarray:
        import pandas as pd

        indices = pd.Index(self.categories, dtype=object).get_indexer(values.astype(object))
        codes = indices.astype(np.float64)  # -1 of what is none
        unknown = (codes < 0) & values.notna().to_numpy()
        if unknown.any() and self.unknown == "refuse":
            some = ", ".join(map(repr, self.categories[:5]))
            more = "" if len(self.categories) <= 5 else f" and {len(self.categories) - 5} more"
            raise ValueError(
                f"Column {self.name!r} must hold one of {some}{more}. "
                f"Received: {shown(values[unknown].iloc[0])}."
            )
        return np.where(codes < 0, np.nan, codes)

    def values(self, numbers: np.ndarray) -> Any:
        import pandas as pd

        codes = np.where(np.isnan(numbers), -1, numbers).astype(int)
        return pd.Categorical.from_codes(codes, categories=self.categories, ordered=self.ordered)

    def numbers_of_served(self, values: tf.Tensor) -> tf.Tensor:
        is_each = values[:, None] == tf.constant(self.categories, self.served)  # [B, K]
        number = tf.cast(tf.argmax(is_each, axis=-1), tf.float32)
        return tf.where(tf.reduce_any(is_each, axis=-1), number, math.nan)

    def served_values(self, numbers: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(self.categories, self.served), tf.cast(numbers, tf.int32))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "categories": self.categories,
            "ordered": self.ordered,
            "unknown": self.unknown,
        }


class Constant(Column):
    """The same value in every row: no number stands for it, and it comes back as it was.

    Args:
        value: The value; None where none is known.
    """

    kind = "constant"
    holds = ()

    def __init__(self, name: str, dtype: str = "object", *, value: Any) -> None:
        super().__init__(name, dtype)
        self.value = value
        self.served = tf.string if isinstance(value, str) else tf.float32

    def numbers(self, values: Any) -> np.ndarray:
        return np.zeros(len(values))

    def encode(self, numbers: Any) -> list[Any]:
        return []

    def decode(self, encoded: Sequence[Any]) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}


def as_floats(name: str, values: Any) -> np.ndarray:
    """A pandas column as float64 [N], NaN where a value is missing.

    Raises:
        ValueError: If it holds what is no finite number.
    """
    import pandas as pd

    floats: Any = pd.to_numeric(values, errors="coerce")
    numbers = floats.to_numpy(np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & values.notna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        wrong = values.notna().to_numpy()
    if wrong.any():
        raise ValueError(
            f"Column {name!r} must hold numbers. Received: {shown(values[wrong].iloc[0])}."
        )
    if np.isinf(numbers).any():
        raise ValueError(f"Column {name!r} must hold finite numbers. Received: infinity.")
    return numbers
