"""Which columns a DataFrame has, found from its values."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.observations.column import Category, Column, Constant, as_floats
from zoo.observations.number_columns import (
    Binary,
    Count,
    Date,
    Modes,
    Number,
    Positive,
    Quantile,
    Real,
)
from zoo.observations.rows import Rows
from zoo.validation import shown

# What a user may call a column.
NUMBERS: dict[str, type[Number]] = {
    "real": Real,
    "quantile": Quantile,
    "modes": Modes,
    "positive": Positive,
    "count": Count,
    "date": Date,
}
KINDS = (*NUMBERS, "binary", "category", "ordered")
TRANSFORMS = {"standardize": "real", "quantile": "quantile", "modes": "modes"}
# Texts that are different in more than this share of the rows name the rows.
LARGEST_SHARE = 0.5
FEW_CATEGORIES = 20
# Names of inputs beside the columns in exported signatures.
TAKEN = ("table", "condition", "seed")


def find_columns(
    frame: Any, kinds: Mapping[str, str] | None, transform: str, unknown: str
) -> list[Column]:
    """The columns of a DataFrame. Arguments and errors as in `Table.of`."""
    if len(frame) < 2:
        raise ValueError(
            f"The columns of a table are found from two rows or more. Received: {len(frame)}."
        )
    for argument, value, allowed in (
        ("transform", transform, TRANSFORMS),
        ("unknown", unknown, ("refuse", "missing")),
    ):
        if value not in allowed:
            raise ValueError(
                f"`{argument}` must be one of {', '.join(map(repr, allowed))}. Received: "
                f"{argument}={shown(value)}."
            )
    kinds = dict(kinds or {})
    for name, kind in kinds.items():
        if name not in frame:
            raise ValueError(
                f"`kinds` names a column that there is not: {name!r}. The columns are "
                f"{', '.join(map(repr, frame.columns))}."
            )
        if kind not in KINDS:
            raise ValueError(
                f"A column is one of {', '.join(map(repr, KINDS))}. Received: "
                f"{name!r}: {shown(kind)}."
            )
    found = [
        _find(name, frame[name], kinds.get(name), TRANSFORMS[transform], unknown)
        for name in frame.columns
    ]
    if all(isinstance(column, Constant) for column in found):
        raise ValueError("All columns are constant: there is nothing to model.")
    return found


def _find(name, values, kind, real, unknown):
    """The `Column` of a pandas column, of a kind that a user has named, or None."""
    import pandas as pd

    if name in TAKEN:
        raise ValueError(
            f"A column cannot be called {name!r}, which is an input of its own on servers. Rename "
            "it."
        )
    known, dtype = values.dropna(), str(values.dtype)
    if len(known) == 0:
        raise ValueError(f"Column {name!r} holds nothing: all of its values are missing. Drop it.")
    if known.nunique() == 1:
        return Constant(name, dtype, value=_plain(known.iloc[0]))
    kind = kind or _kind_of(values) or real
    if kind in ("category", "ordered"):
        return _category(name, values, dtype, kind == "ordered", unknown)
    if kind == "binary" and pd.api.types.infer_dtype(known) == "boolean":
        return Binary(name, "boolean" if values.isna().any() else "bool")
    if kind == "date" and not pd.api.types.is_datetime64_any_dtype(values):
        dtype = "datetime64[ns]"
    if kind == "binary":
        return _checked(Binary(name, dtype), as_floats(name, known))
    numbers = Date(name, dtype).numbers(known) if kind == "date" else as_floats(name, known)
    return _checked(NUMBERS[kind].of(name, numbers, dtype), numbers)


def _checked(column, numbers):
    """The column.

    Raises:
        ValueError: If its own numbers are none that it may hold.
    """
    rows = Rows(list(column.holds))
    rows.names = [column.name] * len(column.holds)
    rows.check(np.stack(column.encode(numbers), axis=-1))
    return column


def _kind_of(values):
    """What a pandas column is by itself; None of a number."""
    import pandas as pd

    types, known = pd.api.types, values.dropna()
    if types.is_bool_dtype(values) or types.infer_dtype(known) == "boolean":
        return "binary"
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "ordered" if values.dtype.ordered else "category"
    if types.is_datetime64_any_dtype(values):
        return "date"
    if types.is_numeric_dtype(values):
        return "binary" if set(known.unique()) == {0, 1} else None
    return "category"


def _category(name, values, dtype, ordered, unknown):
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        categories = list(values.dtype.categories)
        ordered = bool(values.dtype.ordered)
    else:
        known = values.dropna().unique()
        categories = sorted(known, key=lambda value: (str(type(value)), value))
    if len(categories) > FEW_CATEGORIES and len(categories) > LARGEST_SHARE * len(values):
        raise ValueError(
            f"Column {name!r} has {len(categories)} categories in {len(values)} rows: it names the "
            "rows. Drop it."
        )
    categories = [_plain(category) for category in categories]
    if len({isinstance(category, str) for category in categories}) > 1:
        raise ValueError(
            f"Column {name!r} must hold texts alone, or numbers alone. Received: both."
        )
    return Category(name, dtype, categories=categories, ordered=ordered, unknown=unknown)


def _plain(value):
    """A value as JSON can hold it."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if isinstance(value, (float, np.floating)) else str(value)
