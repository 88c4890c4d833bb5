"""Pictures of counts: what real examples and drawn ones have in common."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from zoo.inference.handlers import FromPrior
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Counts
from zoo.plots.figures import finished, subplots
from zoo.random import RowNoise, Stream, draw
from zoo.validation import shown


def count_marginals(
    model: LatentVariableModel,
    examples: Mapping[str, Any],
    num_examples: int = 500,
    seed: int = 0,
    path: str | Path | None = None,
) -> Figure:
    """Mean, variance and share of zeros of each count: of real examples, and of examples that the
    model draws with the same library sizes. Each point is one of the G counts.

    Args:
        model: A model of counts with latents.
        examples: Dict with the counts (and "condition" or "label" where the model takes one).
        num_examples: How many, at most.
        seed: Of the draws.

    Raises:
        ValueError: If the model is of something else.
    """
    if not isinstance(model.observation, Counts):
        raise ValueError(
            f"Marginals of counts are of counts. Received: a model of {shown(model.observation)}."
        )
    examples = {name: array[:num_examples] for name, array in examples.items()}
    real = model.observation.check(examples[model.key])[model.key]
    drawn = _drawn(model, real, model.condition.of(examples), seed)
    least = 0.5 / len(real)  # where a logarithm shows those that are all 0
    figure, axes = subplots(1, 3, figsize=(9.6, 3.4))
    panels = {
        "mean": lambda counts: np.maximum(counts.mean(axis=0), least),
        "variance": lambda counts: np.maximum(counts.var(axis=0), least),
        "share of zeros": lambda counts: (counts == 0).mean(axis=0),
    }
    for axis, (name, statistic) in zip(axes, panels.items(), strict=True):
        x, y = statistic(real), statistic(drawn)
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        axis.plot([low, high], [low, high], color="0.7", linewidth=0.8, zorder=0)
        axis.plot(x, y, ".", markersize=4, alpha=0.5, markeredgewidth=0)
        if name != "share of zeros":
            axis.set_xscale("log")
            axis.set_yscale("log")
        axis.set_title(f"{name} of each of {real.shape[1]:,} counts", fontsize=9)
        axis.set_xlabel(f"real {model.observation.noun}s ({len(real):,})", fontsize=8)
        axis.set_ylabel("drawn, of the same library sizes", fontsize=8)
        axis.tick_params(labelsize=7)
    return finished(figure, path)


def _drawn(model, real, condition, seed):
    """As many drawn examples [N, G], each of the library size of a real one."""
    data = {"library": tf.maximum(tf.constant(real.sum(axis=1), tf.float32), 1.0)}
    if condition is not None:
        data["condition"] = model.condition.check(condition, len(real))
    noise = RowNoise.of_seed(seed, len(real))
    likelihood = model.run(FromPrior(noise), data).likelihood
    return np.asarray(draw(likelihood, noise, Stream.PIXEL))
