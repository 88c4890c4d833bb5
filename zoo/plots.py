"""Pictures: each function returns a Matplotlib figure, and writes it where a path is given."""

import matplotlib

matplotlib.use("Agg")  # no display is needed; a notebook shows the returned figure all the same

import numpy as np
from matplotlib import pyplot as plt

from zoo.images import to_unit_interval
from zoo.random import RowNoise


def samples(model, num_rows=8, num_columns=12, seed=0, path=None):
    """A sheet of images from the prior: means of p(x|z), z ~ p(z)."""
    images = model.generate(RowNoise.of_seed(seed, num_rows * num_columns))["reconstruction"]
    figure = _sheet(np.asarray(images), num_rows, num_columns)
    figure.suptitle("Samples: mean of p(x|z), z ~ p(z)", fontsize=9)
    return _finished(figure, path)


def reconstructions(model, examples, num_columns=12, path=None):
    """Images above the mean of p(x|z) at their posterior mean.

    Args:
        model: A trained model.
        examples: Dict with "image" [N, H, W, C]; the first `num_columns` are shown.
    """
    originals = to_unit_interval(examples["image"][:num_columns])
    num_columns = len(originals)
    pairs = np.concatenate([np.asarray(originals), np.asarray(model.reconstruct(originals))])
    figure = _sheet(pairs, 2, num_columns)
    figure.suptitle("Images (above) and their reconstructions (below)", fontsize=9)
    return _finished(figure, path)


def curves(history, path=None):
    """Bound, rate and distortion by epoch.

    Args:
        history: List of dicts with "epoch" and Keras's logs, as in history.csv.
    """
    epochs = [row["epoch"] for row in history]
    kl = "kl" if "kl" in history[0] else "kl_monte_carlo"
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    for axis, name, title, sign in (
        (axes[0], "elbo", "-ELBO", -1),
        (axes[1], "log_likelihood", "distortion: -log p(x|z)", -1),
        (axes[2], kl, "rate: KL(q || p)", 1),
    ):
        for prefix, label in (("", "training"), ("val_", "validation")):
            if prefix + name in history[0]:
                axis.plot(epochs, [sign * row[prefix + name] for row in history], label=label, linewidth=1.2)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.set_ylabel("nats per image", fontsize=8)
        axis.tick_params(labelsize=8)
        low, high = np.percentile([line.get_ydata() for line in axis.lines], [0, 98])
        axis.set_ylim(low - 0.05 * (high - low) - 1e-3, high + 0.05 * (high - low) + 1e-3)  # the first epochs would flatten the rest
    axes[0].legend(fontsize=8, frameon=False)
    return _finished(figure, path)


def _sheet(images, num_rows, num_columns):
    """[rows * columns, H, W, C] -> one figure without gaps between axes to compute."""
    _, height, width, channels = images.shape
    margin = max(1, height // 14)
    sheet = np.ones([num_rows * (height + margin) + margin, num_columns * (width + margin) + margin, channels])
    for number, image in enumerate(images):
        row, column = divmod(number, num_columns)
        top, left = margin + row * (height + margin), margin + column * (width + margin)
        sheet[top : top + height, left : left + width] = image
    scale = 0.55
    figure, axis = plt.subplots(figsize=(num_columns * scale, num_rows * scale + 0.35), layout="constrained")
    axis.imshow(np.clip(sheet, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    return figure


def _finished(figure, path):
    if path is not None:
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return figure
