"""Pictures of tables: real rows beside drawn ones."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zoo.models.base import Model
from zoo.observations.column import Category, Constant
from zoo.observations.number_columns import Binary, Number
from zoo.observations.table import Table
from zoo.plots.figures import finished, subplots
from zoo.validation import shown

MOST_BINS = 40
LEAST_DRAWN = 1000
MOST_CATEGORIES = 10
PANELS = 4  # in a row
REAL, DRAWN = "0.75", "C0"


def marginals(
    model: Model,
    examples: Mapping[str, Any],
    num_columns: int = 16,
    seed: int = 0,
    path: str | Path | None = None,
) -> Figure:
    """Each column of a table: real rows (grey) and rows that the model draws (blue).

    Args:
        model: A model of tables.
        examples: Dict with the rows under "table".
        num_columns: How many columns are shown, the first.

    Raises:
        ValueError: If the model is of something else.
    """
    if not isinstance(model.observation, Table):
        raise ValueError(
            f"Marginals are of tables. Received: a model of {shown(model.observation)}."
        )
    real, condition = examples[model.key], model.condition.of(examples)
    num_rows = max(len(real), LEAST_DRAWN) if condition is None else len(real)
    drawn = model.sample(num_rows, seed=seed, condition=condition)
    vary = [field for field in model.observation.fields if not isinstance(field, Constant)]
    fields = vary[:num_columns]
    num_rows = math.ceil(len(fields) / PANELS)
    figure, axes = subplots(num_rows, PANELS, figsize=(2.4 * PANELS, 1.8 * num_rows), squeeze=False)
    for axis, field in zip(axes.flat, fields, strict=False):
        if isinstance(field, Category | Binary):
            _bars(axis, real[field.name], drawn[field.name])
        else:
            of_real, of_drawn = (field.numbers(rows[field.name]) for rows in (real, drawn))
            whole = isinstance(field, Number) and field.whole
            _histograms(axis, of_real, of_drawn, whole)
        axis.set_title(field.name, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.set_yticks([])
    for axis in list(axes.flat)[len(fields) :]:
        axis.set_axis_off()
    title = f"{len(real):,} real rows (grey), and {len(drawn):,} drawn (blue)"
    if len(fields) < len(vary):
        title += f"; the first {len(fields)} of {len(vary)} columns"
    figure.suptitle(title, fontsize=9)
    return finished(figure, path)


def _histograms(axis, real, drawn, whole):
    real, drawn = real[~np.isnan(real)], drawn[~np.isnan(drawn)]
    # The tails of a few rows would make the rest a single bar.
    low, high = np.percentile(real, [0.5, 99.5])
    num_bins = int(np.clip(np.sqrt(len(real)), 5, MOST_BINS))
    edges = np.linspace(low, high if high > low else low + 1.0, num_bins + 1)
    if whole:  # as many whole numbers in each bin
        width = max(1.0, np.ceil((high - low + 1.0) / MOST_BINS))
        edges = np.arange(low - 0.5, high + width, width)
    axis.hist(np.clip(real, edges[0], edges[-1]), edges, density=True, color=REAL)
    axis.hist(
        np.clip(drawn, edges[0], edges[-1]), edges, density=True, histtype="step", color=DRAWN
    )


def _bars(axis, real, drawn):
    shares = real.astype(str).where(real.notna()).value_counts(normalize=True)[:MOST_CATEGORIES]
    of_drawn = drawn.astype(str).value_counts(normalize=True)
    places = np.arange(len(shares))
    axis.bar(places, shares.to_numpy(), 0.8, color=REAL)
    heights = [of_drawn.get(name, 0.0) for name in shares.index]
    axis.bar(places, heights, 0.8, fill=False, edgecolor=DRAWN)
    axis.set_xticks(places, [str(name)[:10] for name in shares.index], rotation=60, ha="right")
