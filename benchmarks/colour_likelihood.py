"""The likelihood of colour pictures: the mixture of logistics and its gradient, against the formula
of PixelCNN++ as it is published.

    python benchmarks/colour_likelihood.py --json benchmarks/results/colour_likelihood.json

A step computes log p of 32 pictures [32, 32, 3] under 10 components, and its gradient for the
decoder's 102,400 outputs a picture. The contenders:

- `published`: `discretized_mix_logistic_loss` of https://github.com/openai/pixel-cnn, with its four
  cases and TensorFlow's gradient;
- `autodiff`: `zoo.layers.DiscretizedLogisticMixture` with TensorFlow's gradient;
- `zoo`: the same with the gradient that `zoo/layers/logistic_mixture.py` writes out.

Each runs as TensorFlow's kernels and under XLA, in turn within each round. "it / zoo" is the median
over rounds of its time over that of `zoo` in the same way of running. Nothing is downloaded.
"""

import argparse
import datetime
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from train_step import machine, versions

from zoo import layers
from zoo.layers import logistic_mixture

IMAGE_SHAPE, COMPONENTS = (32, 32, 3), 10


def published(params, x):
    """log p [B] in nats, by the words of PixelCNN++'s code: pixels and locations in [-1, 1]."""
    x = tf.reshape(2.0 * x - 1.0, [x.shape[0], -1, 3, 1])
    logits, others = tf.split(tf.reshape(params, [x.shape[0], -1, 100]), [10, 90], axis=-1)
    means, log_scales, raw = tf.split(tf.reshape(others, [*x.shape[:3], 30]), 3, axis=-1)
    log_scales, coefficients = tf.maximum(log_scales, -7.0), tf.tanh(raw)
    red, green = x[:, :, 0], x[:, :, 1]
    first, second, third = tf.unstack(coefficients, axis=2)
    shifts = [tf.zeros_like(first), first * red, second * red + third * green]
    centered = x - (means + tf.stack(shifts, axis=2))
    rate = tf.exp(-log_scales)
    high, low = rate * (centered + 1.0 / 255.0), rate * (centered - 1.0 / 255.0)
    mass, middle = tf.sigmoid(high) - tf.sigmoid(low), rate * centered
    log_density = middle - log_scales - 2.0 * tf.nn.softplus(middle) - math.log(127.5)
    inner = tf.where(mass > 1e-5, tf.math.log(tf.maximum(mass, 1e-12)), log_density)
    last = tf.where(x > 0.999, -tf.nn.softplus(low), inner)
    each = tf.where(x < -0.999, high - tf.nn.softplus(high), last)
    log_joint = tf.reduce_sum(each, axis=2) + tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.reduce_logsumexp(log_joint, axis=-1), axis=-1)


def by_layer(params, x):
    layer = layers.DiscretizedLogisticMixture(IMAGE_SHAPE, COMPONENTS)
    return layer.distribution(params).log_prob(x)


def without_its_gradient(params, x):
    """The same, traced while the gradient is TensorFlow's own."""
    written_out = logistic_mixture.log_prob_of_level
    logistic_mixture.log_prob_of_level = lambda *arguments: written_out.__wrapped__(*arguments)[0]
    try:
        return by_layer(params, x)
    finally:
        logistic_mixture.log_prob_of_level = written_out


CONTENDERS = {"published": published, "autodiff": without_its_gradient, "zoo": by_layer}


def step_of(log_prob, jit_compile):
    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(params, x):
        with tf.GradientTape() as tape:
            tape.watch(params)
            value = log_prob(params, x)
        return value, tape.gradient(value, params)

    return step


def milliseconds(step, *arguments):
    start = time.perf_counter()
    value, _ = step(*arguments)
    value.numpy()  # a function's outputs are there together
    return 1000.0 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=32, help="pictures of a step (32)")
    parser.add_argument("--rounds", type=int, default=30, help="steps of each contender (30)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows, with machine, date and versions"
    )
    arguments = parser.parse_args()
    where, generator = machine(), np.random.default_rng(0)
    layer = layers.DiscretizedLogisticMixture(IMAGE_SHAPE, COMPONENTS)
    params = tf.constant(generator.normal(size=(arguments.rows, layer.num_params)), tf.float32)
    x = tf.constant(generator.integers(0, 256, (arguments.rows, *IMAGE_SHAPE)) / 255, tf.float32)
    steps = {
        (name, way): step_of(log_prob, way == "xla")
        for name, log_prob in CONTENDERS.items()
        for way in ("tensorflow", "xla")
    }
    for step in steps.values():
        milliseconds(step, params, x)  # traces and compiles
    times = {key: [] for key in steps}
    for _ in range(arguments.rounds):
        for key, step in steps.items():
            times[key].append(milliseconds(step, params, x))
    rows = []
    print(f"{'contender':10}  {'runs as':10}  {'ms':>6}  {'least':>6}  {'it / zoo':>8}")
    for (name, way), taken in times.items():
        ratio = statistics.median(t / z for t, z in zip(taken, times["zoo", way], strict=True))
        rounded = [round(each, 1) for each in taken]
        row = {"contender": name, "runs as": way, "ratio": round(ratio, 2), "milliseconds": rounded}
        rows.append(row)
        print(
            f"{name:10}  {way:10}  {statistics.median(taken):6.1f}  {min(taken):6.1f}  {ratio:8.2f}"
        )
    if arguments.json:
        record = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "settings": {"rows": arguments.rows, "rounds": arguments.rounds},
            "machine": where,
            "versions": versions(),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
