"""How well hidden cells are filled, where the truth is known."""

from typing import Any

import numpy as np

from zoo.models.imputation import INTERVAL
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Rows


def imputation_numbers(
    model: LatentVariableModel, x: Any, complete: Any, *, num_samples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """The error and the coverage of `model.impute` on cells that are hidden from it.

    - `imputation_mse`, the mean squared error over hidden cells of columns of numbers, in the units
      of the rows that the model is given (standardized ones where the table is);
    - `interval_coverage`, the share of these cells that lie in their 90 % interval.

    Args:
        model: A model whose observation may have gaps.
        x: Rows with gaps, as the model takes them, [N, ...].
        complete: The same rows without, or with fewer.
        num_samples: Importance samples.
        seed: Of all draws.

    Returns:
        Name -> dict with `value`, `unit` and what it is of: `num_cells`. Errors carry
        `stderr_images`, over rows.

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
    imputed, lower, upper = (
        numbers(values) for values in (filled.imputed, filled.lower, filled.upper)
    )
    errors = np.where(hidden, (imputed - np.nan_to_num(truth)) ** 2, 0.0)
    inside = hidden & (lower <= truth) & (truth <= upper)
    return {
        "imputation_mse": _mean(errors, hidden) | {"unit": "score"},
        "interval_coverage": _mean(inside, hidden) | {"unit": "share", "interval": INTERVAL},
    }


def _mean(values, counted):
    """The mean over the cells that are counted, [N, C], and its standard error over rows: cells of
    a row err together."""
    values, counts = (np.where(counted, v, 0.0).sum(axis=-1) for v in (values, counted))
    mean = values.sum() / counts.sum()
    error = np.sqrt(np.sum((values - mean * counts) ** 2)) / counts.sum()
    return {"value": float(mean), "stderr_images": float(error), "num_cells": int(counts.sum())}
