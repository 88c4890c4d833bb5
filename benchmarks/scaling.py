"""What a training step costs as batch, width, latents and importance samples grow, and how close it
comes to what the machine can do.

    python benchmarks/scaling.py \
        --json benchmarks/results/scaling.json --plot benchmarks/results/scaling.png

One of four sizes of the dense VAE of `train_step.py` (784-400-400-32-400-400-784, batches of 128,
one sample) is varied at a time. A point is the median over rounds of the time of an epoch, divided
by its steps.

The roofline (Williams, Waterman & Patterson, CACM 2009) is measured on the spot: the fastest of
several square float32 matrix products, and the bandwidth of adding 1 to 256 MB. Operations of a
step are counted from the shapes of its matrix products, two for each multiplication and addition;
what is not a product does not count. Bytes are those that a step has to move where nothing stays in
a cache: weights read twice, gradients written, Adam's moments and the weights read and written,
activations written once and read twice.
"""

import argparse
import datetime
import itertools
import json
import os
import statistics
from pathlib import Path
from typing import NamedTuple

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from contenders.on_tensorflow import fit_epoch
from contenders.task import timed
from train_step import spots

import zoo
from zoo.runs.training import machine

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PIXELS = 28 * 28
AXES = {
    "batch_size": (32, 64, 128, 256, 512, 1024, 2048, 4096),
    "width": (100, 200, 400, 800, 1600),
    "latent_dim": (2, 8, 32, 128, 512),
    "num_samples": (1, 2, 5, 10, 20, 50),
}
STEPS = 60  # of an epoch: two blocks


class Size(NamedTuple):
    """A dense VAE and its batch."""

    batch_size: int = 128
    width: int = 400
    latent_dim: int = 32
    num_samples: int = 1

    @property
    def layers(self):
        """(inputs, outputs) of the layers of the encoder and of the decoder."""
        h, d = self.width, self.latent_dim
        return [(PIXELS, h), (h, h), (h, 2 * d)], [(d, h), (h, h), (h, PIXELS)]

    def operations(self):
        """Floating-point operations of the matrix products of a step: forward, and backward for
        weights and for inputs but the images."""
        encoder, decoder = (sum(i * o for i, o in layers) for layers in self.layers)
        products = 3 * encoder - PIXELS * self.width + 3 * self.num_samples * decoder
        return 2 * self.batch_size * products

    def moved_bytes(self):
        """Bytes that a step moves where nothing stays in a cache, float32."""
        encoder, decoder = self.layers
        weights = sum(i * o + o for i, o in encoder + decoder)
        activations = (
            PIXELS + sum(o for _, o in encoder) + self.num_samples * sum(o for _, o in decoder)
        )
        return 4 * (10 * weights + 3 * self.batch_size * activations)


def step_seconds(size, rounds):
    """Seconds of a training step: the median over epochs of `fit`, after one to compile."""
    posterior, likelihood = (
        zoo.layers.DiagonalNormal(size.latent_dim),
        zoo.layers.Bernoulli((28, 28, 1)),
    )
    model = zoo.VAE(
        zoo.networks.MLP((size.width, size.width), posterior.num_params),
        zoo.networks.MLP((size.width, size.width), likelihood.num_params),
        posterior,
        likelihood,
        objective=zoo.objectives.ELBO()
        if size.num_samples == 1
        else zoo.objectives.ImportanceWeighted(size.num_samples),
    )
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    images = spots(size.batch_size * STEPS, 28)
    times = [
        fit_epoch(keras.callbacks, model, images, batch_size=size.batch_size)
        for _ in range(1 + rounds)
    ]
    return statistics.median(times[1:]) / STEPS


def matmul_peak(rounds):
    """Operations a second of the fastest square float32 product, of XLA or of TensorFlow's own
    kernels."""

    def products(a, b, count):
        return tf.while_loop(lambda i, c: i < count, lambda i, c: (i + 1, c @ b), (0, a))[1]

    speeds = []
    for side, jit_compile in itertools.product((512, 1024, 2048), (True, False)):
        run = tf.function(products, jit_compile=jit_compile, autograph=False)
        # So that products keep their size.
        a, b = (tf.random.normal([side, side]) / side**0.5 for _ in range(2))
        count = tf.constant(max(1, 2**35 // (2 * side**3)))
        run(a, b, count)
        seconds = min(
            timed(lambda run=run, a=a, b=b, count=count: run(a, b, count).numpy())()
            for _ in range(rounds)
        )
        speeds.append(2 * side**3 * int(count) / seconds)
    return max(speeds)


def memory_bandwidth(rounds):
    """Bytes a second, read and written, of adding 1 to 256 MB."""
    x = tf.zeros([2**26])
    add = tf.function(lambda x: x + 1.0, jit_compile=True)
    add(x)
    return 2 * 4 * 2**26 / min(timed(lambda: add(x)[0].numpy())() for _ in range(rounds))


def measure(axes, rounds):
    """(points, peaks): dicts as they stand in the JSON file."""
    peaks = {
        "operations_per_second": matmul_peak(rounds),
        "bytes_per_second": memory_bandwidth(rounds),
    }
    points, known = [], {}
    for axis, values in axes.items():
        for value in values:
            size = Size(**{axis: value})
            if size not in known:
                known[size] = step_seconds(size, rounds)
            seconds = known[size]
            speed = size.operations() / seconds
            roof = min(
                peaks["operations_per_second"],
                peaks["bytes_per_second"] * size.operations() / size.moved_bytes(),
            )
            points.append(
                {
                    "axis": axis,
                    **size._asdict(),
                    "step_seconds": seconds,
                    "images_per_second": size.batch_size / seconds,
                    "operations_per_second": speed,
                    "operations_per_byte": size.operations() / size.moved_bytes(),
                    "of_peak": speed / peaks["operations_per_second"],
                    "of_roof": speed / roof,
                }
            )
            print(row(points[-1]), flush=True)
    return points, peaks


HEADER = (
    f"{'axis':<12}{'value':>7}{'images/s':>12}{'GFLOP/s':>10}"
    f"{'of peak':>9}{'flop/byte':>11}{'of roof':>9}"
)


def row(point):
    return (
        f"{point['axis']:<12}{point[point['axis']]:>7}{point['images_per_second']:>12,.0f}"
        f"{point['operations_per_second'] / 1e9:>10.1f}"
        f"{point['of_peak']:>9.0%}{point['operations_per_byte']:>11.1f}{point['of_roof']:>9.0%}"
    )


def draw(points, peaks, path):
    """Speed along each axis, and all points under the roofline."""
    figure, (speeds, roof) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lowest = min(point["operations_per_byte"] for point in points) / 2
    intensity = np.geomspace(lowest, 4 * max(point["operations_per_byte"] for point in points), 200)
    roof.plot(
        intensity,
        np.minimum(peaks["operations_per_second"], peaks["bytes_per_second"] * intensity) / 1e9,
        color="0.4",
        linewidth=1,
    )
    for axis in dict.fromkeys(point["axis"] for point in points):
        own = [point for point in points if point["axis"] == axis]
        values = [point[axis] / getattr(Size(), axis) for point in own]
        label = axis.replace("_", " ")
        speeds.plot(
            values,
            [point["images_per_second"] for point in own],
            marker="o",
            markersize=4,
            linewidth=1.2,
            label=label,
        )
        heights = [point["operations_per_second"] / 1e9 for point in own]
        roof.plot(
            [point["operations_per_byte"] for point in own], heights, "o", markersize=4, label=label
        )
    speeds.set_title("Images a second of training", fontsize=9)
    speeds.set_xlabel(
        "size, times that of the base "
        f"({', '.join(f'{k} {v}' for k, v in Size()._asdict().items())})",
        fontsize=7,
    )
    speeds.set_ylabel("images / s", fontsize=8)
    roof.set_title("Steps under the roofline of the machine", fontsize=9)
    roof.set_xlabel("operations per byte that has to move", fontsize=8)
    roof.set_ylabel("GFLOP/s of the matrix products", fontsize=8)
    for axis in (speeds, roof):
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The file's first lines say what is measured and how.",
    )
    parser.add_argument("--axes", metavar="NAME,...", help=f"some of: {', '.join(AXES)}")
    parser.add_argument("--largest", type=int, metavar="N", help="leave out values above N")
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs of each point (5)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    names = arguments.axes.split(",") if arguments.axes else list(AXES)
    if unknown := [name for name in names if name not in AXES]:
        parser.error(
            f"`--axes` takes names out of {', '.join(AXES)}. Received: {', '.join(unknown)}."
        )
    axes = {
        name: [value for value in AXES[name] if value <= (arguments.largest or value)]
        for name in names
    }
    print(f"{machine()}\n{HEADER}")
    points, peaks = measure(axes, arguments.rounds)
    print(
        f"peak {peaks['operations_per_second'] / 1e9:.1f} GFLOP/s (float32 product), "
        f"{peaks['bytes_per_second'] / 1e9:.1f} GB/s"
    )
    if arguments.json:
        record = {
            "date": str(datetime.date.today()),
            "machine": machine(),
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "rounds": arguments.rounds,
            "peaks": peaks,
            "points": points,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        draw(points, peaks, arguments.plot)


if __name__ == "__main__":
    main()
