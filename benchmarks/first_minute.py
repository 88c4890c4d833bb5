"""The first minute: whole processes, from `import` to a trained model on a small table.

    python benchmarks/first_minute.py
    python benchmarks/first_minute.py --only zoo,keras --json benchmarks/results/first_minute.json

569 rows of 30 columns for 50 epochs (scikit-learn's breast cancer data, standardized), 5,000 rows
for 20 (made up), the 8x8 digits for 20; batches of 64; 128 and 64 units on both sides of 8 latents;
Adam at 1e-3. Each number is the median of five processes, in turn. Seconds of imports are told
apart; `fit` is the call alone, building and compiling included; `again` is a second `fit` of the
same shapes in the same process. PyTorch takes one thread, which is its fastest here.

Besides: `zoo.load("vae_mnist")` to the first sample, `zoo --help` and `zoo list`, as whole
processes.
"""

import argparse
import datetime
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from train_step import machine, versions

HIDDEN, LATENT, BATCH, RATE = (128, 64), 8, 64, 1e-3
EPOCHS = {"569x30": 50, "5000x30": 20, "digits": 20}
ZOO = Path(sys.executable).with_name("zoo")
COMMANDS = {
    "zoo.load to a sample": [sys.executable, "-c", "import zoo; zoo.load('vae_mnist').sample(1)"],
    "imports of these": [
        *(sys.executable, "-c"),
        "import keras, tensorflow, tensorflow_probability as tfp; tfp.distributions",
    ],
    "zoo --help": [ZOO, "--help"],
    "zoo list": [ZOO, "list"],
}


def rows_of(case):
    """float32 [N, D]; images lie flat, in [0, 1]."""
    if case == "5000x30":
        rng = np.random.default_rng(0)
        return (rng.normal(size=(5000, 5)) @ rng.normal(size=(5, 30))).astype(np.float32)
    from sklearn import datasets

    if case == "digits":
        return (datasets.load_digits().data / 16).astype(np.float32)
    table = datasets.load_breast_cancer().data
    return ((table - table.mean(0)) / table.std(0)).astype(np.float32)


# -- Contenders: imports, then a function from the rows to a function that fits


def with_zoo(case, **mode):
    import keras

    import zoo

    def build(rows):
        posterior = zoo.layers.DiagonalNormal(LATENT)
        likelihood, data = zoo.layers.Normal((rows.shape[1],), scale=1.0), rows
        if case == "digits":
            likelihood = zoo.layers.Bernoulli((8, 8, 1))
            data = np.round(rows * 255).astype(np.uint8).reshape(-1, 8, 8, 1)
        else:
            observation = zoo.observations.Vector(rows.shape[1])
            mode_of_data["observation"] = observation
        model = zoo.VAE(
            zoo.networks.MLP(HIDDEN, posterior.num_params),
            zoo.networks.MLP(HIDDEN[::-1], likelihood.num_params),
            posterior,
            likelihood,
            **mode_of_data,
        )
        model.compile(keras.optimizers.Adam(RATE), **mode)
        return lambda epochs: model.fit(data, batch_size=BATCH, epochs=epochs, verbose=0)

    mode_of_data = {}
    zoo.VAE, zoo.layers, zoo.networks, zoo.observations  # noqa: B018 - imports
    return build


def with_keras(case):
    import keras
    from keras import layers, ops

    class PlainVAE(keras.Model):
        def __init__(self, size):
            super().__init__()
            dense = [layers.Dense(units, "relu") for units in HIDDEN]
            self.encoder = keras.Sequential([*dense, layers.Dense(2 * LATENT)])
            dense = [layers.Dense(units, "relu") for units in HIDDEN[::-1]]
            self.decoder = keras.Sequential([*dense, layers.Dense(size)])
            self.seed = keras.random.SeedGenerator(0)

        def call(self, x):
            if case == "digits":
                x = ops.cast(keras.random.uniform(ops.shape(x), seed=self.seed) < x, "float32")
            loc, log_scale = ops.split(self.encoder(x), 2, axis=-1)
            noise = keras.random.normal(ops.shape(loc), seed=self.seed)
            return x, loc, log_scale, self.decoder(loc + ops.exp(log_scale) * noise)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            x, loc, log_scale, outputs = y_pred
            if case == "digits":
                distance = ops.binary_crossentropy(x, outputs, from_logits=True)
            else:
                distance = 0.5 * ops.square(x - outputs)
            kl = 0.5 * (ops.square(loc) + ops.exp(2 * log_scale) - 1 - 2 * log_scale)
            return ops.mean(ops.sum(distance, axis=-1) + ops.sum(kl, axis=-1))

    def build(rows):
        model = PlainVAE(rows.shape[1])
        model.compile(keras.optimizers.Adam(RATE))
        return lambda epochs: model.fit(rows, batch_size=BATCH, epochs=epochs, verbose=0)

    return build


def with_torch(case):
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)

    def stack(sizes):
        pairs = itertools.pairwise(sizes[:-1])
        hidden = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(*sizes[-2:]))

    def build(rows):
        size = rows.shape[1]
        encoder = stack((size, *HIDDEN, 2 * LATENT))
        decoder = stack((LATENT, *HIDDEN[::-1], size))
        optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], RATE)
        data = torch.from_numpy(rows)

        def loss_of(x):
            if case == "digits":
                x = (torch.rand_like(x) < x).float()
            loc, log_scale = encoder(x).chunk(2, dim=-1)
            outputs = decoder(loc + log_scale.exp() * torch.randn_like(loc))
            if case == "digits":
                distance = functional.binary_cross_entropy_with_logits(outputs, x, reduction="none")
            else:
                distance = 0.5 * (x - outputs).square()
            kl = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale)
            return (distance.sum(1) + kl.sum(1)).mean()

        def fit(epochs):
            for _ in range(epochs):
                for chosen in torch.randperm(len(data)).split(BATCH):
                    optimizer.zero_grad()
                    loss_of(data[chosen]).backward()
                    optimizer.step()

        return fit

    return build


def with_pythae(case):
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    def build(rows):
        loss = "bce" if case == "digits" else "mse"
        config = VAEConfig((rows.shape[1],), latent_dim=LATENT, reconstruction_loss=loss)
        model = VAE(config)

        def fit(epochs):
            import torch

            data = BaseDataset(torch.from_numpy(rows), torch.zeros(len(rows)))
            with tempfile.TemporaryDirectory() as directory:
                settings = BaseTrainerConfig(
                    *(directory, epochs),
                    per_device_train_batch_size=BATCH,
                    learning_rate=RATE,
                )
                BaseTrainer(model, data, training_config=settings).train()

        return fit

    return build


def with_pyod(case):
    from pyod.models.vae import VAE

    def build(rows):
        def fit(epochs):
            VAE(
                encoder_neuron_list=list(HIDDEN),
                decoder_neuron_list=list(HIDDEN[::-1]),
                latent_dim=LATENT,
                epoch_num=epochs,
                batch_size=BATCH,
                lr=RATE,
                verbose=0,
            ).fit(rows)

        return fit

    return build


# Name -> (what makes it, modules that must be there).
CONTENDERS = {
    "zoo": (with_zoo, ()),
    "zoo_xla_block": (lambda case: with_zoo(case, jit_compile=True), ()),
    "zoo_tf_loop": (lambda case: with_zoo(case, jit_compile=False), ()),
    "keras": (with_keras, ()),
    "torch": (with_torch, ("torch",)),
    "pythae": (with_pythae, ("torch", "pythae")),
    "pyod": (with_pyod, ("torch", "pyod")),
}


def work(name, case):
    """One process: a line of JSON with its seconds."""
    rows = rows_of(case)
    times = [time.perf_counter()]

    def lap():
        times.append(time.perf_counter())
        return times[-1] - times[-2]

    build = CONTENDERS[name][0](case)
    imports = lap()
    fit = build(rows)
    building = lap()
    fit(EPOCHS[case])
    first = lap()
    fit(EPOCHS[case])
    told = {"imports": imports, "fit": building + first, "again": lap()}
    print(json.dumps(told), flush=True)


# -- The parent


def measure(command):
    """Seconds of a whole process, and what its last line tells."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stderr}")
    lines = done.stdout.strip().splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return {"process": seconds, **told}


def median(points):
    return {key: statistics.median(point[key] for point in points) for key in points[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(CONTENDERS), metavar="NAME,...")
    parser.add_argument("--cases", default=",".join(EPOCHS), metavar="CASE,...")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each (5)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(*arguments.worker)
    results, missing = {}, {}
    names = []
    for name in arguments.only.split(","):
        lacking = [m for m in CONTENDERS[name][1] if importlib.util.find_spec(m) is None]
        if lacking:
            missing[name] = f"not installed: {', '.join(lacking)}"
        else:
            names.append(name)
    keys = [(case, name) for case in arguments.cases.split(",") for name in names]
    points = {key: [] for key in keys} | {command: [] for command in COMMANDS}
    for number in range(arguments.rounds):
        for case, name in keys[::-1] if number % 2 else keys:
            command = [sys.executable, __file__, "--worker", name, case]
            points[case, name].append(measure(command))
        for name, command in COMMANDS.items():
            points[name].append(measure(command))
    print(f"{'case':<10}{'contender':<16}{'imports':>9}{'fit':>8}{'again':>8}{'of keras':>10}")
    for case, name in keys:
        row = results[f"{case} {name}"] = median(points[case, name])
        ratio = "-"
        if "keras" in names:
            ratio = f"{row['fit'] / median(points[case, 'keras'])['fit']:.2f}"
        seconds = "".join(
            f"{row[key]:>{width}.2f}" for key, width in (("imports", 9), ("fit", 8), ("again", 8))
        )
        print(f"{case:<10}{name:<16}{seconds}{ratio:>10}")
    for name in COMMANDS:
        results[name] = median(points[name])
        print(f"{name:<26}{results[name]['process']:>9.2f} s")
    for name, reason in missing.items():
        print(f"{name}: {reason}")
    if arguments.json:
        record = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "rounds": arguments.rounds,
            "seconds": results,
            "missing": missing,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
