"""How well hidden cells are filled, where the truth is known."""

from typing import Any, NamedTuple

import numpy as np

from zoo.models.imputation import INTERVAL
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Rows


class HiddenCells(NamedTuple):
    """Cells that a model has filled and whose values are known: arrays [n], in the units of the
    rows that it is given.

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

    def numbers(rows):
        return next(iter(model.observation.check(rows).values())).astype(np.float64)

    seen, truth = numbers(x), numbers(complete)
    if seen.shape != truth.shape:
        raise ValueError(
            "The complete rows must be those with gaps. Received: "
            f"{len(truth)} complete rows for {len(seen)}."
        )
    hidden = np.isnan(seen) & ~np.isnan(truth)
    if isinstance(model.observation, Rows):
        hidden &= np.asarray(model.observation.num_classes) == 0
    if not hidden.any():
        raise ValueError(
            "An imputation is judged by hidden cells of columns of numbers. Received: "
            f"{len(seen)} rows without."
        )
    filled = model.impute(x, num_samples, seed=seed)
    return HiddenCells(
        np.nonzero(hidden)[0],
        truth[hidden],
        *(numbers(rows)[hidden] for rows in (filled.imputed, filled.lower, filled.upper)),
    )


def imputation_numbers(cells: HiddenCells) -> dict[str, dict[str, Any]]:
    """The error and the coverage of hidden cells.

    - `imputation_mse`, their mean squared error: of standardized rows in standardized units
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
