"""What a stored model is worth on other data: MNIST's VAE on scikit-learn's digits, before and
after fine-tuning, and trained from scratch.

    python benchmarks/fine_tuning.py --json benchmarks/results/fine_tuning.json

The 1,797 digits of 8x8 pixels are other people's hands and another scanner's. They are enlarged to
MNIST's format, 20x20 in the middle of 28x28; 1,200 train, 300 are what the number of epochs is
chosen by, and the 297 test images are measured once each. Nothing is downloaded.
"""

import argparse
import datetime
import json
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from train_step import machine, versions

import zoo
from zoo import registry
from zoo.runs import training


def like_mnist(images):
    """[N, 8, 8, 1] -> [N, 28, 28, 1], uint8."""
    enlarged = tf.clip_by_value(tf.image.resize(images, (20, 20), "bicubic"), 0.0, 255.0)
    return tf.cast(tf.round(tf.image.pad_to_bounding_box(enlarged, 4, 4, 28, 28)), tf.uint8).numpy()


def nats(model, images, num_samples):
    number = zoo.evaluate(model, images, num_samples=num_samples, verbose=0)["nll"]
    return {"nll": round(number["value"], 3), "stderr_images": round(number["stderr_images"], 3)}


def fitted(model, train, validation, epochs):
    """The model with the weights of its best epoch, which epoch that was, and the seconds of all of
    them."""
    keep = keras.callbacks.EarlyStopping(restore_best_weights=True, patience=epochs)
    start = time.perf_counter()
    model.fit(
        train,
        batch_size=50,
        epochs=epochs,
        validation_data=validation,
        validation_batch_size=100,
        callbacks=[keep],
        verbose=0,
    )
    return model, keep.best_epoch + 1, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--recipe", default="vae_mnist", help="a stored model of 28x28 images (vae_mnist)"
    )
    parser.add_argument("--epochs", type=int, default=300, help="at most (300)")
    parser.add_argument(
        "--samples", type=int, default=1000, metavar="S", help="importance samples an image (1,000)"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures, with machine, date and versions",
    )
    arguments = parser.parse_args()
    images = like_mnist(zoo.data.load("digits", "train")["image"])
    train, validation = np.split(images, [1200])
    test = like_mnist(zoo.data.load("digits", "test")["image"])

    rows = {"stored": nats(zoo.load(arguments.recipe), test, arguments.samples)}
    scratch = training.build(registry.find(arguments.recipe).build({}))
    scratch.compile(keras.optimizers.Adam(1e-3))
    for name, model in (("fine-tuned", zoo.load(arguments.recipe)), ("from scratch", scratch)):
        model, epoch, seconds = fitted(model, train, validation, arguments.epochs)
        rows[name] = nats(model, test, arguments.samples) | {
            "epoch": epoch,
            "seconds": round(seconds, 1),
        }
    for name, row in rows.items():
        end = ""
        if "epoch" in row:
            end = f" (epoch {row['epoch']} of {arguments.epochs}, {row['seconds']} s)"
        print(f"{name:>14} {row['nll']:8.2f} nats ± {row['stderr_images']:.2f} over images{end}")
    if arguments.json:
        settings = {
            "recipe": arguments.recipe,
            "epochs": arguments.epochs,
            "samples": arguments.samples,
            "images": len(test),
        }
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        record = {
            "date": date,
            "settings": settings,
            "machine": machine(),
            "versions": versions(),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
