"""What users hand in as a table, as a DataFrame."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.extras import need
from zoo.validation import shown


def is_frame(data: Any) -> bool:
    """Whether data are a pandas DataFrame, which is not imported for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def as_frame(data: Any, names: Sequence[str] | None = None) -> Any:
    """A DataFrame of what a user hands in as a table.

    Args:
        data: DataFrame, dict of columns, path of a CSV or Parquet file, or array [N, C] of numbers.
        names: Of an array's columns; their numbers if left out.

    Raises:
        ValueError: If it is none of these, or two columns have one name.
    """
    need("tables", "Tables")
    import pandas as pd

    if isinstance(data, (str, os.PathLike)):
        return as_frame(read_table(data))
    if isinstance(data, pd.DataFrame):
        frame = data
    elif isinstance(data, Mapping):
        try:
            frame = pd.DataFrame(
                {
                    name: np.asarray(column) if tf.is_tensor(column) else column
                    for name, column in data.items()
                }
            )
        except ValueError as error:
            raise ValueError(f"A table has columns of one length: {error}.") from None
    else:
        array = _as_array(data)
        if (
            array.ndim != 2
            or array.dtype.kind not in "buif"
            or (names and array.shape[1] != len(names))
        ):
            columns = len(names) if names else "C"
            raise ValueError(
                "A table is a DataFrame, a dict of columns, the path of a CSV or Parquet file, or "
                f"an array of numbers [N, {columns}]. Received: {shown(data)}."
            )
        frame = pd.DataFrame(array, columns=None if names is None else list(names))
    frame = frame.rename(columns=str)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise ValueError(f"Columns must have names of their own. Received: two of {twice[0]!r}.")
    return frame.reset_index(drop=True)


def read_table(path: str | os.PathLike) -> Any:
    """The DataFrame of a CSV or Parquet file.

    Raises:
        ValueError: If there is no such file, or it cannot be read.
    """
    need("tables", "Tables")
    import pandas as pd

    path = Path(path)
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    name = path.name.lower().removesuffix(".gz")
    reader = readers.get(Path(name).suffix)
    if reader is None:
        raise ValueError(f"A table is a .csv or .parquet file. Received: {str(path)!r}.")
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    try:
        return reader(path)
    except Exception as error:  # pandas and its readers raise many
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} cannot be read as a table: {reason}.") from None


def _as_array(data):
    try:
        return np.asarray(data)
    except (ValueError, TypeError):  # of ragged lists, and whatever an object of the user's raises
        return np.asarray(None)
