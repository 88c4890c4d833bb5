"""What judging costs: the latent monitor's share of an epoch, and the seconds of the
disentanglement metrics.

    python benchmarks/evaluation_cost.py --json benchmarks/results/evaluation_cost.json

The monitor looks at its default 300 images after each epoch of the dense VAE of `vae_mnist`
(784-200-200-50) on 50,000 made-up images in batches of 100; its share is the time of its
`on_epoch_end` over that of the whole epoch, the first epoch, which compiles, left out. The metrics
see 10,000 codes of 10 dimensions, five of which follow a factor of the sprites each, with noise.
Nothing is downloaded.
"""

import argparse
import datetime
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from train_step import machine, spots, versions

import zoo
from zoo.data import sprites
from zoo.evaluation import disentanglement


class TimedMonitor(zoo.evaluation.LatentMonitor):
    """Notes the seconds of its own work, and of the epoch around it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.own, self.epochs = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        start = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        end = time.perf_counter()
        self.own.append(end - start)
        self.epochs.append(end - self._begun)


def monitor_share(epochs):
    """The monitor's milliseconds and its share of an epoch, medians over epochs."""
    posterior, likelihood = zoo.layers.DiagonalNormal(50), zoo.layers.Bernoulli((28, 28, 1))
    model = zoo.VAE(
        encoder=zoo.networks.MLP((200, 200), posterior.num_params),
        decoder=zoo.networks.MLP((200, 200), likelihood.num_params),
        posterior=posterior,
        likelihood=likelihood,
    )
    model.compile(keras.optimizers.Adam(1e-3))
    images = spots(50_000, 28)
    monitor = TimedMonitor(images)
    model.fit(images, batch_size=100, epochs=epochs + 1, callbacks=[monitor], verbose=0)
    shares = [own / epoch for own, epoch in zip(monitor.own[1:], monitor.epochs[1:], strict=True)]
    return {
        "epochs": epochs,
        "monitor_ms": round(1000 * statistics.median(monitor.own[1:]), 1),
        "epoch_s": round(statistics.median(monitor.epochs[1:]), 3),
        "share": round(statistics.median(shares), 4),
        "largest_share": round(max(shares), 4),
    }


def metric_seconds(num_points):
    """Seconds of every metric, by name."""
    generator = np.random.default_rng(0)
    factors = sprites.split("test")[:num_points]
    codes = generator.normal(size=(len(factors), 10))
    codes[:, :5] = 0.3 * codes[:, :5] + factors / np.array(list(sprites.FACTORS.values()))
    seconds = {}
    for name in disentanglement.METRICS:
        start = time.perf_counter()
        disentanglement.scores(codes, factors, [name])
        seconds[name] = round(time.perf_counter() - start, 1)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10, help="that count (10)")
    parser.add_argument("--points", type=int, default=10_000, help="codes that are scored (10,000)")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures, with machine, date and versions",
    )
    arguments = parser.parse_args()
    monitor = monitor_share(arguments.epochs)
    print(
        "LatentMonitor: {monitor_ms} ms of an epoch of {epoch_s} s: {share:.1%}, at most "
        "{largest_share:.1%}".format(**monitor)
    )
    metrics = metric_seconds(arguments.points)
    for name, seconds in metrics.items():
        print(f"{name:>12} {seconds:6.1f} s")
    print(f"{'all':>12} {sum(metrics.values()):6.1f} s")
    if arguments.json:
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        record = {
            "date": date,
            "machine": machine(),
            "versions": versions(),
            "monitor": monitor,
            "metric_seconds": metrics,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
