"""What a model is worth on a split: log p(x) by importance sampling, with the errors that a reader
needs to trust it."""

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.engine.inputs import as_arrays
from zoo.evaluation import anomalies, codes
from zoo.evaluation.imputation import hidden_cells, imputation_numbers
from zoo.evaluation.progress import Progress
from zoo.extras import need
from zoo.inference.handlers import FromPosterior
from zoo.models.base import Model
from zoo.models.code_model import CodeModel
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Image, Table
from zoo.observations.frames import as_frame
from zoo.random import EVALUATION_STEP, RowNoise
from zoo.validation import shown

logger = logging.getLogger("zoo")

# Var_x E_q[z] above which a latent dimension counts as active (Burda et al. 2016, section 5.2).
ACTIVE_VARIANCE = 0.01
# An importance-sampled mean whose weights are worth fewer samples than this hangs on a few draws.
TRUSTED_SAMPLE_SIZE = 10
# Redraws of binarization and latents that `stderr_sampling` is estimated from, and the samples of
# each (fewer where `nll` has fewer).
NUM_REDRAWS = 4
REDRAW_SAMPLES = 64
# Examples and importance samples held at once: 100 x 32 images of 28x28 are 10 MB of decoder
# output.
BATCH_SIZE = 100


def evaluate(
    model: Model,
    examples: Any,
    *,
    num_samples: int = 5000,
    seed: int = 0,
    split: str = "test",
    nll_name: str = "nll",
    metrics: str | Sequence[str] = (),
    progress_dir: str | Path | None = None,
    verbose: int = 1,
) -> dict[str, dict[str, Any]]:
    """The numbers of a model on a data set; what it does not have, such as a score for an
    autoencoder, is left out.

    - `nll`, importance-sampled -log p(x), with `elbo`, `log_likelihood`, `kl`, `active_units`;
      exact for a model without latents
    - `bits_per_dim` of 8-bit images, where the model is one of their 256 levels or of dequantized
      pixels
    - `accuracy`, where the model classifies and the examples have labels: of the most probable
      class. Where training saw no labels, classes are first assigned to labels, one to one, as fits
      best (Hungarian algorithm).
    - of a model of codes (`zoo.evaluation.codes`): `nll`, which is a bound, with its parts
      `kl`, the length of the codes, and `log_likelihood`; `code_bits`, `mse`, `psnr`, `ssim`,
      `codes_used` and `perplexity`
    - `imputation_mse` and `interval_coverage`, where the examples are rows with gaps and hold the
      truth, "complete": `zoo.evaluation.imputation`
    - `auroc`, `average_precision` and of a calibrated model `false_alarm_rate`, where the examples
      say which are an "anomaly" (`zoo.evaluation.anomalies`); all other numbers are then of the
      normal ones
    - `column_similarity` and `pair_similarity` of drawn rows and the examples, of a table
      (`zoo.evaluation.synthesis`)
    - the scores of `zoo.evaluation.disentanglement` that `metrics` asks for, of the posterior means
      beside the examples' "factors"

    Where half of the examples have an effective sample size below 10, a warning says that `nll`
    cannot be trusted.

    Examples are binarized as in validation, once, from `seed`. Every example counts once, whatever
    the batch size.

    Args:
        model: A compiled model of the zoo.
        examples: x [N, ...], or a dict of data (with "condition", "label").
        num_samples: Importance samples per example.
        seed: Seed of binarization and latents.
        split: Name of the split, for the record.
        nll_name: What to call -log p(x): "conditional_nll" where the model is of images given
            something.
        metrics: Names of disentanglement scores, or "all".
        progress_dir: Directory that keeps what was measured so far, so that an evaluation that was
            interrupted goes on where it was; at its end the files are removed. None: nowhere.
        verbose: 1 shows a progress bar.

    Returns:
        Dict of numbers, each a dict with `value` and what it means: `unit`, `split`,
        `num_examples`. Those in nats carry `stderr_images` (`stderr_examples` where x is no image),
        the standard error of the mean over examples. `nll` carries besides `num_samples`,
        `effective_sample_size` (median over examples) and `stderr_sampling`: what new noise, of
        binarization and samples, does to the mean. It is estimated from four redraws with 64
        samples each, so it errs on the large side.

    Raises:
        TypeError: If the model is none of the zoo.
        ValueError: If an argument is out of range or the examples do not fit the model.

    Reference:
        Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
        https://arxiv.org/abs/1509.00519
    """
    if not isinstance(model, Model):
        raise TypeError(f"`model` must be a model of the zoo. Received: {shown(model)}.")
    num_samples, seed = validation.integer("num_samples", num_samples), validation.seed(seed)
    examples = as_arrays(examples)
    labels, factors, complete, anomaly = (
        examples.get(name) if isinstance(examples, dict) else None
        for name in ("label", "factors", "complete", "anomaly")
    )
    if metrics and (factors is None or not model.latents):
        reason = f"{type(model).__name__} has no posterior"
        if factors is None:
            reason = "the examples have no ground-truth factors"
        raise ValueError(
            f"Disentanglement cannot be scored: {reason}. Received: metrics={shown(metrics)}."
        )
    given, examples = examples, model.standardize(examples)
    has_bound = bool(model.latents)
    classifies = "classify" in model.answers() and labels is not None
    progress = Progress(
        progress_dir,
        model,
        examples,
        num_samples=num_samples,
        seed=seed,
        classifies=classifies,
        batch_size=BATCH_SIZE,
    )
    values = _measured(model, examples, num_samples, seed, classifies, progress, verbose)
    num_rows = len(values["log_likelihood"])
    of_detector = {}
    if anomaly is not None:
        scores = -values["log_prob" if has_bound else "log_likelihood"]
        found = anomalies.numbers(model, scores, anomaly)
        of_detector = {
            name: {**number, "num_examples": num_rows, "split": split}
            for name, number in found.items()
        }
        normal = ~np.asarray(anomaly, bool)
        values = {name: value[normal] for name, value in values.items()}
        labels = None if labels is None else np.asarray(labels)[normal]
    common = {"num_examples": len(values["log_likelihood"]), "split": split}
    if has_bound:
        numbers = _bound_numbers(model, values, num_samples)
    elif isinstance(model, CodeModel):
        numbers = codes.numbers(model, values)
        numbers |= _bits_per_dim(model, values["kl"] - values["log_likelihood"])
    else:
        numbers = _exact_numbers(model, values)
    if classifies:
        numbers["accuracy"] = _accuracy(
            values["probs"], np.asarray(labels), model.classes_are_labels
        )
    if metrics:
        means = np.concatenate(
            [values[name] for name in sorted(values) if name.startswith("mean of ")], axis=-1
        )
        from zoo.evaluation import disentanglement

        scores = disentanglement.scores(means, factors, metrics, seed)
        numbers |= {name: {"value": score, "unit": "score"} for name, score in scores.items()}
    if complete is not None and isinstance(model, LatentVariableModel):
        numbers |= imputation_numbers(
            hidden_cells(model, given[model.key], complete, num_samples=num_samples, seed=seed)
        )
    draws_rows = isinstance(model, LatentVariableModel) and model.condition_shape is None
    if draws_rows and isinstance(model.observation, Table):
        numbers |= _similarity(model, given, seed)
    named = {
        nll_name if name == "nll" else name: {**number, **common}
        for name, number in numbers.items()
    }
    named |= of_detector
    progress.remove()
    if isinstance(model.observation, Image):
        return named
    return {name: _over_examples(number) for name, number in named.items()}


def _measured(model, examples, num_samples, seed, classifies, progress, verbose):
    """What is measured of each example: name -> array [N, ...], float64."""
    num_rows = len(next(iter(examples.values())))
    batch_size = min(BATCH_SIZE, num_rows)
    redraw_samples = min(REDRAW_SAMPLES, num_samples)
    has_bound = bool(model.latents)

    def jit(function):
        return tf.function(function, jit_compile=model.execution == "xla-block", autograph=False)

    @jit
    def measure(batch, rows):
        noise = RowNoise(seed, EVALUATION_STEP, rows)
        batch = model.prepare(batch, noise)
        if isinstance(model, CodeModel):
            return codes.measure(model, batch, noise)
        if not has_bound:
            terms = model.loss_terms(batch, noise, training=False)
            return {"log_likelihood": terms["log_likelihood"]}
        sums, log_likelihood_sum = model.importance_sums(batch, noise, num_samples)
        measured = {
            "log_prob": sums.log_mean(num_samples),
            "log_likelihood": log_likelihood_sum / num_samples,
            "kl": model.kl(model.run(FromPosterior(noise), batch)),
            "effective_sample_size": sums.effective_sample_size(),
        }
        measured |= {f"mean of {name}": mean for name, mean in model.latent_means(batch).items()}
        return measured | ({"probs": model.classify(batch[model.key])} if classifies else {})

    @jit
    def redraw(batch, rows, step):
        noise = RowNoise(seed, step, rows)
        batch = model.prepare(batch, noise)
        return model.importance_sums(batch, noise, redraw_samples)[0].log_mean(redraw_samples)

    def measure_rows(rows):
        batch = {name: tf.constant(np.asarray(array[rows])) for name, array in examples.items()}
        rows = tf.constant(rows, tf.int32)
        values = measure(batch, rows)
        for number in range(NUM_REDRAWS if has_bound else 0):
            step = tf.constant(EVALUATION_STEP - 1 - number, tf.uint32)
            values[f"redraw {number}"] = redraw(batch, rows, step)
        return {name: value.numpy() for name, value in values.items()}

    bar = keras.utils.Progbar(num_rows, verbose=verbose, unit_name="example")
    measured = []
    for first in range(0, num_rows, batch_size):
        # The last batch is filled up; its surplus is cut off below.
        rows = np.arange(first, first + batch_size) % num_rows
        measured.append(progress.measured(first, functools.partial(measure_rows, rows)))
        bar.update(min(first + batch_size, num_rows))
    return {
        name: np.concatenate([batch[name] for batch in measured])[:num_rows].astype(np.float64)
        for name in measured[0]
    }


def _bound_numbers(model, values, num_samples):
    redrawn = np.stack([values[f"redraw {number}"] for number in range(NUM_REDRAWS)])
    error = float(np.sqrt(redrawn.var(axis=0, ddof=1).mean() / redrawn.shape[1]))
    numbers = {
        "nll": _mean(-values["log_prob"])
        | {
            "stderr_sampling": error,
            "num_samples": num_samples,
            "effective_sample_size": float(np.median(values["effective_sample_size"])),
        },
        "elbo": _mean(values["log_likelihood"] - values["kl"]),
        "log_likelihood": _mean(values["log_likelihood"]),
        "kl": _mean(values["kl"])
        | {"estimator": "analytic" if model.has_analytic_kl else "monte carlo"},
    }
    effective = numbers["nll"]["effective_sample_size"]
    if effective < TRUSTED_SAMPLE_SIZE:
        logger.warning(
            "-log p(x) is an upper bound here and no estimate: of %d samples of each %s, %.1f "
            "count (median; %d would be trusted). More samples may lower it by nats.",
            *(num_samples, model.observation.noun, effective, TRUSTED_SAMPLE_SIZE),
        )
    numbers |= _bits_per_dim(model, -values["log_prob"])
    means = {
        name.removeprefix("mean of "): mean
        for name, mean in values.items()
        if name.startswith("mean of ")
    }
    active = {name: int((mean.var(axis=0) > ACTIVE_VARIANCE).sum()) for name, mean in means.items()}
    numbers["active_units"] = {
        "value": sum(active.values()),
        "of": sum(math.prod(mean.shape[1:]) for mean in means.values()),
        "unit": "latent dimensions",
        **({"by_latent": active} if len(active) > 1 else {}),
    }
    return numbers


def _similarity(model, given, seed):
    """How alike as many drawn rows are to the examples."""
    from zoo.evaluation import synthesis

    rows = as_frame(given[model.key] if isinstance(given, dict) and model.key in given else given)
    alike = synthesis.similarity(model.observation, rows, model.sample(len(rows), seed=seed))
    return {
        name: {"value": alike[name], "unit": "score"}
        for name in ("column_similarity", "pair_similarity")
    }


def _exact_numbers(model, values):
    """A model without latents knows its log-likelihood; it is one of the data where the model is
    (not of images given their code)."""
    numbers = {"log_likelihood": _mean(values["log_likelihood"])}
    if model.knows_log_prob:
        numbers = {"nll": _mean(-values["log_likelihood"])} | numbers
    return numbers


def _bits_per_dim(model, nll):
    """-log2 p of an 8-bit image, per pixel. A density of dequantized pixels in [0, 1] bounds it
    from above: log2(256) more."""
    image = model.observation
    if not isinstance(image, Image) or (
        image.pixels != "dequantize" and model.likelihood_layer.num_levels != 256
    ):
        return {}
    per_dim = nll / (math.log(2) * math.prod(image.shape))
    pixels = "256 levels"
    if image.pixels == "dequantize":
        per_dim, pixels = per_dim + 8.0, "dequantized"
    return {"bits_per_dim": _mean(per_dim) | {"unit": "bits/dim", "pixels": pixels}}


def _accuracy(probs, labels, classes_are_labels):
    guesses = probs.argmax(axis=-1)
    if not classes_are_labels:
        need("metrics", "Accuracies of classes without labels")
        from scipy import optimize
        from sklearn.metrics import confusion_matrix

        table = confusion_matrix(
            labels, guesses, labels=np.arange(max(probs.shape[-1], labels.max() + 1))
        )
        of_label, of_class = optimize.linear_sum_assignment(-table)
        guesses = of_label[np.argsort(of_class)][guesses]
    accuracy = _mean((guesses == labels).astype(np.float64)) | {"unit": "share"}
    if not classes_are_labels:
        accuracy["assignment"] = "best one-to-one of classes to labels"
    return accuracy


def _mean(values):
    """The mean over examples; of a single one nobody knows the error."""
    error = {}
    if len(values) > 1:
        error["stderr_images"] = float(values.std(ddof=1) / math.sqrt(len(values)))
    return {"value": float(values.mean()), **error, "unit": "nats"}


def _over_examples(number):
    """A number with the name of its error where x is no image."""
    return {
        "stderr_examples" if name == "stderr_images" else name: value
        for name, value in number.items()
    }


def table(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    """The numbers of `evaluate` as lines of text."""
    lines, width = [], max(15, *map(len, numbers))
    for name, number in numbers.items():
        if isinstance(number["value"], float):
            value = f"{number['value']:9.3f}"
        else:
            value = f"{number['value']:5d} of {number['of']}"
        errors = ""
        for over in ("images", "examples"):
            if f"stderr_{over}" in number:
                errors = f" +- {number[f'stderr_{over}']:.3f} over {over}"
        if "stderr_sampling" in number:
            errors += f", +- {number['stderr_sampling']:.3f} over noise"
            errors += (
                f" ({number['num_samples']} samples, effective "
                f"{number['effective_sample_size']:.0f})"
            )
        if "features" in number:
            errors += f", in features {number['features']}"
        lines.append(f"{name:>{width}} {value} {number['unit']}{errors}")
    return "\n".join(lines)
