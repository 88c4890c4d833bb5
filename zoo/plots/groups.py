"""What each latent of a hierarchy carries."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from zoo.evaluation.latents import kl_by_latent
from zoo.models.latent_variable import LatentVariableModel
from zoo.plots.figures import finished, subplots


def group_kls(
    model: LatentVariableModel,
    examples: Mapping[str, Any],
    num_examples: int = 1000,
    path: str | Path | None = None,
) -> Figure:
    """KL(q || p) of each latent in nats an example, in the order in which they are drawn: a bar
    each. A group without a bar carries nothing.

    Args:
        model: A model with several latents.
        examples: Dict of data.
        num_examples: How many of them, the first, are looked at.
    """
    nats = kl_by_latent(model, examples, num_examples)
    noun = model.observation.noun
    figure, axis = subplots(figsize=(6.0, 0.9 + 0.24 * len(nats)))
    names = [f"{name}  {' x '.join(map(str, model.latents[name].event_shape))}" for name in nats]
    places = range(len(nats))
    bars = axis.barh(places, list(nats.values()), color="tab:blue", height=0.7)
    axis.bar_label(bars, [f"{value:.2f}" for value in nats.values()], fontsize=7, padding=3)
    axis.set_yticks(places, names, fontsize=7)
    axis.invert_yaxis()  # what is drawn first stands on top
    axis.set_xlim(0, 1.12 * max(*nats.values(), math.ulp(1.0)))
    axis.set_xlabel(f"KL(q || p), nats per {noun}: {sum(nats.values()):.2f} in all", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    return finished(figure, path)
