"""How many draws log p(x) takes: from the prior, and from q(z|x).

    log p(x) = log E_r[p(x, z) / r(z)]      for any r that covers the posterior

r = p(z) is plain Monte Carlo; nearly all of its draws decode to other images and weigh nothing. The
number of samples that importance sampling takes is of the order of exp(KL(p(z|x) || r)): for the
prior that is e to the nats that the code of x holds.

Chatterjee & Diaconis, "The sample size required in importance sampling", Annals of Applied
Probability 28, 2018.
https://arxiv.org/abs/1511.01437
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.evaluation.likelihood import BATCH_SIZE
from zoo.inference import WeightSums
from zoo.inference.handlers import FromPosterior, FromPrior
from zoo.models.latent_variable import LatentVariableModel
from zoo.random import EVALUATION_STEP, RowNoise

PROPOSALS = ("prior", "posterior")
# Decoded samples that are held at once, over all examples of a batch: 3,200 images of 28x28 are
# 10 MB of decoder output.
HELD = 3200


def importance_curve(
    model: LatentVariableModel,
    examples: Any,
    proposals: Sequence[str] = PROPOSALS,
    num_samples: Sequence[int] = (1, 10, 100, 1000, 10_000, 100_000),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Estimates of log p(x) at growing numbers of samples, from draws of p(z) and of q(z|x).

    The samples are nested: the first 10 of 100 are the 10. Both proposals move the same noise, and
    images are binarized as in `zoo.evaluate`, once. Each estimate is a lower bound of log p(x) in
    expectation.

    Args:
        model: A `zoo.VAE`.
        examples: x [N, ...], or a dict of data (with "condition" or "label" where the model takes
            one).
        proposals: Some of "prior" (weights p(x|z)) and "posterior" (weights p(x, z) / q(z|x)).
        num_samples: Increasing positive integers.
        seed: Of binarization and latents.

    Returns:
        List of rows, a dict for each proposal and number of samples: `proposal`, `num_samples`,
        `log_prob` (mean over examples, nats), `stderr_images` (its standard error over examples,
        nats), `effective_sample_size` (median over examples) and `num_examples`.

    Raises:
        ValueError: If an argument is out of range, or the model has no latents to draw.
    """
    if not model.latents:
        raise ValueError(
            "Only a model with a bound on log p(x) has weights to sum. Received: "
            f"model={type(model).__name__}."
        )
    if not proposals or not set(proposals) <= set(PROPOSALS):
        raise ValueError(
            f"`proposals` must be some of {', '.join(map(repr, PROPOSALS))}. Received: "
            f"proposals={proposals!r}."
        )
    given, seed = [validation.as_integer(n) for n in num_samples], validation.seed(seed)
    counts = [n for n in given if n is not None]
    if not counts or counts != given or counts[0] < 1 or counts != sorted(set(counts)):
        raise ValueError(
            "`num_samples` must be increasing positive integers. Received: "
            f"num_samples={num_samples!r}."
        )
    examples = model.standardize(examples)
    num_rows = len(next(iter(examples.values())))
    batch_size = min(BATCH_SIZE, num_rows)
    extend = _compiled_extend(model, seed, chunk=max(1, HELD // batch_size))

    rows = []
    for proposal in proposals:
        measured = []
        for first in range(0, num_rows, batch_size):
            # The last batch is filled up; its surplus is cut off below.
            numbers = np.arange(first, first + batch_size) % num_rows
            batch = {
                name: tf.constant(np.asarray(array[numbers])) for name, array in examples.items()
            }
            measured.append(_walk(extend, proposal, batch, tf.constant(numbers, tf.int32), counts))
        # [counts, N] each.
        log_prob, effective = np.moveaxis(np.concatenate(measured, axis=-1)[..., :num_rows], 1, 0)
        for count, values, sizes in zip(counts, log_prob, effective, strict=True):
            error = float(values.std(ddof=1) / np.sqrt(num_rows)) if num_rows > 1 else None
            rows.append(
                {
                    "proposal": proposal,
                    "num_samples": count,
                    "log_prob": float(values.mean()),
                    "stderr_images": error,
                    "effective_sample_size": float(np.median(sizes)),
                    "num_examples": num_rows,
                }
            )
    return rows


def _walk(extend, proposal, batch, rows, counts):
    """The estimate and the effective sample size of each example after each number of samples:
    float64 [counts, 2, B]."""
    sums, first, measured = WeightSums.empty(len(rows)), 0, []
    for until in counts:
        sums = WeightSums(
            *extend(proposal, batch, rows, tf.constant(first), tf.constant(until), *sums)
        )
        measured.append([sums.log_mean(until), sums.effective_sample_size()])
        first = until
    return np.asarray(measured, np.float64)


def _compiled_extend(model, seed, chunk):
    """Function (proposal, batch, rows, first, until, *sums) -> the sums with the samples first ...
    until - 1 included."""

    def extend(proposal, batch, rows, first, until, log_sum, log_sum_squares):
        noise = RowNoise(seed, EVALUATION_STEP, rows)
        batch = model.prepare(batch, noise)

        def body(first, *sums):
            latent = (FromPrior if proposal == "prior" else FromPosterior)(noise, chunk, first)
            trace = model.run(latent, batch)
            # [chunk, B].
            log_weights = trace.log_likelihood if proposal == "prior" else trace.log_weights
            mask = (first + tf.range(chunk) < until)[:, None]
            sums = WeightSums(*sums).add(tf.where(mask, log_weights, -float("inf")))
            return (first + chunk, *sums)

        state = (first, log_sum, log_sum_squares)
        _, *sums = tf.while_loop(
            lambda first, *_: first < until, body, state, parallel_iterations=1
        )
        return sums

    return tf.function(
        extend, jit_compile=model.compiled and model.execution == "xla-block", autograph=False
    )


def table(rows: Iterable[Mapping[str, Any]], noun: str = "example") -> str:
    """The rows of `importance_curve` as text; `noun` is what an example is called."""
    lines = [
        f"{'draws from':<12}{'samples':>9}{'log p(x), nats':>16}{f'+- over {noun}s':>16}"
        f"{'effective samples':>19}"
    ]
    for row in rows:
        name = {"prior": "p(z)", "posterior": "q(z|x)"}[row["proposal"]]
        error = "-" if row["stderr_images"] is None else f"{row['stderr_images']:.2f}"
        size = row["effective_sample_size"]
        lines.append(
            f"{name:<12}{row['num_samples']:>9,}{row['log_prob']:>16.2f}{error:>16}"
            f"{size:>19,.{1 if size < 100 else 0}f}"
        )
    return "\n".join(lines)
