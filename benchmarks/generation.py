"""Why the VAE is the generator: a deterministic autoencoder and a VAE of the same networks, measured and drawn side by side.

    python benchmarks/generation.py ae_mnist vae_mnist ae_mnist_2d vae_mnist_2d --data-dir DIR --json FILE --plots DIR

Each name is a stored model or a run directory, in pairs: an autoencoder and its VAE. For what is measured see `zoo.evaluation.generation`.
"""

import argparse
import datetime
import json
from pathlib import Path

from zoo import data, plots, pretrained
from zoo.evaluation.classifier import Reader
from zoo.evaluation.generation import compare
from zoo.training import machine

ROWS = {
    "distance of codes to N(0, I)": lambda n: f"{n['sliced_wasserstein']:.3f}",
    "  (of N(0, I) to itself)": lambda n: f"{n['sliced_wasserstein_of_prior']:.3f}",
    "continuity: median ratio": lambda n: f"{n['continuity']['median']:.2f}",
    "continuity: 99th percentile": lambda n: f"{n['continuity']['p99']:.2f}",
    "precision of decoded N(0, I)": lambda n: f"{n['precision']:.3f}",
    "precision of reconstructions": lambda n: f"{n['precision_of_reconstructions']:.3f}",
    "rms error of a pixel": lambda n: f"{n['reconstruction_error']:.3f}",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="+", metavar="RUN_OR_RECIPE")
    parser.add_argument("--data-dir", metavar="DIR")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plots", metavar="DIR")
    arguments = parser.parse_args()

    models, numbers = {}, {}
    for target in arguments.targets:
        model, name, recipe = pretrained.open_model(target)
        models[name] = model
        train, test = (data.load(recipe.dataset.name, split, data_dir=arguments.data_dir) for split in (recipe.dataset.train, "test"))
    reader = Reader(train)
    accuracy = reader.accuracy(test)
    for name, model in models.items():
        numbers[name] = compare(model, test, reader)
    print(f"Features of a dense classifier that reads {accuracy:.1%} of test images. {numbers[name]['num_images']:,} images each.")
    print(" " * 30 + "".join(f"{name:>16}" for name in numbers))
    for label, cell in ROWS.items():
        print(f"{label:<30}" + "".join(f"{cell(number):>16}" for number in numbers.values()))

    if arguments.json:
        record = {"machine": machine(), "date": str(datetime.date.today()), "classifier_accuracy": accuracy, "models": numbers}
        Path(arguments.json).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if arguments.plots:
        directory = Path(arguments.plots)
        two = {name: model for name, model in models.items() if list(model.latent_shapes.values()) == [(2,)]}
        if two:
            plots.latent_maps(two, test, path=directory / "generation_latent_maps.png")
        plots.decoded_draws(models, path=directory / "generation_draws.png")


if __name__ == "__main__":
    main()
