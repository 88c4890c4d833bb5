"""Pictures: each function returns a Matplotlib figure, and writes it where a path is given."""

import matplotlib

matplotlib.use("Agg")  # no display is needed; a notebook shows the returned figure all the same

import numpy as np
from matplotlib import pyplot as plt

from zoo.images import to_unit_interval
from zoo.random import RowNoise, Stream


def pictures(model, examples, directory):
    """Writes the pictures that suit a model into a directory.

    Args:
        model: A trained model of the zoo.
        examples: Dict with "image" [N, H, W, C], and "label" where there are labels.
        directory: `pathlib.Path`.
    """
    if hasattr(model, "visible"):
        completions(model, examples, path=directory / "completions.png")
    else:
        reconstructions(model, examples, path=directory / "reconstructions.png")
        if hasattr(model, "generate"):
            samples(model, path=directory / "samples.png")
    if hasattr(model, "transfer"):
        transfers(model, examples, path=directory / "transfers.png")
    if list(model.latent_shapes.values()) == [(2,)] and "label" in examples:
        latent_maps({"": model}, examples, path=directory / "latent_map.png")


def samples(model, num_rows=8, num_columns=12, seed=0, label=None, path=None):
    """A sheet of images from the prior: means of p(x|z), z ~ p(z).

    Of a model with classes each column is a class and each row one z, unless `label` asks for one class.
    """
    title = "Samples: mean of p(x|z), z ~ p(z)"
    num_classes = getattr(model, "num_classes", None)
    if label is not None and (num_classes is None or model.condition_shape is None):
        raise ValueError(f"{type(model).__name__} is not conditional on a label. Received: label={label}.")
    if num_classes is None:
        images = model.generate(RowNoise.of_seed(seed, num_rows * num_columns))["reconstruction"]
    else:
        num_columns = num_classes if label is None else num_columns
        classes = np.tile(np.arange(num_classes), num_rows) if label is None else np.full(num_rows * num_columns, label)
        rows = np.repeat(np.arange(num_rows), num_columns) if label is None else np.arange(num_rows * num_columns)
        images = _of_classes(model, classes, RowNoise(seed, 0, rows.astype(np.int32)))
        title = (
            "Samples: mean of p(x|y, z); one z a row, one class a column"
            if label is None
            else f"Samples of class {label}: mean of p(x|y, z)"
        )
    figure = _sheet(np.asarray(images), num_rows, num_columns)
    figure.suptitle(title, fontsize=9)
    return _finished(figure, path)


def _of_classes(model, classes, noise):
    """Means of p(x|y, z) for the classes [B] and z ~ p(z), whether the class is a condition or a latent."""
    if model.condition_shape is not None:
        return model.generate(noise, classes)["reconstruction"]
    z = model.generate(noise)["z"]
    return model.decode({"y": np.eye(model.num_classes, dtype=np.float32)[classes], "z": z}).mean()


def transfers(model, examples, num_rows=8, path=None):
    """A person's digit, and all digits in the same hand: the image on the left, then `model.transfer` to each class."""
    images, labels = examples["image"][:num_rows], examples["label"][:num_rows]
    originals = np.asarray(to_unit_interval(images))
    columns = [originals, np.ones_like(originals)]
    columns += [np.asarray(model.transfer(images, labels, np.full(len(images), k, np.int32))) for k in range(model.num_classes)]
    sheet = np.stack(columns, axis=1)  # [rows, 2 + K, H, W, C]
    figure = _sheet(sheet.reshape(-1, *sheet.shape[2:]), len(images), len(columns))
    figure.suptitle("An image (left), and every class in the same hand", fontsize=9)
    return _finished(figure, path)


def completions(model, examples, num_rows=8, num_samples=8, seed=0, path=None):
    """What is seen of an image (hidden pixels grey), completions (means of p(x | visible, z), z ~ p(z | visible)), and the image itself."""
    originals = to_unit_interval(examples["image"][:num_rows])
    seen = np.asarray(model.visible.see(originals))
    if hasattr(model, "generate"):
        drawn = [
            np.asarray(model.generate(RowNoise.of_seed(seed + i, len(originals)), originals)["reconstruction"]) for i in range(num_samples)
        ]
    else:
        drawn = [np.asarray(model.reconstruct(originals))]
    title = "What is seen, completions, and the image" if len(drawn) > 1 else "Seen, completed, image"
    sheet = np.stack([np.where(seen < 0, 0.4, seen), *drawn, np.asarray(originals)], axis=1)
    figure = _sheet(sheet.reshape(-1, *sheet.shape[2:]), len(originals), sheet.shape[1])
    figure.suptitle(title, fontsize=9)
    return _finished(figure, path)


def decoded_draws(models, num_columns=12, num_rows=2, seed=0, path=None):
    """Means of p(x|z) at the same draws z ~ N(0, I), for each model that shares a latent dimension: what a decoder makes of the prior.

    Args:
        models: Dict from name to a model with one latent vector.
    """
    sheets = []
    for model in models.values():
        z = RowNoise.of_seed(seed, num_rows * num_columns).normal(Stream.LATENT, next(iter(model.latent_shapes.values())))
        sheets.append(np.asarray(model.decode(z).mean()))
    figure, axes = plt.subplots(len(models), 1, figsize=(num_columns * 0.55, len(models) * (num_rows * 0.55 + 0.35)), layout="constrained")
    for axis, name, images in zip(np.atleast_1d(axes), models, sheets, strict=True):
        axis.imshow(_tiled(images, num_rows, num_columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(f"{name}: decoded draws from N(0, I)", fontsize=9)
    return _finished(figure, path)


def latent_maps(models, examples, num_images=5000, path=None):
    """Two-dimensional codes (posterior means) of images, coloured by label, one panel a model on axes of its own.

    Args:
        models: Dict from title to a model with a latent of two dimensions.
        examples: Dict with "image" and "label".
    """
    labels = examples["label"][:num_images]
    figure, axes = plt.subplots(1, len(models), figsize=(5.2 * len(models) + 0.6, 4.8), squeeze=False, layout="constrained")
    for axis, (title, model) in zip(axes[0], models.items(), strict=True):
        parameters = model.latent_parameters(model.standardize({**examples, "image": examples["image"][:num_images]})["image"])
        z = np.asarray(parameters["loc" if "loc" in parameters else "z"])
        points = axis.scatter(*z.T, c=labels, cmap="tab10", s=3, linewidths=0, vmin=-0.5, vmax=9.5)
        axis.add_patch(plt.Circle((0, 0), 2, fill=False, linestyle="--", linewidth=0.8, color="black"))
        axis.set_aspect("equal", adjustable="datalim")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("$z_1$")
        axis.set_ylabel("$z_2$")
    figure.colorbar(points, ax=axes[0].tolist(), ticks=range(10), label="digit")
    figure.suptitle("Codes of images; the dashed circle holds 86 % of N(0, I)", fontsize=9)
    return _finished(figure, path)


def reconstructions(model, examples, num_columns=12, path=None):
    """Images above the mean of p(x|z) at their posterior mean.

    Args:
        model: A trained model.
        examples: Dict with "image" [N, H, W, C]; the first `num_columns` are shown.
    """
    originals = to_unit_interval(examples["image"][:num_columns])
    num_columns = len(originals)
    condition = None if model.condition_shape is None else examples.get("condition", examples.get("label"))[:num_columns]
    pairs = np.concatenate([np.asarray(originals), np.asarray(model.reconstruct(originals, condition))])
    figure = _sheet(pairs, 2, num_columns)
    figure.suptitle("Images (above) and their reconstructions (below)", fontsize=9)
    return _finished(figure, path)


def curves(history, path=None):
    """Bound, rate, distortion and accuracy by epoch, whichever the model has.

    Args:
        history: List of dicts with "epoch" and Keras's logs, as in history.csv.
    """
    epochs = [row["epoch"] for row in history]
    panels = {
        "elbo": ("-ELBO", -1),
        "log_likelihood": ("distortion: -log p(x|z)", -1),
        "kl": ("rate: KL(q || p)", 1),
        "kl_monte_carlo": ("rate: KL(q || p)", 1),
        "accuracy": ("accuracy", 1),
    }
    panels = {name: panel for name, panel in panels.items() if name in history[0]}
    figure, axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 2.8), squeeze=False, layout="constrained")
    axes = axes[0]
    for axis, (name, (title, sign)) in zip(axes, panels.items(), strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            if prefix + name in history[0]:
                axis.plot(epochs, [sign * row[prefix + name] for row in history], label=label, linewidth=1.2)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.set_ylabel("share of images" if name == "accuracy" else "nats per image", fontsize=8)
        axis.tick_params(labelsize=8)
        low, high = np.percentile([line.get_ydata() for line in axis.lines], [0, 98])
        axis.set_ylim(low - 0.05 * (high - low) - 1e-3, high + 0.05 * (high - low) + 1e-3)  # the first epochs would flatten the rest
    axes[0].legend(fontsize=8, frameon=False)
    return _finished(figure, path)


def rate_distortion(points, path=None):
    """Rate against distortion with lines of equal ELBO, and active units beside it.

    Alemi et al., "Fixing a broken ELBO", ICML 2018. https://arxiv.org/abs/1711.00464

    Args:
        points: List of dicts with `label`, `log_likelihood` and `kl` (nats per image), `active_units` and `latent_dim`.
    """
    labels = [point["label"] for point in points]
    active, of = ([point[name] for point in points] for name in ("active_units", "latent_dim"))
    figure, (plane, bars) = plt.subplots(1, 2, figsize=(9.5, 4), width_ratios=(3, 2), layout="constrained")
    _draw_plane(plane, np.array([(-point["log_likelihood"], point["kl"]) for point in points]), labels)
    plane.set_title("validation images, with lines of equal ELBO", fontsize=9)
    plane.set_xlabel("distortion: -log p(x|z), nats per image", fontsize=8)
    plane.set_ylabel("rate: KL(q || p), nats per image", fontsize=8)
    bars.bar_label(bars.barh(labels, active, height=0.5), [f"{a} of {d}" for a, d in zip(active, of, strict=True)], padding=3, fontsize=7)
    bars.invert_yaxis()
    bars.set_xlim(0, 1.25 * max(of))
    bars.set_title("active units", fontsize=9)
    bars.set_xlabel("latent dimensions with Var E[z|x] > 0.01", fontsize=8)
    for axis in (plane, bars):
        axis.tick_params(labelsize=8)
    return _finished(figure, path)


def importance_curve(rows, path=None):
    """Estimates of log p(x) and the samples that carry them, against the number of samples, one line a proposal.

    Args:
        rows: What `zoo.evaluation.importance.importance_curve` returns.
    """
    figure, (estimates, sizes) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    labels = {"posterior": "draws from q(z|x)", "prior": "draws from the prior p(z)"}
    for proposal, label in labels.items():
        of_proposal = [row for row in rows if row["proposal"] == proposal]
        if of_proposal:
            counts, means, effective = ([row[key] for row in of_proposal] for key in ("num_samples", "log_prob", "effective_sample_size"))
            errors = [row["stderr_images"] or 0.0 for row in of_proposal]
            estimates.errorbar(counts, means, errors, marker="o", markersize=4, linewidth=1.2, capsize=2, label=label)
            sizes.plot(counts, effective, marker="o", markersize=4, linewidth=1.2, label=label)
    ends = [min(row["num_samples"] for row in rows), max(row["num_samples"] for row in rows)]
    sizes.plot(ends, ends, color="0.7", linestyle="--", linewidth=0.8, label="every sample counts")
    estimates.set_title(f"Estimate of log p(x), mean of {rows[0]['num_examples']} images", fontsize=9)
    estimates.set_ylabel("nats per image, ± standard error over images", fontsize=8)
    sizes.set_title("Samples that carry the estimate", fontsize=9)
    sizes.set_ylabel("effective sample size, median over images", fontsize=8)
    sizes.set_yscale("log")
    for axis in (estimates, sizes):
        axis.set_xscale("log")
        axis.set_xlabel("samples of z per image", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8, frameon=False)
    return _finished(figure, path)


def _draw_plane(axis, positions, labels):
    """Points [N, 2] with their labels, on lines of equal ELBO = -(distortion + rate)."""
    axis.plot(*positions.T, "o", markersize=4)
    axis.margins(0.18)
    distortion, rate = np.meshgrid(np.linspace(*axis.get_xlim(), 50), np.linspace(*axis.get_ylim(), 50))
    lines = axis.contour(distortion, rate, -(distortion + rate), levels=8, colors="0.8", linewidths=0.7, linestyles="solid", zorder=0)
    axis.clabel(lines, fontsize=6, fmt="%g")
    # Points that all but coincide, as collapsed ones do, share one label with a line for each.
    names = {}
    for place, label in zip(axis.transAxes.inverted().transform(axis.transData.transform(positions)), labels, strict=True):
        near = next((other for other in names if np.hypot(*(place - other)) < 0.04), tuple(place))
        names.setdefault(near, []).append(label)
    for place, shared in names.items():
        text = "\n".join(shared)
        axis.annotate(text, place, (5, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7)


def _tiled(images, num_rows, num_columns):
    """[rows * columns, H, W, C] -> one image with margins between them, pixels in [0, 1]."""
    _, height, width, channels = images.shape
    margin = max(1, height // 14)
    sheet = np.ones([num_rows * (height + margin) + margin, num_columns * (width + margin) + margin, channels])
    for number, image in enumerate(images):
        row, column = divmod(number, num_columns)
        top, left = margin + row * (height + margin), margin + column * (width + margin)
        sheet[top : top + height, left : left + width] = image
    return np.clip(sheet, 0, 1).squeeze()


def _sheet(images, num_rows, num_columns):
    """[rows * columns, H, W, C] -> one figure without gaps between axes to compute."""
    scale = 0.55
    figure, axis = plt.subplots(figsize=(num_columns * scale, num_rows * scale + 0.35), layout="constrained")
    axis.imshow(_tiled(images, num_rows, num_columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    return figure


def _finished(figure, path):
    if path is not None:
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return figure
