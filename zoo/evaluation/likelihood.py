"""log p(x) of a split by importance sampling, with the errors that a reader needs to trust it."""

import logging
import math

import keras
import numpy as np
import tensorflow as tf

from zoo.random import EVALUATION_STEP, RowNoise

logger = logging.getLogger("zoo")

# Var_x E_q[z] above which a latent dimension counts as active (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01
# Redraws of binarization and latents that `stderr_sampling` is estimated from, and the samples of each.
NUM_REDRAWS = 4
REDRAW_SAMPLES = 64
# Examples and importance samples held at once: 100 x 32 images of 28x28 are 10 MB of decoder output.
BATCH_SIZE = 100


def evaluate(model, examples, *, num_samples=5000, seed=0, split="test", verbose=1):
    """ELBO, log-likelihood, KL, importance-sampled -log p(x) and active units of a data set.

    Examples are binarized as in validation, once, from `seed`. Every example counts once, whatever the batch size.

    Args:
        model: A compiled `zoo.VAE`.
        examples: Images [N, ...], or a dict with "image" (and "condition").
        num_samples: Importance samples per example.
        seed: Seed of binarization and latents.
        split: Name of the split, for the record.
        verbose: 1 shows a progress bar.

    Returns:
        Dict of numbers, each a dict with `value` and what it means: `unit`, `split`, `num_examples`. Those in nats carry
        `stderr_images`, the standard error of the mean over examples. `nll` carries besides `num_samples`, `effective_sample_size`
        (median over examples) and `stderr_sampling`: what new noise, of binarization and samples, does to the mean. It is estimated
        from four redraws with 64 samples each, so it errs on the large side.

    Raises:
        ValueError: If an argument is out of range or the examples do not fit the model.

    Reference:
        Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016. https://arxiv.org/abs/1509.00519
    """
    if not isinstance(num_samples, int) or num_samples < 1:
        raise ValueError(f"`num_samples` must be a positive integer. Received: num_samples={num_samples!r}.")
    examples = model.standardize(examples)
    num_rows = len(examples["image"])
    batch_size = min(BATCH_SIZE, num_rows)

    def jit(function):
        return tf.function(function, jit_compile=model.execution == "xla-block", autograph=False)

    @jit
    def measure(batch, rows):
        noise = RowNoise(seed, EVALUATION_STEP, rows)
        batch = model.prepare(batch, noise)
        sums, log_likelihood_sum = model.importance_sums(batch, noise, num_samples)
        out = model(batch, noise=noise)
        return {
            "log_prob": sums.log_mean(num_samples),
            "log_likelihood": log_likelihood_sum / num_samples,
            "kl": model.kl(out),
            "effective_sample_size": sums.effective_sample_size(),
            "posterior_mean": out.posterior.mean(),
        }

    @jit
    def redraw(batch, rows, step):
        noise = RowNoise(seed, step, rows)
        batch = model.prepare(batch, noise)
        return model.importance_sums(batch, noise, REDRAW_SAMPLES)[0].log_mean(REDRAW_SAMPLES)

    bar = keras.utils.Progbar(num_rows, verbose=verbose, unit_name="example")
    measured, redrawn = [], []
    for first in range(0, num_rows, batch_size):
        rows = np.arange(first, first + batch_size) % num_rows  # the last batch is filled up; its surplus is cut off below
        batch = {name: tf.constant(array[rows]) for name, array in examples.items()}
        rows = tf.constant(rows, tf.int32)
        measured.append({name: value.numpy() for name, value in measure(batch, rows).items()})
        steps = [EVALUATION_STEP - 1 - i for i in range(NUM_REDRAWS)]
        redrawn.append(np.stack([redraw(batch, rows, tf.constant(step, tf.uint32)).numpy() for step in steps]))
        bar.update(min(first + batch_size, num_rows))
    values = {name: np.concatenate([m[name] for m in measured])[:num_rows].astype(np.float64) for name in measured[0]}
    redrawn = np.concatenate(redrawn, axis=1)[:, :num_rows].astype(np.float64)  # [redraws, N]

    common = {"num_examples": num_rows, "split": split}
    numbers = {
        "nll": _mean(-values["log_prob"])
        | {
            "stderr_sampling": float(np.sqrt(redrawn.var(axis=0, ddof=1).mean() / num_rows)),
            "num_samples": num_samples,
            "effective_sample_size": float(np.median(values["effective_sample_size"])),
        },
        "elbo": _mean(values["log_likelihood"] - values["kl"]),
        "log_likelihood": _mean(values["log_likelihood"]),
        "kl": _mean(values["kl"]) | {"estimator": "analytic" if model.has_analytic_kl else "monte carlo"},
    }
    numbers = {name: {**number, "unit": "nats", **common} for name, number in numbers.items()}
    active = int((values["posterior_mean"].var(axis=0) > ACTIVE_VARIANCE).sum())
    numbers["active_units"] = {"value": active, "of": values["posterior_mean"].shape[1], "unit": "latent dimensions", **common}
    return numbers


def _mean(values):
    return {"value": float(values.mean()), "stderr_images": float(values.std(ddof=1) / math.sqrt(len(values)))}


def table(numbers):
    """The numbers of `evaluate` as lines of text."""
    lines = []
    for name, number in numbers.items():
        value = f"{number['value']:9.3f}" if isinstance(number["value"], float) else f"{number['value']:5d} of {number['of']}"
        errors = f" +- {number['stderr_images']:.3f} over images" if "stderr_images" in number else ""
        if "stderr_sampling" in number:
            errors += f", +- {number['stderr_sampling']:.3f} over noise"
            errors += f" ({number['num_samples']} samples, effective {number['effective_sample_size']:.0f})"
        lines.append(f"{name:>15} {value} {number['unit']}{errors}")
    return "\n".join(lines)
