"""How fast images are read, beside how fast they are trained on.

    python benchmarks/pipeline.py --data-dir DIR --scratch EMPTY_DIR \
        --json benchmarks/results/pipeline.json

The recipe `vae_images` on CIFAR-10 at 32x32 pixels. `memory` and `records` are `fit` with all
images on the device, and with images that are read from the TFRecord, decoded and mirrored while
the model trains, in turn within each round: images per second of the second epoch of a fit, and the
median over rounds of one over the other. `reading` is the stream of batches by itself. `peak` is how much the resident memory
of a process grows while it walks ten times through a set of records that is many times as large as
what may be held (`--memory-mb`): the records of CIFAR-10, several times over.
"""

import argparse
import dataclasses
import datetime
import json
import resource
import statistics
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


def peaks(files, passes, directory):
    """Peak of the process's memory after each pass over the records, and what their pixels take: in
    megabytes."""
    for number, file in enumerate(files):
        (directory / f"all-{number:05d}.tfrecord").symlink_to(file.resolve())
    dataset = zoo.Dataset(
        name=str(directory), train="all", validation="all", binarization="grey", in_memory=False
    )
    images, memory = data.load(dataset, "all")["image"], []
    for _ in range(passes):
        for _ in stream_of_arrays({"image": images}, 256, shuffle=False, seed=0):
            pass
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    return memory, images.nbytes / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--copies", type=int, default=2, help="of the records, for memory")
    parser.add_argument("--scratch", type=Path, required=True, help="an empty directory")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    kinds = {"memory": True, "records": False}
    examples = {
        name: examples_of(in_memory, 10_000, arguments.data_dir)
        for name, in_memory in kinds.items()
    }
    models = {name: build(spec_of(in_memory), 1000) for name, in_memory in kinds.items()}
    for name, model in models.items():
        fit_rate(model, examples[name], 10)  # traces
    rates = {name: [] for name in kinds}
    for number in range(arguments.rounds):
        for name in sorted(kinds, reverse=number % 2 == 1):
            rates[name].append(fit_rate(models[name], examples[name], arguments.steps))
    ratios = [b / a for a, b in zip(rates["memory"], rates["records"], strict=True)]
    memory, size = peaks(
        sorted(arguments.data_dir.glob("cifar10/**/cifar10-train.tfrecord*")) * arguments.copies,
        10,
        arguments.scratch,
    )
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "images_per_second": rates | {"reading": reading_rate(examples["records"])},
        "records_over_memory": statistics.median(ratios),
        "peak_memory_mb": memory,
        "pixels_mb": size,
    }
    print(f"{'in memory':12} {statistics.median(rates['memory']):8.0f} images/s")
    print(f"{'records':12} {statistics.median(rates['records']):8.0f} images/s")
    print(f"{'reading':12} {result['images_per_second']['reading']:8.0f} images/s")
    print(f"records / memory: {result['records_over_memory']:.2f} ({min(ratios):.2f} - "
          f"{max(ratios):.2f})")  # fmt: skip
    print(f"peak memory after pass 1: {memory[0]:.0f} MB; after pass {len(memory)}: "
          f"{memory[-1]:.0f} MB; pixels of the set: {size:.0f} MB")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
