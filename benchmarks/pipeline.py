"""What it costs to read pictures while a model trains, and how much memory reading takes.

    python benchmarks/pipeline.py speed --data-dir DIRECTORY --json results/pipeline.json
    python benchmarks/pipeline.py memory --data-dir DIRECTORY --json results/pipeline.json

`speed`: the recipe `vae_images` on CIFAR-10 at 32x32 pixels. `memory` and `records` are `fit` with
all images on the device, and with images that are read from the TFRecord, decoded and mirrored
while the model trains, in turn within each round: images per second of the second epoch of a fit,
and the median over rounds of one over the other. `reading` is the stream of batches by itself.

`memory`: the resident memory that a new process has had at most, after each tenth of one pass over
the records of CIFAR-10 ten times over, shuffled. The process does nothing else.
"""

import argparse
import dataclasses
import datetime
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import keras
from train_step import machine, versions

import zoo
from zoo import data, registry
from zoo.engine.streams import stream_of_arrays
from zoo.runs.training import build

BATCH_SIZE = 32


def spec_of(in_memory):
    spec = registry.find("vae_images").build({"image_size": 32, "batch_size": BATCH_SIZE})
    dataset = dataclasses.replace(spec.dataset, in_memory=in_memory, skip_corrupt=False)
    return dataclasses.replace(spec, dataset=dataset)


def examples_of(in_memory, num_images, data_dir):
    dataset = spec_of(in_memory).dataset
    examples = data.load(dataset, f"train part[:{num_images}]", data_dir=data_dir)
    return data.with_mirror_images({"image": examples["image"]})


class Clock(keras.callbacks.Callback):
    """When epochs end."""

    def on_train_begin(self, logs=None):
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())


def fit_rate(model, examples, num_steps):
    """Images per second of the second of two epochs: what a stream reads ahead, a run pays once."""
    clock = Clock()
    model.fit(
        examples,
        batch_size=BATCH_SIZE,
        steps_per_epoch=num_steps,
        epochs=2,
        verbose=0,
        callbacks=[clock],
    )
    first, second = clock.ends
    return num_steps * BATCH_SIZE / (second - first)


def reading_rate(examples, seconds=5.0):
    batches = iter(stream_of_arrays(examples, BATCH_SIZE, shuffle=True, seed=0))
    next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        next(batches)
        count += 1
    return count * BATCH_SIZE / (time.perf_counter() - start)


def speed(data_dir, num_rounds, num_steps):
    kinds = {"memory": True, "records": False}
    examples = {name: examples_of(in_memory, 10_000, data_dir) for name, in_memory in kinds.items()}
    models = {name: build(spec_of(in_memory), 1000) for name, in_memory in kinds.items()}
    for name, model in models.items():
        fit_rate(model, examples[name], 10)  # traces
    rates = {name: [] for name in kinds}
    for number in range(num_rounds):
        for name in sorted(kinds, reverse=number % 2 == 1):
            rates[name].append(fit_rate(models[name], examples[name], num_steps))
    ratios = [b / a for a, b in zip(rates["memory"], rates["records"], strict=True)]
    reading = reading_rate(examples["records"])
    print(f"{'in memory':12} {statistics.median(rates['memory']):8.0f} images/s")
    print(f"{'records':12} {statistics.median(rates['records']):8.0f} images/s")
    print(f"{'reading':12} {reading:8.0f} images/s")
    print(f"records / memory: {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f} - {max(ratios):.2f})")  # fmt: skip
    return {
        "images_per_second": rates | {"reading": reading},
        "records_over_memory": statistics.median(ratios),
    }


def memory(data_dir, copies):
    files = sorted(data_dir.glob("cifar10/**/cifar10-train.tfrecord*")) * copies
    with tempfile.TemporaryDirectory() as directory:
        for number, file in enumerate(files):
            (Path(directory) / f"all-{number:05d}.tfrecord").symlink_to(file.resolve())
        dataset = zoo.Dataset(
            name=directory, train="all", validation="all", binarization="grey", in_memory=False
        )
        images, peaks = data.load(dataset, "all")["image"], [peak_megabytes()]
        batches = iter(stream_of_arrays({"image": images}, 250, shuffle=True, seed=0))
        for _ in range(copies):
            for _ in range(len(images) // copies // 250):
                next(batches)
            peaks.append(peak_megabytes())
    size = images.nbytes / 1e6
    print(f"peak memory: {peaks[0]:.0f} MB before reading, {peaks[1]:.0f} MB after a tenth, "
          f"{peaks[-1]:.0f} MB at the end; the pixels take {size:.0f} MB")  # fmt: skip
    return {"peak_memory_mb": peaks, "pixels_mb": size}


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("speed", "memory"))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--copies", type=int, default=10, help="of the records, for memory")
    parser.add_argument("--json", type=Path, help="the other part's result stays in it")
    arguments = parser.parse_args()
    if arguments.part == "speed":
        result = speed(arguments.data_dir, arguments.rounds, arguments.steps)
    else:
        result = memory(arguments.data_dir, arguments.copies)
    if arguments.json:
        others = {}
        if arguments.json.exists():
            others = json.loads(arguments.json.read_text(encoding="utf-8"))
        result |= {"date": datetime.date.today().isoformat(), "machine": machine()}
        result |= {"versions": versions()}
        arguments.json.write_text(
            json.dumps(others | {arguments.part: result}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
