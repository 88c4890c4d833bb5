"""What a detector finds: scores beside their threshold, and why the oddest rows are odd."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zoo.plots.figures import finished, subplots
from zoo.validation import shown

# Scores beyond this share of a kind would flatten the rest; the last bar holds them.
SHOWN_SHARE = 0.98
MOST_BINS = 40
NORMAL, ODD = "#4477aa", "#cc6677"


def scores(
    scores: Any,
    anomaly: Any = None,
    threshold: float | None = None,
    path: str | Path | None = None,
    noun: str = "row",
) -> Figure:
    """Histogram of anomaly scores, with the threshold; where the truth is known the ROC beside it.

    Args:
        scores: Anomaly scores [N], nats: higher is odder.
        anomaly: Whether each row is an anomaly [N], or None where nobody knows.
        threshold: Score above which a row is called one.
        path: Where the picture is written.
        noun: What a row is called, as in `model.observation.noun`.

    Raises:
        ValueError: If rows of one kind are missing, or there is not one truth for each score.
    """
    values = np.asarray(scores, float)
    kinds = {f"{noun}s": (values, NORMAL)}
    if anomaly is not None:
        truth = np.asarray(anomaly, bool)
        if truth.shape != values.shape or truth.all() or not truth.any():
            raise ValueError(
                "There must be normal rows and anomalies, one truth for each score. Received: "
                f"scores={shown(values)}, anomaly={shown(np.asarray(anomaly))}."
            )
        kinds = {"normal": (values[~truth], NORMAL), "anomalies": (values[truth], ODD)}
    num_panels = 1 if anomaly is None else 2
    figure, axes = subplots(1, num_panels, figsize=(4.2 * num_panels, 3.2), squeeze=False)
    axis = axes[0, 0]
    first, last = values.min(), max(np.quantile(part, SHOWN_SHARE) for part, _ in kinds.values())
    if threshold is not None and np.isfinite(threshold):
        # What is above the threshold is drawn beyond it.
        last = max(last, threshold + 0.1 * abs(threshold - first))
    num_bins = int(np.clip(np.sqrt(min(len(part) for part, _ in kinds.values())), 10, MOST_BINS))
    bins = np.linspace(first, max(last, first + 1e-6), num_bins + 1)
    for name, (part, color) in kinds.items():
        axis.hist(
            np.minimum(part, bins[-1]),
            bins,
            density=True,
            alpha=0.6,
            color=color,
            label=f"{name} ({len(part):,})",
        )
    if threshold is not None and np.isfinite(threshold):
        axis.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:.1f}")
    axis.set_xlabel("-log p(x), nats (the last bar holds all above)", fontsize=8)
    axis.set_ylabel("density", fontsize=8)
    axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    if anomaly is not None:
        _draw_roc(axes[0, 1], values, truth, threshold, noun)
    return finished(figure, path)


def _draw_roc(axis, values, truth, threshold, noun):
    order = np.argsort(-values, kind="stable")
    found = np.cumsum(truth[order]) / truth.sum()
    alarms = np.cumsum(~truth[order]) / (~truth).sum()
    # Rows of one score are called together.
    ends = np.append(np.diff(values[order]) != 0, True)
    alarms, found = np.append(0.0, alarms[ends]), np.append(0.0, found[ends])
    area = float(np.sum(np.diff(alarms) * (found[1:] + found[:-1]) / 2))
    axis.plot(alarms, found, color=ODD, linewidth=1.5, label=f"AUROC {area:.3f}")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    if threshold is not None and np.isfinite(threshold):
        called = values > threshold
        axis.plot(called[~truth].mean(), called[truth].mean(), "o", color="black", markersize=5)
    axis.set_xlabel(f"false alarms, share of normal {noun}s", fontsize=8)
    axis.set_ylabel("found, share of anomalies", fontsize=8)
    axis.legend(fontsize=8, frameon=False, loc="lower right")
    axis.tick_params(labelsize=8)
    axis.set_aspect("equal")


def contributions(
    contributions: Any,
    usual: Any = None,
    names: Sequence[str] | None = None,
    num_rows: int = 4,
    num_columns: int = 10,
    path: str | Path | None = None,
) -> Figure:
    """Which columns make the oddest rows odd: the greatest contributions of each, a panel a row.

    Args:
        contributions: Nats of each column, [N, C], of `Detector.contributions`.
        usual: Those of normal rows [M, C], whose mean is subtracted: columns differ in what is
            usual for them.
        names: Of the columns.
        num_rows: How many rows; the oddest come first.
        num_columns: How many columns of each.
        path: Where the picture is written.

    Raises:
        ValueError: If shapes do not fit.
    """
    nats = np.asarray(contributions, float)
    names = [f"column {number}" for number in range(nats.shape[-1])] if names is None else names
    if nats.ndim != 2 or len(names) != nats.shape[1]:
        raise ValueError(
            "Contributions must have the shape [N, C], with C names. Received: "
            f"{shown(nats)} and {len(names)} names."
        )
    if usual is not None:
        nats = nats - np.asarray(usual, float).mean(axis=0)
    oddest = np.argsort(-nats.sum(axis=1), kind="stable")[:num_rows]
    count = min(num_columns, nats.shape[1])
    figure, axes = subplots(
        1, len(oddest), figsize=(3.2 * len(oddest), 0.6 + 0.24 * count), squeeze=False
    )
    for axis, row in zip(axes[0], oddest, strict=True):
        greatest = np.argsort(-nats[row], kind="stable")[:count]
        colors = np.where(nats[row, greatest] > 0, ODD, NORMAL)
        axis.barh([names[column] for column in greatest], nats[row, greatest], color=colors)
        axis.invert_yaxis()
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(f"row {row}: {nats[row].sum():.1f} nats", fontsize=9)
        of_normal = "" if usual is None else " more than in normal rows"
        axis.set_xlabel(f"nats{of_normal}", fontsize=8)
        axis.tick_params(labelsize=7)
    return finished(figure, path)
