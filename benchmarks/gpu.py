"""What a GPU does, measured by one command: `bash benchmarks/gpu.sh`.

    agreement   weights after 20 steps of training as an XLA block, as TensorFlow's loop, by plain
                steps, resumed at the half, on a MirroredStrategy of one device, each beside plain
                steps on the CPU; in mixed_bfloat16 the losses alone
    speed       `train_step.py` of the dense and the convolutional model
    evaluation  -log p(x) of 10,000 images with 5,000 samples each, of the stored `vae_mnist`

One JSON holds it all. Without a GPU it runs on the CPU, which tells whether it works.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from train_step import machine, spots, versions

STEPS, BATCH = 20, 32
MODES = {
    "steps": {"run_eagerly": True},
    "tf-loop": {"jit_compile": False},
    "xla-block": {"jit_compile": True},
}
WAYS = (*MODES, "resumed", "mirrored", "bfloat16")
SPEED = {
    "dense": "zoo,zoo_xla_block,zoo_tf_loop,keras,keras_jit,torch,torch_compile,jax",
    "conv": "zoo,zoo_xla_block,zoo_tf_loop,keras,keras_jit,torch,torch_compile",
}


# -- Workers, a process each


def train(way, path):
    """Trains in a way, and writes the weights and the losses."""
    import keras
    import tensorflow as tf

    import zoo

    if way == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    devices = ["GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"]
    strategy = tf.distribute.MirroredStrategy(devices)
    keras.utils.set_random_seed(0)

    def build():
        posterior, likelihood = zoo.layers.DiagonalNormal(8), zoo.layers.Bernoulli((28, 28, 1))
        encoder = zoo.networks.MLP((64,), posterior.num_params)
        decoder = zoo.networks.MLP((64,), likelihood.num_params)
        model = zoo.VAE(encoder, decoder, posterior, likelihood)
        model.compile(keras.optimizers.Adam(1e-3), **MODES.get(way, MODES["xla-block"]))
        return model

    if way == "mirrored":
        with strategy.scope():
            model = build()
    else:
        model = build()
    images = spots(BATCH * STEPS // 2, 28)
    losses = model.fit(images, batch_size=BATCH, epochs=1, verbose=0).history["loss"]
    if way == "resumed":
        with tempfile.TemporaryDirectory() as directory:
            model.save(Path(directory) / "half.keras")
            model = keras.saving.load_model(Path(directory) / "half.keras")
    losses += model.fit(images, batch_size=BATCH, epochs=1, verbose=0).history["loss"]
    weights = [np.asarray(weight, np.float32).ravel() for weight in model.weights]
    np.savez(path, weights=np.concatenate(weights), losses=losses)


def evaluate(num_images, num_samples):
    """A line of JSON: seconds of the second of two evaluations, and the number."""
    import zoo

    model = zoo.load("vae_mnist")
    images = (spots(num_images, 28) > 127).astype(np.float32)
    arguments = {"num_samples": num_samples, "verbose": 0}
    zoo.evaluate(model, images[:200], **arguments)
    start = time.perf_counter()
    numbers = zoo.evaluate(model, images, **arguments)
    told = {"seconds": time.perf_counter() - start, "nll": numbers["nll"]["value"]}
    print(json.dumps(told | {"images": num_images, "samples": num_samples}))


# -- The parent


def run(*arguments, on_cpu=False):
    """The last line of a worker; `{"error": ...}` where it failed."""
    environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": "-1"} if on_cpu else {})}
    command = [sys.executable, __file__, "--worker", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["nothing printed"])[-1]}
    return json.loads(lines[-1]) if lines else {}


def agreement(directory):
    """Way -> the largest difference of a weight and of a loss from plain steps on the CPU."""
    report = {}
    expected = directory / "cpu.npz"
    if failure := run("train", "steps", expected, on_cpu=True):
        return failure
    for way in WAYS:
        path = directory / f"{way}.npz"
        failure = run("train", way, path)
        if failure:
            report[way] = failure
            continue
        with np.load(expected) as ours, np.load(path) as theirs:
            differences = {name: np.abs(ours[name] - theirs[name]).max() for name in ours.files}
        report[way] = {name: float(value) for name, value in differences.items()}
    return report


def speed(directory, rounds):
    report = {}
    for model, contenders in SPEED.items():
        path = directory / f"{model}.json"
        script = Path(__file__).with_name("train_step.py")
        command = [sys.executable, script, "--model", model, "--only", contenders]
        command += ["--rounds", str(rounds), "--json", path]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stdout)
        failed = {"error": done.stderr[-2000:]}
        report[model] = json.loads(path.read_text()) if path.exists() else failed
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--skip-speed", action="store_true")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, *values = arguments.worker
        return train(*values) if what == "train" else evaluate(*map(int, values))
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        steps = {
            "agreement": lambda: agreement(Path(scratch)),
            "evaluation": lambda: run("evaluate", arguments.images, arguments.samples),
            "speed": lambda: {} if arguments.skip_speed else speed(Path(scratch), arguments.rounds),
        }
        for name, step in steps.items():
            start = time.perf_counter()
            record[name] = step()
            print(f"{name}, {time.perf_counter() - start:.0f} s: {json.dumps(record[name])[:2000]}")
            # What was measured is there, whatever becomes of the rest.
            arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
