"""Numbers over epochs, samples and weights of the KL."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zoo.plots.figures import finished, subplots


def curves(
    history: Sequence[Mapping[str, float]],
    path: str | Path | None = None,
    noun: str = "example",
) -> Figure:
    """Bound, rate, distortion, accuracy and use of codes by epoch, whichever the model has.

    Args:
        history: List of dicts with "epoch" and Keras's logs, as in history.csv.
        noun: What an example is called, as in `model.observation.noun`.
    """
    epochs = [row["epoch"] for row in history]
    panels = {
        "elbo": ("-ELBO", -1),
        "log_likelihood": ("distortion: -log p(x|z)", -1),
        "kl": ("rate: KL(q || p)", 1),
        "kl_monte_carlo": ("rate: KL(q || p)", 1),
        "accuracy": ("accuracy", 1),
        "codes_used": ("codes that occur in an epoch", 1),
        "perplexity": ("perplexity of the codes", 1),
    }
    units = {"accuracy": f"share of {noun}s", "codes_used": "codes", "perplexity": "codes"}
    panels = {name: panel for name, panel in panels.items() if name in history[0]}
    figure, axes = subplots(1, len(panels), figsize=(3.3 * len(panels), 2.8), squeeze=False)
    axes = axes[0]
    for axis, (name, (title, sign)) in zip(axes, panels.items(), strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            if prefix + name in history[0]:
                values = [sign * row[prefix + name] for row in history]
                axis.plot(epochs, values, label=label, linewidth=1.2)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.set_ylabel(units.get(name, f"nats per {noun}"), fontsize=8)
        axis.tick_params(labelsize=8)
        low, high = np.percentile([line.get_ydata() for line in axis.lines], [0, 98])
        # The first epochs would flatten the rest.
        axis.set_ylim(low - 0.05 * (high - low) - 1e-3, high + 0.05 * (high - low) + 1e-3)
    axes[0].legend(fontsize=8, frameon=False)
    return finished(figure, path)


def rate_distortion(
    points: Sequence[Mapping[str, Any]],
    path: str | Path | None = None,
    noun: str = "example",
) -> Figure:
    """Rate against distortion with lines of equal ELBO, and active units beside it.

    Alemi et al., "Fixing a broken ELBO", ICML 2018. https://arxiv.org/abs/1711.00464

    Args:
        points: List of dicts with `label`, `log_likelihood` and `kl` (nats per example),
            `active_units` and `latent_dim`.
        noun: As in `curves`.
    """
    labels = [point["label"] for point in points]
    active, of = ([point[name] for point in points] for name in ("active_units", "latent_dim"))
    figure, (plane, bars) = subplots(1, 2, figsize=(9.5, 4), width_ratios=(3, 2))
    positions = np.array([(-point["log_likelihood"], point["kl"]) for point in points])
    _draw_plane(plane, positions, labels)
    plane.set_title(f"validation {noun}s, with lines of equal ELBO", fontsize=9)
    plane.set_xlabel(f"distortion: -log p(x|z), nats per {noun}", fontsize=8)
    plane.set_ylabel(f"rate: KL(q || p), nats per {noun}", fontsize=8)
    bars.bar_label(
        bars.barh(labels, active, height=0.5),
        [f"{a} of {d}" for a, d in zip(active, of, strict=True)],
        padding=3,
        fontsize=7,
    )
    bars.invert_yaxis()
    bars.set_xlim(0, 1.25 * max(of))
    bars.set_title("active units", fontsize=9)
    bars.set_xlabel("latent dimensions with Var E[z|x] > 0.01", fontsize=8)
    for axis in (plane, bars):
        axis.tick_params(labelsize=8)
    return finished(figure, path)


def importance_curve(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path | None = None,
    noun: str = "example",
) -> Figure:
    """Estimates of log p(x) and the samples that carry them, against the number of samples, one
    line a proposal.

    Args:
        rows: What `zoo.evaluation.importance.importance_curve` returns.
        noun: As in `curves`.
    """
    figure, (estimates, sizes) = subplots(1, 2, figsize=(9.5, 3.6))
    labels = {"posterior": "draws from q(z|x)", "prior": "draws from the prior p(z)"}
    for proposal, label in labels.items():
        of_proposal = [row for row in rows if row["proposal"] == proposal]
        if of_proposal:
            counts, means, effective = (
                [row[key] for row in of_proposal]
                for key in ("num_samples", "log_prob", "effective_sample_size")
            )
            errors = [row["stderr_images"] or 0.0 for row in of_proposal]
            estimates.errorbar(
                counts,
                means,
                errors,
                marker="o",
                markersize=4,
                linewidth=1.2,
                capsize=2,
                label=label,
            )
            sizes.plot(counts, effective, marker="o", markersize=4, linewidth=1.2, label=label)
    ends = [min(row["num_samples"] for row in rows), max(row["num_samples"] for row in rows)]
    sizes.plot(ends, ends, color="0.7", linestyle="--", linewidth=0.8, label="every sample counts")
    estimates.set_title(
        f"Estimate of log p(x), mean of {rows[0]['num_examples']} {noun}s", fontsize=9
    )
    estimates.set_ylabel(f"nats per {noun}, ± standard error over {noun}s", fontsize=8)
    sizes.set_title("Samples that carry the estimate", fontsize=9)
    sizes.set_ylabel(f"effective sample size, median over {noun}s", fontsize=8)
    sizes.set_yscale("log")
    for axis in (estimates, sizes):
        axis.set_xscale("log")
        axis.set_xlabel(f"samples of z per {noun}", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8, frameon=False)
    return finished(figure, path)


def _draw_plane(axis, positions, labels):
    """Points [N, 2] with their labels, on lines of equal ELBO = -(distortion + rate)."""
    axis.plot(*positions.T, "o", markersize=4)
    axis.margins(0.18)
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    distortion, rate = np.meshgrid(np.linspace(left, right, 50), np.linspace(bottom, top, 50))
    lines = axis.contour(
        distortion,
        rate,
        -(distortion + rate),
        levels=8,
        colors="0.8",
        linewidths=0.7,
        linestyles="solid",
        zorder=0,
    )
    axis.clabel(lines, fontsize=6, fmt="%g")
    # Points that all but coincide, as collapsed ones do, share one label with a line for each.
    names = {}
    places = axis.transAxes.inverted().transform(axis.transData.transform(positions))
    for place, label in zip(places, labels, strict=True):
        near = next((other for other in names if np.hypot(*(place - other)) < 0.04), tuple(place))
        names.setdefault(near, []).append(label)
    for place, shared in names.items():
        text = "\n".join(shared)
        axis.annotate(
            text, place, (5, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7
        )
