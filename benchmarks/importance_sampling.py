"""Why an encoder: log p(x) of test images by draws from the prior, and by draws from q(z|x), at
growing numbers of samples.

    python benchmarks/importance_sampling.py --data-dir DIR --json FILE --plot FILE
    python benchmarks/importance_sampling.py --recipe vae_digits      # nothing to download

What is measured is `zoo.evaluation.importance.importance_curve` of a stored model: the first images
of its test split, binarized once as `zoo evaluate` does. Beside it stands KL(q(z|x) || p(z)) of the
same images: prior draws take of the order of e to that many nats.
"""

import argparse
import datetime
import json
import math
import time
from pathlib import Path

import tensorflow as tf
from train_step import machine, versions

from zoo import data, plots
from zoo.evaluation.importance import importance_curve, table
from zoo.random import EVALUATION_STEP, RowNoise
from zoo.store import pretrained


def rate(model, images, seed):
    """Mean KL(q(z|x) || p(z)) of images [N, ...], binarized as in evaluation: nats."""
    noise = RowNoise(seed, EVALUATION_STEP, tf.range(len(images)))
    return float(
        tf.reduce_mean(model.kl(model(model.prepare({"image": tf.constant(images)}, noise))))
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="vae_mnist", help="a stored model (vae_mnist)")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where TFDS keeps its data; by default $ZOO_DATA_DIR"
    )
    parser.add_argument("--images", type=int, default=100, help="the first of the test split (100)")
    parser.add_argument(
        "--samples",
        type=int,
        default=100_000,
        metavar="S",
        help="the most samples: 1, 10, 100 ... S (100,000)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows, with machine, date and versions"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    for name in ("images", "samples"):
        if getattr(arguments, name) < 1:
            parser.error(f"`--{name}` must be positive. Received: {getattr(arguments, name)}.")

    where = machine()
    model, _, recipe = pretrained.open_model(arguments.recipe)
    test = data.load(recipe.dataset.name, recipe.dataset.test, data_dir=arguments.data_dir)
    images = test["image"][: arguments.images]
    counts = sorted(
        {10**power for power in range(int(math.log10(arguments.samples)) + 1)} | {arguments.samples}
    )
    start = time.perf_counter()
    rows = importance_curve(model, images, num_samples=tuple(counts), seed=arguments.seed)
    seconds = time.perf_counter() - start
    nats = rate(model, images, arguments.seed)
    print(
        f"{arguments.recipe}, {len(images)} images of {recipe.dataset.test!r}, {seconds:.0f} s.",
        table(rows, "image"),
        "",
        sep="\n",
    )
    print(f"KL(q(z|x) || p(z)) of these images: {nats:.1f} nats on average.")
    print(
        f"Draws from p(z) would take of the order of e^{nats:.1f} = "
        f"10^{nats / math.log(10):.1f} samples an image."
    )

    if arguments.json:
        record = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "settings": {
                "recipe": arguments.recipe,
                "split": recipe.dataset.test,
                "images": len(images),
                "seed": arguments.seed,
            },
            "machine": where,
            "versions": versions(),
            "seconds": round(seconds, 1),
            "kl_to_prior_nats": nats,
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        plots.importance_curve(rows, arguments.plot, noun="image")


if __name__ == "__main__":
    main()
