"""How well hidden cells are filled, where the truth is known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from zoo.models.imputation import INTERVAL
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Observation, Rows, Table
from zoo.observations.column import Column
from zoo.observations.frames import as_frame
from zoo.observations.number_columns import Number


class HiddenCells(NamedTuple):
    """Cells that a model has filled and whose values are known: arrays [n], in the units of the
    rows that it is given. Cells of a table are in standard deviations of their column, from the
    mean of the column.

    Attributes:
        row: Number of the cell's row.
        truth, imputed: What was hidden, and what the model puts there.
        lower, upper: The ends of its 90 % interval.
    """

    row: np.ndarray
    truth: np.ndarray
    imputed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Whether the truth lies in its interval: bool [n]."""
        return (self.lower <= self.truth) & (self.truth <= self.upper)


def hidden_cells(
    model: LatentVariableModel, x: Any, complete: Any, *, num_samples: int = 1000, seed: int = 0
) -> HiddenCells:
    """The cells of columns of numbers that are missing in `x` and known in `complete`, and what
    `model.impute` makes of them.

    Args:
        model: A model whose observation may have gaps.
        x: Rows with gaps, as the model takes them, [N, ...].
        complete: The same rows without, or with fewer.
        num_samples: Importance samples.
        seed: Of all draws.

    Raises:
        ValueError: If no cell is hidden whose value is known, or the rows do not fit the model.
    """
    numbers = _reader(model.observation, complete)
    hidden, truth = which_are_hidden(model.observation, x, complete), numbers(complete)
    if not hidden.any():
        raise ValueError(
            "An imputation is judged by hidden cells of columns of numbers. Received: "
            f"{len(hidden)} rows without."
        )
    filled = model.impute(x, num_samples, seed=seed)
    return HiddenCells(
        np.nonzero(hidden)[0],
        truth[hidden],
        *(numbers(rows)[hidden] for rows in (filled.imputed, filled.lower, filled.upper)),
    )


def which_are_hidden(observation: Observation, x: Any, complete: Any) -> np.ndarray:
    """Which cells of columns of numbers are missing in `x` and known in `complete`: bool [N, C].

    Args:
        observation: What the rows are.
        x: Rows with gaps, [N, ...].
        complete: The same rows without, or with fewer.

    Raises:
        ValueError: If the rows are not as many.
    """
    numbers = _reader(observation, complete)
    seen, truth = numbers(x), numbers(complete)
    if seen.shape != truth.shape:
        raise ValueError(
            "The complete rows must be those with gaps. Received: "
            f"{len(truth)} complete rows for {len(seen)}."
        )
    return np.isnan(seen) & ~np.isnan(truth) & _holds_numbers(observation)


def hide_cells(
    observation: Observation, x: Any, share: float = 0.1, seed: int = 0
) -> tuple[Any, int]:
    """Hides some of the cells of columns of numbers that were seen, chosen completely at random.

    Args:
        observation: What the rows are: vectors, `Rows` or a `Table`.
        x: Rows [N, ...], as the model takes them.
        share: Of the cells that were seen, in (0, 1]; one cell at least is hidden.
        seed: Of the choice.

    Returns:
        The rows with gaps, and how many cells were hidden; 0 where there were none to hide.
    """
    values = _reader(observation, x)(x)
    seen = ~np.isnan(values) & _holds_numbers(observation)
    number = min(int(seen.sum()), max(1, round(share * seen.sum())))
    hidden = np.zeros(seen.shape, bool)
    hidden.flat[np.random.default_rng(seed).permutation(np.flatnonzero(seen))[:number]] = True
    if not isinstance(observation, Table):
        return np.where(hidden, np.nan, np.asarray(x, np.float32)), number
    frame = as_frame(x).copy()
    for field, column in zip(_number_fields(observation), hidden.T, strict=True):
        frame[field.name] = frame[field.name].where(~column)
    return frame, number


def _reader(observation: Observation, complete: Any) -> Callable[[Any], np.ndarray]:
    """Function from rows to numbers, float64 [N, C]. Those of a table are standardized by the
    complete rows: what a model is given of a column may be several numbers."""
    if not isinstance(observation, Table):
        return lambda rows: next(iter(observation.check(rows).values())).astype(np.float64)
    fields = _number_fields(observation)

    def numbers(rows):
        frame = as_frame(rows, [field.name for field in observation.fields])
        columns = [field.numbers(frame[field.name]) for field in fields]
        return np.stack(columns, axis=-1) if columns else np.empty((len(frame), 0))

    truth = numbers(complete)
    known = [column[~np.isnan(column)] for column in truth.T]
    loc = np.array([column.mean() if column.size else 0.0 for column in known])
    scale = np.array([column.std() if column.size else 1.0 for column in known])
    return lambda rows: (numbers(rows) - loc) / np.where(scale > 0, scale, 1.0)


def _number_fields(table: Table) -> list[Column]:
    return [field for field in table.modelled if isinstance(field, Number)]


def _holds_numbers(observation):
    """Whether each column of what `_reader` reads holds numbers, and no classes: bool, or [C]."""
    if isinstance(observation, Rows) and not isinstance(observation, Table):
        return np.asarray(observation.num_classes) == 0
    return True


def imputation_numbers(cells: HiddenCells) -> dict[str, dict[str, Any]]:
    """The error and the coverage of hidden cells.

    - `imputation_mse`, their mean squared error: of standardized rows and of tables in standard
      deviations of each column, squared
    - `interval_coverage`, the share of them that lie in their 90 % interval

    Returns:
        Name -> dict with `value`, `unit`, `num_cells`, and `stderr_images`, the standard error over
        rows.
    """
    errors = (cells.imputed - cells.truth) ** 2
    return {
        "imputation_mse": {**_mean(errors, cells.row), "unit": "score"},
        "interval_coverage": {
            **_mean(cells.inside, cells.row),
            "unit": "share",
            "interval": INTERVAL,
        },
    }


def _mean(values, rows):
    """The mean over cells, and its standard error over rows: cells of a row err together."""
    mean = values.mean()
    of_rows = np.bincount(rows, weights=values - mean)
    error = np.sqrt(np.sum(of_rows**2)) / len(values)
    return {"value": float(mean), "stderr_images": float(error), "num_cells": len(values)}
