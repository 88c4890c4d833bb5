"""The noise of gradient estimates: every estimator of `zoo.objectives` on one trained model, at the same images and weights.

    python benchmarks/gradient_variance.py --data-dir DIR --json FILE --plot FILE      # the stored vae_mnist
    python benchmarks/gradient_variance.py --recipe vae_digits                         # nothing to download

What is measured: the gradient of the mean loss of one minibatch, the first images of the test split, binarized once. Only the noise of z
changes from one estimate to the next. The total variance is the trace of the covariance of the gradient, in nats^2 (weights have no unit);
the signal is the norm of its expectation, and the signal-to-noise ratio is signal / sqrt(total variance). A minibatch of twice the images
has half the variance.

How: estimates come in ten blocks, each one compiled loop that keeps a running mean and sum of squares (Welford, Technometrics 1962). The
variance is the mean over blocks, and its error the spread between them. The signal is measured without bias by the inner product of the
means of different blocks; all estimators of one bound have the same expectation (tests/test_estimators.py), so each bound's signal is that
of its estimator with the least variance.

Estimators differ by `with_objective`: a model of the same layers, and so of the same weights, with another objective. The learned baseline
is a dense network of one hidden layer of 100 units. It starts from the mean of what it shall predict, on the first minibatch, and only it
is trained, by its own least squares on freshly binarized training images: 1,000 steps of Adam at 1e-3.
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
from zoo import data, networks, objectives, pretrained
from zoo.random import EVALUATION_STEP, RowNoise

NUM_BLOCKS = 10
SAMPLES = 5  # of the importance-weighted bound
BASELINE_STEPS = 1000
# Evaluation's own draws are those of EVALUATION_STEP; no estimate is to share them.
GROUPS = {"inference": ("encoder", "posterior_layer"), "generative": ("decoder", "likelihood_layer", "prior_layer")}
BOUNDS = {
    "ELBO, one sample": ("ELBO", "PathDerivative", "ScoreFunction", "ScoreFunction, learned baseline"),
    f"importance-weighted, {SAMPLES} samples": ("ImportanceWeighted", "DoublyReparameterized", "VIMCO"),
}


def with_objective(model, objective):
    """A `zoo.VAE` of the same layers, and so of the same weights, with another objective; it takes images binarized once."""
    return zoo.VAE(
        model.encoder,
        model.decoder,
        model.posterior_layer,
        model.likelihood_layer,
        model.prior_layer,
        objective=objective,
        pixels="as_given",
        seed=model.seed,
    )


def weights_by_group(model):
    """Trainable weights of the inference and of the generative program; a baseline's are neither."""
    return {group: [w.value for part in parts for w in getattr(model, part).trainable_weights] for group, parts in GROUPS.items()}


def gradient_moments(model, image, num_noises, first_step=0, seed=0):
    """Mean and total variance of the gradient of the mean loss over noises `first_step` ... `first_step + num_noises - 1`.

    Args:
        model: A `zoo.VAE` whose objective estimates the gradient.
        image: Float tensor [B, ...], as the likelihood takes it.
        num_noises: At least 2.
        first_step: Step of the first noise; that of row i is RowNoise(seed, step, i).
        seed: Seed of the noise.

    Returns:
        Dict from group to (mean gradient [number of weights], total variance: the sum of their unbiased variances, nats^2).
    """
    return _compiled_moments(model, image, num_noises, seed)(first_step)


def _compiled_moments(model, image, num_noises, seed):
    """`gradient_moments` as a function of the first step, compiled once for all blocks."""
    groups = weights_by_group(model)

    def gradient(step):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.objective.loss(model, {"image": image}, RowNoise(seed, step, tf.range(len(image))))[0])
        gradients = tape.gradient(loss, groups, unconnected_gradients="zero")
        return {group: tf.concat([tf.reshape(g, [-1]) for g in parts], axis=0) for group, parts in gradients.items()}

    def body(count, first_step, means, squares):
        new = gradient(first_step + count)
        differences = {group: new[group] - means[group] for group in groups}
        means = {group: means[group] + differences[group] / tf.cast(count + 1, tf.float32) for group in groups}
        squares = {group: squares[group] + tf.reduce_sum(differences[group] * (new[group] - means[group])) for group in groups}
        return count + 1, first_step, means, squares

    @tf.function(jit_compile=True, autograph=False)
    def run(first_step):
        sizes = {group: sum(math.prod(w.shape) for w in weights) for group, weights in groups.items()}
        start = {group: tf.zeros([size]) for group, size in sizes.items()}, dict.fromkeys(groups, tf.constant(0.0))
        _, _, means, squares = tf.while_loop(lambda count, *_: count < num_noises, body, (tf.constant(0), first_step, *start))
        return means, squares

    def moments(first_step):
        means, squares = run(tf.constant(first_step))
        return {group: (means[group].numpy().astype(np.float64), float(squares[group]) / (num_noises - 1)) for group in groups}

    return moments


def measure(model, image, num_noises, seed=0):
    """Total variance and squared signal of one estimator, each with its standard error.

    Args:
        model, image, seed: As in `gradient_moments`.
        num_noises: A multiple of NUM_BLOCKS.

    Returns:
        Dict from group to dict of `variance`, `variance_stderr`, `signal_squared`, `signal_squared_stderr`: nats^2.
    """
    size = num_noises // NUM_BLOCKS
    moments = _compiled_moments(model, image, size, seed)
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


def train_baseline(model, images, num_steps, batch_size, seed=0):
    """A network image -> predicted log p(x|z), trained for `ScoreFunction` while the model stays as it is.

    Args:
        model: A `zoo.VAE`, as stored.
        images: Training images [N, ...]; each step takes `batch_size` of them at random and binarizes them anew.

    Returns:
        The network.
    """
    keras.utils.set_random_seed(seed)
    baseline = networks.MLP((100,), 1)
    scored = with_objective(model, objectives.ScoreFunction(baseline=baseline))
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(baseline.trainable_variables)

    def batch_of(step):
        rows = np.random.default_rng((seed, step)).integers(0, len(images), batch_size)
        noise = RowNoise(seed, step, tf.constant(rows, tf.int32))
        return model.prepare({"image": tf.constant(images[rows])}, noise), noise

    @tf.function(jit_compile=True, autograph=False)
    def signal(batch, noise_rows, step):
        out = scored(batch, noise=RowNoise(seed, step, noise_rows))
        return tf.reduce_mean(out.likelihood.log_prob(batch["image"]))
