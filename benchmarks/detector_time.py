"""How long `zoo.Detector` takes from nothing: to fit a table, compile included, and to score it.

    python benchmarks/detector_time.py --json benchmarks/results/detector_time.json

Each size in a process of its own, so that nothing is compiled before. Rows are normal numbers with
a common factor; a step's arithmetic does not depend on them. "again" is a second fit of the same
detector, which compiles nothing. Importing does not count. Run it on an idle machine.
"""

import argparse
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from train_step import machine, versions

SIZES = ((500, 10), (10_000, 30))


def work(num_rows, num_columns):
    """Prints the seconds of one size, as JSON."""
    from zoo.detection import Detector

    generator = np.random.default_rng(0)
    factor = generator.normal(size=(num_rows, 1))
    rows = generator.normal(size=(num_rows, num_columns)) + factor
    detector, seconds = Detector(), {}
    for name, function in (
        ("fit", detector.fit),
        ("scores", detector.score_samples),
        ("again", detector.fit),
    ):
        start = time.perf_counter()
        function(rows)
        seconds[name] = time.perf_counter() - start
    print(json.dumps(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
        return
    found = []
    for size in SIZES:
        command = [sys.executable, __file__, "--worker", *map(str, size)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = json.loads(process.stdout.splitlines()[-1])
        found.append({"rows": size[0], "columns": size[1], **seconds})
        print(found[-1], flush=True)
    if arguments.json:
        content = {
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": versions(),
            "seconds": found,
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
