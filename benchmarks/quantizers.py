"""How well quantizers of equal bits tell pictures apart: distortion, length of the codes, use.

    python benchmarks/quantizers.py --data-dir DIRECTORY --json results/quantizers.json

Each contender is the tokenizer of `vqvae_cifar10` without its learned prior: the same residual
encoder and decoder, the same likelihood, optimizer, batches and number of steps. Between them each
of 8x8 places has 9 bits, 576 bits a picture:

- `vector`: one of 512 vectors that follow by moving averages;
- `residual`: three codes of a codebook of 8, each of what those before have left;
- `grouped`: three codes of 8, each of a third of the vector;
- `fsq`: three elements of 8 levels each;
- `lookup_free`: nine bits.

They train on CIFAR-10's first 45,000 pictures, and are measured on the 5,000 after them; nothing is
chosen by the numbers here. The distortion is of the mean of p(x|codes): `mse`, of pixels in [0, 1],
`psnr` in dB and `ssim`. `bits/dim` is of codes that cost 9 bits a place, as under a uniform prior.
Seconds are of training alone, on whatever the machine is; `train_step.py --model tokens` compares
speeds.
"""

import argparse
import datetime
import json
import time
from pathlib import Path

import keras
from train_step import machine, versions

import zoo

IMAGE_SHAPE, SIDE, FILTERS = (32, 32, 3), 8, (64, 128)
COLUMNS = ("bits_per_dim", "mse", "psnr", "ssim", "codes_used", "perplexity")


def vector(num_codes, code_dim):
    return zoo.layers.VectorQuantizer(num_codes, code_dim, restart_below=1.0)


QUANTIZERS = {
    "vector": lambda: vector(512, 16),
    "residual": lambda: zoo.layers.ResidualQuantizer([vector(8, 16) for _ in range(3)]),
    "grouped": lambda: zoo.layers.GroupedQuantizer([vector(8, 5) for _ in range(3)]),
    "fsq": lambda: zoo.layers.FSQ((8, 8, 8)),
    "lookup_free": lambda: zoo.layers.LookupFree(9),
}


def tokenizer(quantizer, dtype):
    likelihood = zoo.layers.DiscretizedLogisticMixture(IMAGE_SHAPE, 5)
    shared = {"patch": 2, "maps": True, "dtype": dtype}
    return zoo.VQVAE(
        zoo.networks.ResidualEncoder(SIDE * SIDE * quantizer.code_dim, FILTERS, **shared),
        zoo.networks.ResidualDecoder(IMAGE_SHAPE, likelihood.num_params, FILTERS, **shared),
        quantizer,
        likelihood,
        grid=(SIDE, SIDE),
        dtype=dtype,
    )


def measure(name, train, validation, steps, batch_size, dtype):
    keras.utils.set_random_seed(0)
    model = tokenizer(QUANTIZERS[name](), dtype)
    model.start_at_data(train["image"])
    model.start_codebook(train["image"][:1000])
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=100.0))
    rows = steps * batch_size
    start = time.perf_counter()
    for first in range(0, rows, len(train["image"])):
        model.fit(train["image"][: rows - first], batch_size=batch_size, verbose=0)
    seconds = time.perf_counter() - start
    numbers = zoo.evaluate(model, validation["image"], split="train[45000:]", verbose=0)
    return {
        "quantizer": name,
        "codes": model.num_codes,
        "codes_of_a_place": model.quantizer.code_shape,
        **{column: numbers[column]["value"] for column in COLUMNS},
        "stderr_bits_per_dim": numbers["bits_per_dim"]["stderr_images"],
        "seconds": seconds,
    }


def table(rows):
    lines = [
        "| quantizer | bits/dim | MSE | PSNR | SSIM | codes used | perplexity | training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['quantizer']}` | {row['bits_per_dim']:.3f} ± {row['stderr_bits_per_dim']:.3f} "
        f"| {row['mse']:.5f} | {row['psnr']:.2f} dB | {row['ssim']:.3f} "
        f"| {row['codes_used']} of {row['codes']} | {row['perplexity']:.1f} "
        f"| {row['seconds'] / 60:.1f} min |"
        for row in rows
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="of TFDS")
    parser.add_argument("--only", default=",".join(QUANTIZERS), help="contenders (all)")
    parser.add_argument("--steps", type=int, default=4500, help="training steps (4,500: 5 epochs)")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--dtype", default="mixed_bfloat16", help="of the networks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="kept, and gone on with")
    arguments = parser.parse_args()
    dataset = zoo.Dataset(
        name="cifar10", train="train[:45000]", validation="train[45000:]", binarization="grey"
    )
    train, validation = (
        zoo.data.load(dataset, split, data_dir=arguments.data_dir)
        for split in (dataset.train, dataset.validation)
    )
    task = {name: getattr(arguments, name) for name in ("steps", "batch_size", "dtype")}
    rows = []
    if arguments.json and arguments.json.exists():
        kept = json.loads(arguments.json.read_text(encoding="utf-8"))
        rows = kept["rows"] if kept["task"] == task else []
    for name in arguments.only.split(","):
        if name in [row["quantizer"] for row in rows]:
            continue
        rows.append(measure(name, train, validation, **task))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        if arguments.json:
            record = {
                "task": task,
                "date": datetime.date.today().isoformat(),
                "machine": machine(),
                "versions": versions(),
                "rows": rows,
            }
            arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
