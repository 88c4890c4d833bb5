"""Codes of more than two dimensions, on the two axes along which they vary most."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from zoo.plots.codes import means
from zoo.plots.figures import finished, subplots


def latent_pca(
    model: keras.Model,
    examples: Mapping[str, Any],
    names: Sequence[str] | None = None,
    num_examples: int = 5000,
    path: str | Path | None = None,
) -> Figure:
    """Codes (posterior means) on their first two principal components, coloured by label where
    there is one.

    Args:
        model: A model with one latent vector of two dimensions or more.
        examples: Dict of data: x, "label" int [N] (and "condition" where the model takes one).
        names: Of the labels 0 ... K - 1, for the legend.
        num_examples: How many, at most.

    Raises:
        ValueError: If codes have one dimension.
    """
    examples = {name: array[:num_examples] for name, array in examples.items()}
    places, shares = on_two_axes(means(model, examples))
    figure, axis = subplots(figsize=(6.0, 5.0))
    scatter(axis, places, shares, examples.get("label"), names)
    axis.set_title("Posterior means on their first two principal components", fontsize=9)
    return finished(figure, path)


def on_two_axes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes [N, D] on their first two principal components, [N, 2], and the share of the variance
    along each, [2].

    The sign of a component is that of its largest weight.

    Raises:
        ValueError: If D is 1.
    """
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise ValueError(
            "Principal components need codes of two dimensions or more. Received: codes of shape "
            f"{codes.shape}."
        )
    centred = codes - codes.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    places = centred @ (axes * np.sign(largest)).T
    return places, spread[:2] ** 2 / np.sum(spread**2)


def scatter(
    axis: Any,
    places: np.ndarray,
    shares: np.ndarray,
    labels: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Draws what `on_two_axes` gives, with a legend of the labels [N]."""
    if labels is None:
        axis.scatter(*places.T, s=4, linewidths=0, color="0.3")
    else:
        numbers = np.unique(labels)
        colours = "tab10" if len(numbers) <= 10 else "tab20"
        points = axis.scatter(*places.T, c=labels, cmap=colours, s=5, linewidths=0)
        shown = [str(number) if names is None else names[number] for number in numbers]
        handles = points.legend_elements(num=list(numbers))[0]
        axis.legend(handles, shown, title="label", fontsize=7, title_fontsize=7, markerscale=0.7)
    axis.set_xlabel(f"component 1: {100 * shares[0]:.0f} % of the variance", fontsize=8)
    axis.set_ylabel(f"component 2: {100 * shares[1]:.0f} % of the variance", fontsize=8)
    axis.tick_params(labelsize=7)
