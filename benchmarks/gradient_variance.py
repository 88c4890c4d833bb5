"""The noise of gradient estimates: every estimator of `zoo.objectives` on one trained model, at the
same images and weights.

    python benchmarks/gradient_variance.py --data-dir DIR --json FILE --plot FILE
    python benchmarks/gradient_variance.py --recipe vae_digits

of the stored vae_mnist, and of what needs no download.

What is measured: the gradient of the mean loss of one minibatch, the first images of the test
split, binarized once. Only the noise of z changes from one estimate to the next. The total variance
is the trace of the covariance of the gradient, in nats^2 (weights have no unit); the signal is the
norm of its expectation, and the signal-to-noise ratio is signal / sqrt(total variance). A minibatch
of twice the images has half the variance.

How: estimates come in ten blocks, each one compiled loop that keeps a running mean and sum of
squares (Welford, Technometrics 1962). The variance is the mean over blocks, and its error the
spread between them. The signal is measured without bias by the inner product of the means of
different blocks; all estimators of one bound have the same expectation (tests/test_estimators.py),
so each bound's signal is that of its estimator with the least variance.

Estimators differ by `with_objective`: a model of the same layers, and so of the same weights, with
another objective. The learned baseline is a dense network of one hidden layer of 100 units. It
starts from the mean of what it shall predict, on the first minibatch, and only it is trained, by
its own least squares on freshly binarized training images: 1,000 steps of Adam at 1e-3.
"""

import argparse
import datetime
import json
import math
import time
from pathlib import Path

import keras
import matplotlib

matplotlib.use("Agg")

import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt
from train_step import machine, versions

import zoo
from zoo import data, networks, objectives
from zoo.observations import Image
from zoo.random import EVALUATION_STEP, RowNoise
from zoo.store import pretrained

NUM_BLOCKS = 10
SAMPLES = 5  # of the importance-weighted bound
BASELINE_STEPS = 1000
# Program -> attributes of a model that hold its weights.
GROUPS = {
    "inference": ("encoder", "posterior_layer"),
    "generative": ("decoder", "likelihood_layer", "prior_layer"),
}


def estimators(baseline):
    """Name -> (the bound whose gradient it estimates, the objective)."""
    elbo, weighted = "ELBO", f"importance-weighted bound, {SAMPLES} samples"
    return {
        "ELBO": (elbo, objectives.ELBO()),
        "PathDerivative": (elbo, objectives.PathDerivative()),
        "ScoreFunction, learned baseline": (elbo, objectives.ScoreFunction(baseline=baseline)),
        "ScoreFunction": (elbo, objectives.ScoreFunction()),
        "DoublyReparameterized": (weighted, objectives.DoublyReparameterized(SAMPLES)),
        "ImportanceWeighted": (weighted, objectives.ImportanceWeighted(SAMPLES)),
        "VIMCO": (weighted, objectives.VIMCO(SAMPLES)),
    }


def with_objective(model, objective):
    """A `zoo.VAE` of the same layers, and so of the same weights, with another objective; it takes
    images binarized once."""
    if type(model) is not zoo.VAE or model.condition_shape is not None:
        raise ValueError(
            "The estimators are compared on an unconditional `zoo.VAE`. Received: "
            f"model={type(model).__name__}."
        )
    as_given = model.observation  # images that were binarized before
    if isinstance(as_given, Image):
        as_given = Image(as_given.shape, "as_given")
    return zoo.VAE(
        model.encoder,
        model.decoder,
        model.posterior_layer,
        model.likelihood_layer,
        model.prior_layer,
        objective=objective,
        observation=as_given,
        seed=model.seed,
    )


def weights_by_group(model):
    """Trainable weights of the inference and of the generative program; a baseline's are
    neither."""
    return {
        group: [w.value for part in parts for w in getattr(model, part).trainable_weights]
        for group, parts in GROUPS.items()
    }


def gradient_moments(model, image, num_noises, seed=0):
    """Function of the first step that gives mean and total variance of the gradient of the mean
    loss over `num_noises` steps.

    Args:
        model: A `zoo.VAE` whose objective estimates the gradient.
        image: Float tensor [B, ...], as the likelihood takes it.
        num_noises: At least 2.
        seed: The noise of row i at a step is RowNoise(seed, step, i).

    Returns:
        Function: integer -> dict from group to (mean gradient [number of weights], sum of the
            unbiased variances of its elements, nats^2).
    """
    groups = weights_by_group(model)

    def gradient(step):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                model.objective.loss(
                    model, {model.key: image}, RowNoise(seed, step, tf.range(len(image)))
                )[0]
            )
        gradients = tape.gradient(loss, groups, unconnected_gradients="zero")
        return {
            group: tf.concat([tf.reshape(g, [-1]) for g in parts], axis=0)
            for group, parts in gradients.items()
        }

    def body(count, first_step, means, squares):
        new = gradient(first_step + count)
        differences = {group: new[group] - means[group] for group in groups}
        means = {
            group: means[group] + differences[group] / tf.cast(count + 1, tf.float32)
            for group in groups
        }
        squares = {
            group: squares[group] + tf.reduce_sum(differences[group] * (new[group] - means[group]))
            for group in groups
        }
        return count + 1, first_step, means, squares

    @tf.function(jit_compile=True, autograph=False)
    def run(first_step):
        sizes = {
            group: sum(math.prod(w.shape) for w in weights) for group, weights in groups.items()
        }
        start = (
            {group: tf.zeros([size]) for group, size in sizes.items()},
            dict.fromkeys(groups, tf.constant(0.0)),
        )
        _, _, means, squares = tf.while_loop(
            lambda count, *_: count < num_noises, body, (tf.constant(0), first_step, *start)
        )
        return means, squares

    def moments(first_step):
        means, squares = run(tf.constant(first_step))
        return {
            group: (
                means[group].numpy().astype(np.float64),
                float(squares[group]) / (num_noises - 1),
            )
            for group in groups
        }

    return moments


def measure(model, image, num_noises, seed=0):
    """Total variance and squared signal of one estimator, each with its standard error.

    Args:
        model, image, seed: As in `gradient_moments`.
        num_noises: A multiple of NUM_BLOCKS.

    Returns:
        Dict from group to dict of `variance`, `variance_stderr`, `signal_squared`,
        `signal_squared_stderr`: nats^2.
    """
    size = num_noises // NUM_BLOCKS
    moments = gradient_moments(model, image, size, seed)
    blocks = [moments(first) for first in range(0, num_noises, size)]
    measured = {}
    for group in blocks[0]:
        means = np.stack([block[group][0] for block in blocks])  # [blocks, weights]
        variances = np.array([block[group][1] for block in blocks])
        products = means @ means.T
        measured[group] = {
            "variance": float(variances.mean()),
            "variance_stderr": float(variances.std(ddof=1) / math.sqrt(NUM_BLOCKS)),
            "signal_squared": _mean_off_diagonal(products),
            "signal_squared_stderr": _jackknife_stderr(products),
        }
    return measured


def _mean_off_diagonal(products):
    n = len(products)
    return float((products.sum() - np.trace(products)) / (n * (n - 1)))


def _jackknife_stderr(products):
    n = len(products)
    kept = [np.delete(np.arange(n), left_out) for left_out in range(n)]
    values = np.array([_mean_off_diagonal(products[np.ix_(rows, rows)]) for rows in kept])
    return float(math.sqrt((n - 1) / n * np.sum((values - values.mean()) ** 2)))


def train_baseline(model, images, batch_size, num_steps=BASELINE_STEPS, seed=0):
    """A network image -> predicted log p(x|z), for `ScoreFunction`, trained while the model stays
    as it is.

    Args:
        model: A `zoo.VAE`, as stored.
        images: Training images [N, ...]; each step takes `batch_size` of them at random and
            binarizes them anew.
        batch_size, num_steps: Of Adam at 1e-3.
        seed: Of the network's start, the choice of images and all noise.
    """
    keras.utils.set_random_seed(seed)
    baseline = networks.MLP((100,), 1)
    scored = with_objective(model, objectives.ScoreFunction(baseline=baseline))
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(baseline.trainable_variables)

    @tf.function(jit_compile=True, autograph=False)
    def signal(image, rows):
        noise = RowNoise(seed, 0, rows)
        batch = model.prepare({model.key: image}, noise)
        return tf.reduce_mean(scored(batch, noise=noise).likelihood.log_prob(batch[model.key]))

    @tf.function(jit_compile=True, autograph=False)
    def train(image, rows, step):
        noise = RowNoise(seed, step, rows)
        batch = model.prepare({model.key: image}, noise)
        weights = [weight.value for weight in baseline.trainable_variables]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(scored.objective.loss(scored, batch, noise)[0])
        # The loss holds (f - b)^2 for the baseline's gradient alone; the model's weights are not
        # among those that move.
        optimizer.apply(tape.gradient(loss, weights), baseline.trainable_variables)

    generator = np.random.default_rng(seed)
    for step in range(num_steps):
        rows = generator.integers(0, len(images), batch_size)
        image, rows = tf.constant(images[rows]), tf.constant(rows, tf.int32)
        if step == 0:
            # 0 is tens of nats away, which Adam would walk 0.001 at a time.
            baseline.set_output_bias([signal(image, rows)])
        train(image, rows, tf.constant(step))
    return baseline


def baseline_quality(model, image, baseline, num_samples=100, seed=0):
    """What a baseline leaves of f = log p(x|z) on a minibatch, and what no function of the image
    can take away: rms, in nats."""
    out = model(
        {model.key: image}, noise=RowNoise(seed, 0, tf.range(len(image))), num_samples=num_samples
    )
    f = out.likelihood.log_prob(image).numpy()  # [S, B]
    left = f - baseline(image).numpy()[:, 0]
    within = f - f.mean(axis=0)
    return {
        name: float(np.sqrt(np.mean(x**2)))
        for name, x in {"signal": f, "after_baseline": left, "within_an_image": within}.items()
    }


# -- What comes out


def numbers_of(measured, bounds):
    """The published numbers of all estimators.

    Args:
        measured: Dict name -> what `measure` returns.
        bounds: Dict name -> the bound whose gradient it estimates.

    Returns:
        Dict name -> group -> what `measure` returned, with `ratio_to_elbo` of the variance and
        `snr`, which is None where the signal is less than two of its standard errors.
    """
    numbers = {}
    for name, groups in measured.items():
        numbers[name] = {}
        for group, values in groups.items():
            of_bound = [
                other[group] for key, other in measured.items() if bounds[key] == bounds[name]
            ]
            best = min(of_bound, key=lambda other: other["variance"])
            resolved = best["signal_squared"] > 2 * best["signal_squared_stderr"]
            numbers[name][group] = {
                **values,
                "ratio_to_elbo": values["variance"] / measured["ELBO"][group]["variance"],
                "snr": math.sqrt(best["signal_squared"] / values["variance"]) if resolved else None,
            }
    return numbers


def table(numbers, bounds):
    """The numbers as text."""
    width = max(map(len, numbers))
    lines = []
    for group in GROUPS:
        lines += [
            "",
            f"{group} weights".ljust(width)
            + f"{'variance, nats^2':>19}{'+-':>9}{'/ ELBO':>11}{'SNR':>9}",
        ]
        for bound in dict.fromkeys(bounds.values()):
            lines.append(f" of the {bound}")
            for name, groups in numbers.items():
                if bounds[name] == bound:
                    n = groups[group]
                    snr = "-" if n["snr"] is None else f"{n['snr']:.3g}"
                    cells = f"{n['variance']:>19.4g}{n['variance_stderr']:>9.2g}"
                    cells += f"{n['ratio_to_elbo']:>11,.2f}{snr:>9}"
                    lines.append(name.ljust(width) + cells)
    return "\n".join(lines[1:])


def plot(numbers, bounds, title, path):
    """Total variance of each estimator as bars on a log axis, one panel a program."""
    figure, axes = plt.subplots(
        1, 2, figsize=(10.5, 3.6), sharex=True, sharey=True, layout="constrained"
    )
    names = list(numbers)
    colours = dict(zip(dict.fromkeys(bounds.values()), ("tab:blue", "tab:orange"), strict=True))
    for axis, group in zip(axes, GROUPS, strict=True):
        variances, errors, ratios = (
            [numbers[name][group][key] for name in names]
            for key in ("variance", "variance_stderr", "ratio_to_elbo")
        )
        bars = axis.barh(
            names,
            variances,
            xerr=errors,
            height=0.6,
            color=[colours[bounds[name]] for name in names],
            error_kw={"lw": 0.8},
        )
        axis.bar_label(
            bars,
            [f"{ratio:,.{0 if ratio >= 100 else 2}f} x" for ratio in ratios],
            padding=4,
            fontsize=8,
        )
        axis.set_title(f"{group} weights", fontsize=9)
        axis.set_xlabel(
            "total variance of the gradient, nats²; labels: ratio to ELBO's", fontsize=8
        )
        axis.tick_params(labelsize=8)
    shown = [groups[group]["variance"] for groups in numbers.values() for group in GROUPS]
    axes[0].set_xscale("log")
    axes[0].set_xlim(min(shown) / 3, max(shown) * 20)
    axes[0].invert_yaxis()
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(
        handles,
        [f"of the {bound}" for bound in colours],
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The file's first lines say what is measured and how.",
    )
    parser.add_argument(
        "--recipe", default="vae_mnist", help="a stored model of class VAE (vae_mnist)"
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where TFDS keeps its data; by default $ZOO_DATA_DIR"
    )
    parser.add_argument("--images", type=int, default=100, help="of the minibatch (100)")
    parser.add_argument(
        "--noises",
        type=int,
        default=500,
        help=f"gradient estimates of each estimator, a multiple of {NUM_BLOCKS} (500)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all numbers, with machine, date and versions",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.images < 1:
        parser.error(f"`--images` must be positive. Received: {arguments.images}.")
    if arguments.noises < 2 * NUM_BLOCKS or arguments.noises % NUM_BLOCKS:
        parser.error(
            f"`--noises` must be a multiple of {NUM_BLOCKS}, at least {2 * NUM_BLOCKS}. "
            f"Received: {arguments.noises}."
        )
    return arguments


def main():
    arguments = parse_arguments()
    where = machine()
    model, _, recipe = pretrained.open_model(arguments.recipe)
    splits = {"train": recipe.dataset.train, "test": recipe.dataset.test}
    images = {
        part: data.load(recipe.dataset.name, split, data_dir=arguments.data_dir)["image"]
        for part, split in splits.items()
    }
    minibatch = images["test"][: arguments.images]
    noise = RowNoise(arguments.seed, EVALUATION_STEP, tf.range(len(minibatch)))
    image = model.prepare({model.key: tf.constant(minibatch)}, noise)[model.key]

    start = time.perf_counter()
    baseline = train_baseline(
        model, images["train"], batch_size=len(minibatch), seed=arguments.seed + 1
    )
    quality = baseline_quality(model, image, baseline, seed=arguments.seed)
    bounds, measured = {}, {}
    for name, (bound, objective) in estimators(baseline).items():
        bounds[name] = bound
        measured[name] = measure(
            with_objective(model, objective), image, arguments.noises, arguments.seed
        )
    seconds = time.perf_counter() - start
    numbers = numbers_of(measured, bounds)
    title = (
        f"{arguments.recipe}: {arguments.noises} gradient estimates each, "
        f"{len(minibatch)} images of {splits['test']!r}"
    )
    print(f"{title}, {seconds:.0f} s.", "", table(numbers, bounds), "", sep="\n")
    print(
        f"What the score is multiplied with, log p(x|z): rms {quality['signal']:.1f} "
        "nats; less the learned baseline"
    )
    print(
        f"{quality['after_baseline']:.1f} nats, of which {quality['within_an_image']:.1f} "
        "nats are z's own and no function of the image."
    )

    if arguments.json:
        settings = {
            name: getattr(arguments, name) for name in ("recipe", "images", "noises", "seed")
        }
        record = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "settings": {
                **settings,
                "split": splits["test"],
                "samples_of_bound": SAMPLES,
                "baseline_steps": BASELINE_STEPS,
            },
            "machine": where,
            "versions": versions(),
            "seconds": round(seconds, 1),
            "rms_of_log_likelihood_nats": quality,
            "estimators": {
                name: {"bound": bounds[name], **groups} for name, groups in numbers.items()
            },
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(numbers, bounds, title, arguments.plot)


if __name__ == "__main__":
    main()
