"""Latency of an exported model's signatures in TensorFlow's C++ runtime, XLA switched off as in a
stock model server.

    python benchmarks/serving_latency.py saved_models/vae_mnist/1
    python benchmarks/serving_latency.py saved_models/vae_mnist/1 \
        --rows 1,64 --seconds 5 --json latency.json

One request at a time, from one thread: milliseconds from arrays to arrays, after one request of
each kind to warm up. What a server adds (its protocol, its queue) is not in it. Inputs are made up
from seed 0. The process imports neither TensorFlow for Python nor this package.
"""

import argparse
import datetime
import importlib.util
import json
import os
import time
from pathlib import Path

import numpy as np
from train_step import machine


def load_runtime():
    """`zoo/serving/runtime.py`, without the package around it."""
    path = Path(__file__).resolve().parent.parent / "zoo" / "serving" / "runtime.py"
    spec = importlib.util.spec_from_file_location("runtime", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def request(signature, num_rows, generator):
    """Made-up inputs: black and white pixels, small integers, standard normal latents."""
    inputs = {}
    for name, port in signature.inputs.items():
        shape = [num_rows, *port.shape[1:]]
        values = (
            generator.integers(0, 2, shape)
            if port.dtype != "float32" or len(shape) > 2
            else generator.normal(size=shape)
        )
        inputs[name] = values.astype(port.dtype)
    return inputs


def measure(session, rows, seconds):
    """Dicts of signature, rows, requests, and p50, p99 in milliseconds."""
    generator = np.random.default_rng(0)
    points = []
    for name, signature in sorted(session.signatures.items()):
        for num_rows in rows:
            inputs = request(signature, num_rows, generator)
            session.run(name, inputs)
            times, end = [], time.perf_counter() + seconds
            while time.perf_counter() < end or len(times) < 2:
                start = time.perf_counter()
                session.run(name, inputs)
                times.append(1e3 * (time.perf_counter() - start))
            p50, p99 = np.percentile(times, [50, 99])
            points.append(
                {
                    "signature": name,
                    "rows": num_rows,
                    "requests": len(times),
                    "p50_ms": p50,
                    "p99_ms": p99,
                }
            )
            print(f"{name:<18}{num_rows:>5}{len(times):>10,}{p50:>10.2f}{p99:>10.2f}", flush=True)
    return points


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The file's first lines say what is measured and how.",
    )
    parser.add_argument("directory", type=Path, help="a version directory")
    parser.add_argument("--rows", default="1,64", metavar="N,...", help="rows of a request (1,64)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="time for each signature and number of rows (5)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    runtime = load_runtime()
    runtime.disable_xla()
    print(f"{'signature':<18}{'rows':>5}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}")
    with runtime.Session(arguments.directory) as session:
        points = measure(
            session, [int(number) for number in arguments.rows.split(",")], arguments.seconds
        )
    if arguments.json:
        record = {
            "date": str(datetime.date.today()),
            "machine": machine(),
            "model": str(arguments.directory),
            "points": points,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
