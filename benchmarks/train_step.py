"""Training speed of this package beside its peers, side by side in one sitting.

    python benchmarks/train_step.py                     # 784-400-400-32-400-400-784, batch 128
    python benchmarks/train_step.py --model conv        # convolutional, on 64x64x1, batch 64
    python benchmarks/train_step.py --model residual    # residual, on 32x32x3, batch 64
    python benchmarks/train_step.py --model tokens      # the same networks around a codebook
    python benchmarks/train_step.py --model two_layers  # two stochastic layers, this package alone
    python benchmarks/train_step.py --only zoo,torch_compile --rounds 9 --json speed.json
    python benchmarks/train_step.py --only zoo,zoo_before --before CHECKOUT

The peers come with `pip install -e '.[bench]'`; those that are missing are listed as such.
`contenders/` holds every training loop.

What is measured: images per second of one epoch of training in float32 (or as the name says) with
Adam at 1e-3, a fresh binarization of every image at every step, and all images in memory as uint8.
Where the contender has a `fit`, an epoch is timed from its beginning to its end within one call:
what is done around epochs, a run pays once. Importing and building do not count. The images are
soft spots drawn from a fixed seed: each step does the same arithmetic whatever the pixels are, so
the content does not change the speed and nothing needs to be downloaded.

How: each contender lives in a process of its own, with the threads that its framework takes by
default, and all see the same cores. It trains one epoch to warm up, and then sleeps until it is
told to time another. One at a time: a round is one epoch of each, and the order is reversed every
other round. Machines are shared and drift by tens of percent, so only epochs of one round are
compared: the table gives the median over rounds of the ratio of speeds zoo / contender, and its
range; above 1 this package is faster. Compile seconds are those of the warm-up epoch less the
median epoch.

`--worker NAME` runs one contender by itself with all that it prints; each line on its standard
input times one more epoch.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from contenders import CONTENDERS, FITTING, Task

# Side of the images, their number and the batch size, where the command does not say.
DEFAULTS = {
    "dense": {"side": 28, "images": 50_000, "batch_size": 128},
    "conv": {"side": 64, "images": 1_280, "batch_size": 64},
    "residual": {"side": 32, "channels": 3, "images": 1_280, "batch_size": 64},
    "tokens": {"side": 32, "channels": 3, "images": 1_280, "batch_size": 64},
    "two_layers": {"side": 28, "images": 50_000, "batch_size": 128},
}

PACKAGES = (
    "vae-zoo",
    "tensorflow",
    "keras",
    "tf-keras",
    "tensorflow-probability",
    "numpy",
    "torch",
    "vector-quantize-pytorch",
    "jax",
    "optax",
    "pythae",
)


def spots(num_images, side, channels=1):
    """Grey images [N, side, side, channels], uint8: a soft spot each, at a random place and of a
    random width, on black."""
    rng = np.random.default_rng(0)
    centre = rng.uniform(0.25 * side, 0.75 * side, [2, num_images, 1])
    width = rng.uniform(0.05 * side, 0.15 * side, [num_images, 1])
    # [N, side] each.
    profiles = np.exp(-0.5 * ((np.arange(side) - centre) / width) ** 2)
    down, across = profiles.astype(np.float32)
    grey = (255 * down[:, :, None] * across[:, None, :]).astype(np.uint8)[..., None]
    return np.repeat(grey, channels, axis=-1)


# -- The worker: one contender


def work(name, model, num_images, batch_size):
    """Trains a warm-up epoch, and then an epoch for each line on stdin; answers each with a line of
    JSON."""
    # The answers keep the real stdout; whatever frameworks print there goes to stderr.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sizes = DEFAULTS[model]
    task = Task(model, spots(num_images, sizes["side"], sizes.get("channels", 1)), batch_size)
    loop = CONTENDERS[name].build(task)
    first = {
        "device": loop.device,
        "num_parameters": loop.num_parameters,
        "first_epoch_seconds": loop.run_epoch(),
    }
    print(json.dumps(first), file=answers)
    for _ in sys.stdin:  # blocks, and uses no processor time, until the parent writes or goes away
        print(json.dumps({"seconds": loop.run_epoch()}), file=answers)


# -- The parent: all of them in turn


class ContenderFailed(Exception):
    """A worker ended before it answered."""


class Worker:
    """A contender in its own process.

    Args:
        name: Which.
        arguments: The command line's.
        directory: A `Path` for what the worker prints and caches.
    """

    def __init__(self, name, arguments, directory):
        self.log = directory / f"{name}.log"
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # A new cache, so that compile seconds are those of a first run.
            "TORCHINDUCTOR_CACHE_DIR": str(directory / f"{name}.inductor"),
            # By default TensorFlow and JAX each take the whole GPU.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        if name == "zoo_before":
            environment["PYTHONPATH"] = str(arguments.before.resolve())
        command = [sys.executable, __file__, "--worker", name, "--model", arguments.model]
        command += ["--images", str(arguments.images), "--batch-size", str(arguments.batch_size)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )

    def answer(self):
        """The next line of the worker, as a dict."""
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            printed = [
                line.strip()
                for line in self.log.read_text(errors="replace").splitlines()
                if line.strip()
            ]
            raise ContenderFailed(
                f"{printed[-1] if printed else 'nothing printed'} (exit code {code})"
            )
        return json.loads(line)

    def time_epoch(self):
        """Seconds of one more epoch."""
        with contextlib.suppress(BrokenPipeError):  # the worker died: `answer` tells why
            self.process.stdin.write("\n")
        return self.answer()["seconds"]

    def stop(self):
        self.process.kill()
        self.process.communicate()


def measure(arguments, directory):
    """Runs all contenders that are installed.

    Returns:
        Dict: name -> dict of `seconds` (a list, in rounds), `first_epoch_seconds`, `device`,
            `num_parameters`; or of `error`.
    """
    results, workers = {}, {}
    try:
        for name in arguments.only:
            missing = [
                module
                for module in CONTENDERS[name].needs
                if importlib.util.find_spec(module) is None
            ]
            if missing:
                results[name] = {
                    "error": f"not installed: {', '.join(missing)}. Try: pip install -e '.[bench]'"
                }
                continue
            report(f"{name}: builds and trains a warm-up epoch")
            workers[name] = Worker(name, arguments, directory)
            try:
                results[name] = {**workers[name].answer(), "seconds": []}
            except ContenderFailed as failure:
                results[name] = {"error": f"failed: {failure}"}
        for number in range(arguments.rounds):
            names = [name for name in workers if "error" not in results[name]]
            for name in names[::-1] if number % 2 else names:
                report(f"round {number + 1} of {arguments.rounds}: {name}")
                try:
                    results[name]["seconds"].append(workers[name].time_epoch())
                except ContenderFailed as failure:
                    results[name] = {"error": f"failed: {failure}"}
    finally:
        for worker in workers.values():
            worker.stop()
        report("")
    return results


def report(progress):
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)


# -- What comes out


def table(results, num_images):
    """The results as lines of text."""
    rows = [("contender", "images/s", "min - max", "zoo / it", "min - max", "compile s", "device")]
    baseline = results.get("zoo", {}).get("seconds")
    for name, result in results.items():
        if "error" in result:
            rows.append((name, result["error"]))
            continue
        speeds = [num_images / seconds for seconds in result["seconds"]]
        ratios = (
            [theirs / ours for theirs, ours in zip(result["seconds"], baseline, strict=True)]
            if baseline
            else []
        )
        rows.append(
            (
                name,
                *spread(speeds, ",.0f"),
                *spread(ratios, ".2f"),
                f"{result['first_epoch_seconds'] - statistics.median(result['seconds']):.1f}",
                result["device"],
            )
        )
    full = [row for row in rows if len(row) > 2]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for name, *cells in rows:
        if len(cells) > 1:  # numbers to the right, the device to the left
            cells = [
                cell.rjust(width) for cell, width in zip(cells[:-1], widths[1:-1], strict=True)
            ] + cells[-1:]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    return lines


def spread(values, form):
    """(median, "min - max") as text."""
    if not values:
        return "-", "-"
    return format(statistics.median(values), form), f"{min(values):{form}} - {max(values):{form}}"


def machine():
    """What the contenders run on, as far as the operating system knows."""
    cpus = [
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    return {
        "platform": platform.platform(),
        "cpu": cpus[0] if cpus else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "gpus": _gpus(),
        "load": os.getloadavg()[0]
        if hasattr(os, "getloadavg")
        else None,  # cores that other programs kept busy in the last minute
        # Set, these change the threads that frameworks take by default.
        "threads": {
            name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")
        },
        "python": platform.python_version(),
    }


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _gpus():
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [
        line.split(" (UUID")[0] for line in listed.stdout.splitlines() if line.startswith("GPU")
    ]


def versions():
    """Package -> version, of those that are installed."""
    installed = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    return installed


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The file's first lines say what is measured and how.",
    )
    parser.add_argument("--model", choices=DEFAULTS, default="dense")
    parser.add_argument(
        "--images", type=int, help="images an epoch (50,000; of convolutions: 1,280)"
    )
    parser.add_argument("--batch-size", type=int, help="(128; of convolutions: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs of each contender (5)")
    parser.add_argument("--only", metavar="NAME,...", help=f"some of: {', '.join(CONTENDERS)}")
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="a checkout of another revision, timed as well"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all times, with machine, date and versions"
    )
    parser.add_argument(
        "--device", action="store_true", help="print what there is to run on, and stop"
    )
    parser.add_argument("--worker", choices=CONTENDERS, metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("images", "batch_size"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, DEFAULTS[arguments.model][name])
    for name in ("images", "batch_size", "rounds"):
        if getattr(arguments, name) < 1:
            parser.error(
                f"`--{name.replace('_', '-')}` must be positive. Received: "
                f"{getattr(arguments, name)}."
            )
    fitting = [
        name for name in FITTING[arguments.model] if arguments.before or name != "zoo_before"
    ]
    arguments.only = arguments.only.split(",") if arguments.only else fitting
    if unknown := [name for name in arguments.only if name not in fitting]:
        parser.error(
            f"`--only` takes names out of {', '.join(fitting)} with `--model "
            f"{arguments.model}`. Received: {', '.join(unknown)}."
        )
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.worker:
        return work(arguments.worker, arguments.model, arguments.images, arguments.batch_size)
    where = machine()
    print(
        f"{where['cpu']}, {where['cores']} cores. "
        + ("; ".join(where["gpus"]) or "No GPU: everything runs on the CPU.")
    )
    if arguments.device:
        return None
    if where["load"] and where["load"] > 0.5:
        # Seen with both cores taken: threads that wait for each other lose far more than their
        # share, PyTorch's a factor of ten.
        print(
            f"Other programs keep {where['load']:.1f} cores busy: these numbers will say "
            "little. Wait until they are done."
        )
    settings = {
        name: getattr(arguments, name) for name in ("model", "images", "batch_size", "rounds")
    }
    print(", ".join(f"{name} {value}" for name, value in settings.items()), flush=True)
    with tempfile.TemporaryDirectory() as directory:
        results = measure(arguments, Path(directory))
    print("", *table(results, arguments.images), "", sep="\n")
    for name in results:
        print(f"{name}: {CONTENDERS[name].about}")
    if (
        len(
            sizes := {
                result["num_parameters"] for result in results.values() if "error" not in result
            }
        )
        > 1
    ):
        print(
            "The networks differ in size, so their speeds do not compare: "
            f"{sorted(sizes)} parameters."
        )
    if arguments.json:
        record = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "settings": settings,
            "machine": where,
            "versions": versions(),
            "contenders": results,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
