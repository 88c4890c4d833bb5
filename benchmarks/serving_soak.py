"""Soak of an exported model in TensorFlow's C++ runtime: all signatures at once from several
threads, bad requests among them.

    python benchmarks/serving_soak.py saved_models/vae_mnist/1
    python benchmarks/serving_soak.py saved_models/vae_mnist/1 \
        --seconds 300 --threads 4 --json soak.json

Each thread asks for a signature and a number of rows at random, and compares the answer with the
one that the same question got before the soak. One request in twenty is wrong (type, shape, a
missing input, a signature that is not there), and every two seconds comes one of 100 MB: it has to
be refused, and the next one answered. The resident memory of the last third has to be that of the
middle third. Prints milliseconds by signature and rows; where anything is otherwise it ends at
once, with status 1. XLA is off, as in a stock model server; the process imports neither TensorFlow
for Python nor this package.
"""

import argparse
import datetime
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from serving_latency import load_runtime, request
from train_step import machine

ROWS = (1, 5, 64)
WRONG = ("type", "shape", "missing", "signature")
WRONG_SHARE = 0.05
LARGE_BYTES, LARGE_SECONDS = 100 * 2**20, 2.0
MEMORY_TOLERANCE = 16 * 2**20  # what the allocators of the threads may move


class Soak:
    """Counts and times requests until it is told to stop."""

    def __init__(self, runtime, session):
        self.failure, self.session = runtime.RuntimeFailure, session
        generator = np.random.default_rng(0)
        self.questions = [
            (name, rows, request(signature, rows, generator))
            for name, signature in sorted(session.signatures.items())
            for rows in ROWS
        ]
        self.answers = [session.run(name, inputs) for name, _, inputs in self.questions]
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.times, self.refused, self.problems, self.memory = {}, 0, [], []

    def run(self, threads, seconds):
        workers = [threading.Thread(target=self._work, args=(seed,)) for seed in range(threads)]
        for worker in workers:
            worker.start()
        generator, now = np.random.default_rng(threads), time.perf_counter()
        end, large = now + seconds, now
        while time.perf_counter() < end and not self.problems:
            if time.perf_counter() > large:
                self._ask_wrongly("large", generator)
                large += LARGE_SECONDS
            time.sleep(0.1)
            self.memory.append(resident_bytes())
        self.stopped.set()
        for worker in workers:
            worker.join()
        if not self.problems:
            self._check_memory()

    def _work(self, seed):
        generator = np.random.default_rng(seed)
        try:
            while not self.stopped.is_set():
                if generator.random() < WRONG_SHARE:
                    self._ask_wrongly(str(generator.choice(WRONG)), generator)
                self._ask(generator.integers(len(self.questions)))
        except Exception as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    def _ask(self, number):
        name, rows, inputs = self.questions[number]
        start = time.perf_counter()
        answer = self.session.run(name, inputs)
        elapsed = 1e3 * (time.perf_counter() - start)
        with self.lock:
            self.times.setdefault((name, rows), []).append(elapsed)
        for output, value in self.answers[number].items():
            if not np.allclose(answer[output], value, rtol=1e-5, atol=1e-5):
                self.problems.append(
                    f"{name!r} with {rows} rows: {output!r} is not what it was before."
                )

    def _ask_wrongly(self, kind, generator):
        name, _, inputs = self.questions[generator.integers(len(self.questions))]
        first = sorted(inputs)[0]
        wrong = {
            "type": lambda: {**inputs, first: inputs[first].astype(np.float64)},
            "shape": lambda: {**inputs, first: inputs[first][..., None]},
            "missing": lambda: {key: value for key, value in inputs.items() if key != first},
            "large": lambda: {
                **inputs,
                first: np.zeros([1, LARGE_BYTES // inputs[first].itemsize], inputs[first].dtype),
            },
            "signature": lambda: inputs,
        }
        try:
            self.session.run("absent" if kind == "signature" else name, wrong[kind]())
        except self.failure:
            with self.lock:
                self.refused += 1
        else:
            self.problems.append(f"{name!r} answered a request that was wrong ({kind}).")

    def _check_memory(self):
        third = len(self.memory) // 3
        middle, last = (
            np.median(self.memory[third : 2 * third]),
            np.median(self.memory[2 * third :]),
        )
        if last > middle + MEMORY_TOLERANCE:
            self.problems.append(f"Memory grew from {middle / 2**20:.0f} to {last / 2**20:.0f} MB.")


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The file's first lines say what is measured and how.",
    )
    parser.add_argument("directory", type=Path, help="a version directory")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    runtime = load_runtime()
    runtime.disable_xla()
    with runtime.Session(arguments.directory) as session:
        soak = Soak(runtime, session)
        soak.run(arguments.threads, arguments.seconds)
    if soak.problems:
        sys.exit("\n".join(soak.problems[:5]))
    print(f"{'signature':<18}{'rows':>5}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}")
    points = []
    for (name, rows), times in sorted(soak.times.items()):
        p50, p99 = np.percentile(times, [50, 99])
        points.append(
            {"signature": name, "rows": rows, "requests": len(times), "p50_ms": p50, "p99_ms": p99}
        )
        print(f"{name:<18}{rows:>5}{len(times):>10,}{p50:>10.2f}{p99:>10.2f}")
    third = len(soak.memory) // 3
    memory = [
        round(float(np.median(soak.memory[part * third : (part + 1) * third])) / 2**20)
        for part in range(3)
    ]
    print(
        f"{soak.refused:,} wrong requests refused; resident memory of the three thirds: "
        f"{', '.join(map(str, memory))} MB."
    )
    if arguments.json:
        record = {
            "date": str(datetime.date.today()),
            "machine": machine(),
            "model": str(arguments.directory),
            "seconds": arguments.seconds,
        }
        record |= {
            "threads": arguments.threads,
            "refused": soak.refused,
            "memory_mb": memory,
            "points": points,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
