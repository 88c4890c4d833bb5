"""What commands do with models of tables: rows read from files, and written to them."""

import argparse
from pathlib import Path
from typing import Any

from zoo.files import write_atomically
from zoo.observations import Table
from zoo.validation import shown

WRITES = (".csv", ".parquet")


def is_table(path: str | None) -> bool:
    """Whether a path is that of a file of rows."""
    return path is not None and Path(path).suffix.lower() in WRITES


def draws_rows(model: Any, arguments: argparse.Namespace) -> bool:
    """Whether `zoo sample` is to write rows.

    Raises:
        ValueError: If what was asked for is not what the model draws.
    """
    of_rows = isinstance(model.observation, Table)
    if of_rows and arguments.out is not None and not is_table(arguments.out):
        raise ValueError(f"Rows are written as .csv or .parquet. Received: --out {arguments.out}.")
    if not of_rows and (arguments.num_rows is not None or is_table(arguments.out)):
        raise ValueError(
            "Rows are drawn by models of tables. Received: a model of "
            f"{model.observation.noun}s of shape {shown(model.observation.shape)}."
        )
    return of_rows


def write(frame: Any, path: str) -> None:
    """Writes a DataFrame as .csv or .parquet, whole or not at all."""
    parquet = Path(path).suffix.lower() == ".parquet"
    content = frame.to_parquet(index=False) if parquet else frame.to_csv(index=False).encode()
    write_atomically(Path(path), content)
