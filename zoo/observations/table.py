"""Tables as people have them: named columns of numbers, dates, texts and gaps."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo.extras import need
from zoo.observations.base import Served, is_symbolic
from zoo.observations.column import Column, Constant
from zoo.observations.find_columns import TAKEN, find_columns
from zoo.observations.frames import as_frame
from zoo.observations.rows import Rows, is_in
from zoo.validation import shown


class Stored(NamedTuple):
    """Rows as the model is given them: [B, C]."""

    rows: Any


@keras.saving.register_keras_serializable(package="zoo")
class Table(Rows):
    """Rows of a table with named columns, as a DataFrame, a dict of columns, or a CSV or Parquet
    file.

    `Table.of(data)` finds the columns. They are a part of the model's configuration: an exported
    model takes raw values by the column's name. What was not seen is NaN, None or NaT in Python;
    NaN or "" on a server, where a value that the column may not hold counts as not seen as well.
    Columns of the data that the table does not know are left alone.

    All nats are of the numbers that the model is given: of a standardized column, a density of
    (x - loc) / scale.

    Args:
        columns: List of `zoo.observations.column.Column`, or of their configurations.
    """

    key = "table"
    noun = "row"

    def __init__(self, columns: Sequence[Column | Mapping[str, Any]]) -> None:
        self.fields = [
            column if isinstance(column, Column) else _column(column) for column in columns
        ]
        super().__init__([held for field in self.fields for held in field.holds])
        self.names = [field.name for field in self.fields for _ in field.holds]
        self._served = _served_names(self.modelled)

    @classmethod
    def of(
        cls,
        data: Any,
        kinds: Mapping[str, str] | None = None,
        *,
        transform: str = "standardize",
        unknown: str = "refuse",
    ) -> "Table":
        """The columns of a table, found from its values.

        Bools, and numbers that are 0 and 1 alone, are binary; other numbers are real, whole ones
        rounded where they come back; moments are dates; texts and pandas's categories are
        categories. A column with one value is kept and not modelled. No check can know which column
        is a target: leave it out where the model must not see it.

        Args:
            data: DataFrame, dict of columns, or path of a CSV or Parquet file.
            kinds: Name -> kind of the columns that are to be another: "real", "quantile", "modes",
                "positive", "count", "binary", "date", "category", "ordered".
            transform: Of real columns: "standardize", "quantile", or "modes" (Xu et al. 2019).
            unknown: What a category is that was never seen, in Python: "refuse" it, or "missing".

        Raises:
            ValueError: If a column holds nothing, infinity, or different texts in most rows; or an
                argument is out of range.
        """
        return cls(find_columns(as_frame(data), kinds, transform, unknown))

    @property
    def modelled(self) -> list[Column]:
        """The columns that are not constant."""
        return [field for field in self.fields if field.holds]

    # -- In

    def is_x(self, data: Mapping[str, Any]) -> bool:
        return self.key not in data

    def check(self, x: Any) -> dict[str, Any]:
        if isinstance(x, Stored):
            return {self.key: np.asarray(x.rows, np.float32)}
        frame = as_frame(x, [field.name for field in self.fields])
        missing = [field.name for field in self.modelled if field.name not in frame]
        if missing:
            raise ValueError(
                f"The table lacks the columns {', '.join(map(repr, missing))}. "
                f"Received: {', '.join(map(repr, frame.columns))}."
            )
        if len(frame) == 0:
            raise ValueError("There are no rows. Received: a table of 0 rows.")
        encoded = [
            numbers
            for field in self.modelled
            for numbers in field.encode(field.numbers(frame[field.name]))
        ]
        return super().check(np.stack(encoded, axis=-1))

    def check_stream(self, x: Any) -> dict[str, tf.Tensor]:
        if isinstance(x, Mapping):
            return {self.key: self._of_tensors(x)}
        return super().check_stream(x)

    def as_stored(self, stored: Mapping[str, Any]) -> Any:
        return Stored(stored[self.key])

    def checked(self, stored: Any) -> Any:
        return Stored(stored)

    def as_tensors(self, x: Any) -> dict[str, tf.Tensor]:
        if isinstance(x, Stored):
            return self._with_mask(tf.cast(x.rows, tf.float32))
        if isinstance(x, Served) or (isinstance(x, Mapping) and any(map(is_symbolic, x.values()))):
            return self._with_mask(self._of_tensors(x))
        return self._with_mask(tf.constant(self.check(x)[self.key]))

    def _of_tensors(self, columns):
        """Columns [B] by name as rows [B, C]; NaN for what they may not hold."""
        encoded = []
        for field in self.modelled:
            values = columns[field.name]
            if field.served != tf.string:
                values = tf.cast(values, tf.float32)
            encoded += field.encode(field.numbers_of_served(values))
        rows = tf.stack([tf.cast(numbers, tf.float32) for numbers in encoded], axis=-1)
        held = [
            is_in(support, column)
            for support, column in zip(self.supports, tf.unstack(rows, axis=-1), strict=True)
        ]
        return tf.where(tf.stack(held, axis=-1), rows, np.nan)

    # -- Out

    def to_user(self, values: Any) -> Any:
        """Rows [N, C] as a DataFrame with the columns and dtypes of the data; draws [S, N, C] as a
        list of them. Within a graph they stay as they are."""
        if is_symbolic(values):
            return values
        values = np.asarray(values, np.float64)
        if values.ndim == 3:
            return [self.to_user(rows) for rows in values]
        need("tables", "Tables")
        import pandas as pd

        frame, columns = {}, list(values.T)
        for field in self.fields:
            if isinstance(field, Constant):
                outcomes = [field.value] * len(values)
            else:
                outcomes = field.values(field.decode([columns.pop(0) for _ in field.holds]))
            frame[field.name] = pd.Series(outcomes).astype(field.dtype)
        return pd.DataFrame(frame)

    def fill(self, x: Any, values: Any) -> Any:
        if is_symbolic(values):
            return values
        frame, filled = (
            as_frame(x, [field.name for field in self.fields]).copy(),
            self.to_user(values),
        )
        for name in filled:
            frame[name] = frame[name].where(frame[name].notna(), filled[name])
        return frame

    def rows_given(self, given: Mapping[str, Any], num_rows: int) -> Any:
        """A DataFrame of rows of which only these columns were seen.

        Args:
            given: Name -> value.
            num_rows: How many rows.

        Raises:
            ValueError: If there is no such column, or none that is modelled.
        """
        need("tables", "Tables")
        import pandas as pd

        names = [field.name for field in self.modelled]
        unknown = [name for name in given if name not in names]
        if unknown or not given:
            raise ValueError(
                f"`given` must hold values of some of the columns {', '.join(map(repr, names))}. "
                f"Received: given={shown(dict(given))}."
            )
        blank = {name: pd.Series([None] * num_rows, dtype=object) for name in names}
        return pd.DataFrame(blank).assign(**{name: [v] * num_rows for name, v in given.items()})

    def like(self, x: Any, values: Any) -> Any:
        # Columns of a server and rows of a batch stay tensors.
        return values if isinstance(x, Served | Stored) else self.to_user(values)

    # -- On a server

    def spec(self) -> dict[str, tf.TensorSpec]:
        """A served row: one value of each column that is modelled, by a name of letters, digits and
        underscores."""
        return {
            served: tf.TensorSpec([None], field.served, name=served)
            for served, field in zip(self._served, self.modelled, strict=True)
        }

    def of_served(self, inputs: Mapping[str, tf.Tensor]) -> Any:
        named = zip(self._served, self.modelled, strict=True)
        return Served({field.name: inputs[served] for served, field in named})

    def to_served(self, name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """One output of each column, `name.column`."""
        columns, outputs = tf.unstack(values, axis=-1), {}
        for served, field in zip(self._served, self.modelled, strict=True):
            encoded = [columns.pop(0) for _ in field.holds]
            outputs[f"{name}.{served}"] = field.served_values(field.decode(encoded))
        return outputs

    def get_config(self) -> dict[str, Any]:
        return {"columns": [field.get_config() for field in self.fields]}


def _column(config):
    config = dict(config)
    return Column.kinds[config.pop("kind")](**config)


def _served_names(fields):
    """Names that a signature can have, one of each column: letters, digits, underscores."""
    names = []
    for field in fields:
        ascii = unicodedata.normalize("NFKD", field.name).encode("ascii", "ignore").decode()
        name = re.sub(r"\W", "_", ascii)
        if not name[:1].isalpha():
            name = f"column_{name.lstrip('_')}"
        number = 1
        while name in names or name in TAKEN:
            number += 1
            name = f"{name.rstrip('0123456789').rstrip('_')}_{number}"
        names.append(name)
    return names
