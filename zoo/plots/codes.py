"""Where codes lie in the latent space."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from scipy import stats

from zoo.data.sprites import Sprites
from zoo.inference.handlers import FromPosterior
from zoo.observations.frames import is_frame
from zoo.plots.figures import finished, subplots
from zoo.random import RowNoise

# Of posterior means, above which a dimension is active: what a code of less tells is noise.
ACTIVE_VARIANCE = 0.01


def latent_maps(
    models: Mapping[str, keras.Model],
    examples: Mapping[str, Any],
    num_examples: int = 5000,
    path: str | Path | None = None,
) -> Figure:
    """Two-dimensional codes (posterior means), coloured by label, one panel a model on axes of its
    own.

    Args:
        models: Dict from title to a model with a latent of two dimensions.
        examples: Dict with x and "label".

    Raises:
        ValueError: If there is no model.
    """
    if not models:
        raise ValueError("`models` must hold a model a panel. Received: models={}.")
    labels = examples["label"][:num_examples]
    figure, axes = subplots(1, len(models), figsize=(5.2 * len(models) + 0.6, 4.8), squeeze=False)
    for axis, (title, model) in zip(axes[0], models.items(), strict=True):
        z = means(model, {model.key: examples[model.key][:num_examples]})
        points = axis.scatter(*z.T, c=labels, cmap="tab10", s=3, linewidths=0, vmin=-0.5, vmax=9.5)
        axis.add_patch(Circle((0, 0), 2, fill=False, linestyle="--", linewidth=0.8, color="black"))
        axis.set_aspect("equal", adjustable="datalim")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("$z_1$")
        axis.set_ylabel("$z_2$")
    figure.colorbar(points, ax=axes[0].tolist(), ticks=range(10), label="label")
    figure.suptitle(
        f"Codes of {model.observation.noun}s; the dashed circle holds 86 % of N(0, I)", fontsize=9
    )
    return finished(figure, path)


def factor_maps(
    model: keras.Model,
    examples: Mapping[str, Any],
    names: Sequence[str] | None = None,
    num_examples: int = 5000,
    path: str | Path | None = None,
) -> Figure:
    """Codes (posterior means) coloured by the ground-truth factors, a panel each, on the two
    dimensions that tell most of it.

    What an active dimension tells of a factor is the share of its variance that the factor
    explains: Var(E[z | factor]) / Var(z).

    Args:
        model: A model with one latent vector of two dimensions or more.
        examples: Dict with x and "factors" [N, K].
        names: Of the factors, in the order of their columns; by default those that sprites know.

    Raises:
        ValueError: If the examples have no factors, the names are not one a factor, or the latent
            has one dimension.
    """
    if "factors" not in examples:
        raise ValueError(
            f"A map of factors needs 'factors' beside {model.key!r}. Received: {sorted(examples)}."
        )
    factors = np.asarray(examples["factors"][:num_examples])
    if names is None and isinstance(examples[model.key], Sprites):
        names = Sprites.factor_names
    names = list(names or (f"factor {i + 1}" for i in range(factors.shape[1])))
    if len(names) != factors.shape[1]:
        raise ValueError(f"There are {factors.shape[1]} factors. Received: names={names}.")
    codes = means(model, {name: array[:num_examples] for name, array in examples.items()})
    if codes.shape[1] < 2:
        raise ValueError("A map needs a latent of two dimensions or more. Received: one.")
    figure, axes = subplots(1, len(names), figsize=(3.1 * len(names), 2.9), squeeze=False)
    for axis, name, values in zip(axes[0], names, factors.T, strict=True):
        shares = _variance_explained(codes, values)
        dims = np.argsort(shares)[::-1][:2]
        points = axis.scatter(*codes[:, dims].T, c=values, cmap="viridis", s=2, linewidths=0)
        bar = figure.colorbar(points, ax=axis, shrink=0.8)
        bar.set_label("number of the value", fontsize=7)
        bar.ax.tick_params(labelsize=7)
        axis.set_xlabel(
            f"$z_{{{dims[0] + 1}}}$: {100 * shares[dims[0]]:.0f} % explained", fontsize=8
        )
        axis.set_ylabel(
            f"$z_{{{dims[1] + 1}}}$: {100 * shares[dims[1]]:.0f} % explained", fontsize=8
        )
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    figure.suptitle(
        "Codes coloured by factor, on the two dimensions whose variance the factor explains best",
        fontsize=9,
    )
    return finished(figure, path)


def _variance_explained(codes, values):
    """Share of each code's variance [D] that knowing the factor's value [N] explains; 0 of a code
    that is not active."""
    variance = codes.var(axis=0)
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    # [values, D]
    group_means = np.stack([np.bincount(groups, weights=code) / counts for code in codes.T], axis=1)
    between = np.average((group_means - codes.mean(axis=0)) ** 2, axis=0, weights=counts)
    return np.divide(
        between, variance, out=np.zeros_like(between), where=variance > ACTIVE_VARIANCE
    )


def aggregate_posterior(
    model: keras.Model,
    examples: Mapping[str, Any],
    num_examples: int = 1000,
    num_dims: int = 8,
    seed: int = 0,
    path: str | Path | None = None,
) -> Figure:
    """Draws of q(z|x) over many x beside the prior's density, for the most active dimensions.

    Args:
        model: A model with one latent vector.
        examples: As in `traversals`; the first `num_examples` are drawn from.
    """
    z, kl = drawn(model, examples, num_examples, seed)
    dims = np.argsort(kl)[::-1][:num_dims]
    columns = min(4, len(dims))
    shape = -(-len(dims) // columns), columns
    figure, axes = subplots(
        *shape, figsize=(2.4 * columns, 1.9 * shape[0] + 0.4), squeeze=False, sharex=True
    )
    line = np.linspace(-4, 4, 161)
    for axis, dim in zip(axes.flat, dims, strict=False):
        axis.hist(z[:, dim], bins=np.linspace(-4, 4, 41), density=True, color="0.7")
        axis.plot(line, stats.norm.pdf(line), linewidth=1.2)
        axis.set_title(f"$z_{{{dim + 1}}}$: KL {kl[dim]:.2f} nats", fontsize=8)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(dims) :]:
        axis.set_axis_off()
    figure.suptitle(
        f"Draws of q(z|x) over {model.observation.noun}s (grey) and N(0, 1) (line)", fontsize=9
    )
    return finished(figure, path)


def drawn(
    model: keras.Model, examples: Mapping[str, Any], num_examples: int = 300, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of q(z|x) [N, D] of the first examples, as training sees them, and the KL of every
    dimension [D]."""
    if not has_code_of_normals(model):
        raise ValueError(
            "A model with one latent vector of diagonal normals is needed. Received: "
            f"{type(model).__name__}."
        )
    data = model.standardize({name: array[:num_examples] for name, array in examples.items()})
    noise = RowNoise.of_seed(seed, len(next(iter(data.values()))))
    batch = model.prepare(
        {name: tf.constant(np.asarray(array)) for name, array in data.items()}, noise
    )
    trace = model.run(FromPosterior(noise), batch)
    return trace.z[0].numpy(), np.mean(trace["z"].kl_per_dim(), axis=0)


def has_code_of_normals(model: keras.Model) -> bool:
    """Whether there is one latent vector, with a diagonal normal for posterior and prior."""
    return list(model.latents) == ["z"] and model.has_kl_per_dim


def means(model: keras.Model, examples: Mapping[str, Any]) -> np.ndarray:
    """Posterior means of x as it is given: [N, D]."""
    x = examples[model.key]
    x = x if is_frame(x) else np.asarray(x)
    if not model.latents:  # an autoencoder's codes
        return np.asarray(model.encode(x))
    return np.asarray(model.encode(x, model.condition.of(examples)).mean())
