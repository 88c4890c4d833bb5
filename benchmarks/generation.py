"""Why the VAE is the generator: a deterministic autoencoder and a VAE of the same networks,
measured and drawn side by side.

    python benchmarks/generation.py ae_mnist vae_mnist ae_mnist_2d vae_mnist_2d \
        --data-dir DIR --json FILE --plots DIR

Each name is a stored model or a run directory, in pairs: an autoencoder and its VAE. For what is
measured see `zoo.evaluation.generation`.

    python benchmarks/generation.py --transfer cvae_mnist --data-dir DIR --json FILE

measures how often the digit that a CVAE is asked for is read in what it writes in another's hand.
"""

import argparse
import datetime
import json
from pathlib import Path

from zoo import data, plots
from zoo.evaluation.classifier import Reader, transfer_accuracy
from zoo.evaluation.generation import compare
from zoo.runs.training import machine
from zoo.store import pretrained

ROWS = {
    "distance of codes to N(0, I)": lambda n: f"{n['sliced_wasserstein']:.3f}",
    "  (of N(0, I) to itself)": lambda n: f"{n['sliced_wasserstein_of_prior']:.3f}",
    "continuity: median ratio": lambda n: f"{n['continuity']['median']:.2f}",
    "continuity: 99th percentile": lambda n: f"{n['continuity']['p99']:.2f}",
    "precision of decoded N(0, I)": lambda n: f"{n['precision']:.3f}",
    "recall of decoded N(0, I)": lambda n: f"{n['recall']:.3f}",
    "precision of reconstructions": lambda n: f"{n['precision_of_reconstructions']:.3f}",
    "rms error of a pixel": lambda n: f"{n['reconstruction_error']:.3f}",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="RUN_OR_RECIPE")
    parser.add_argument(
        "--transfer", metavar="RUN_OR_RECIPE", help="a CVAE, to measure its transfers"
    )
    parser.add_argument("--data-dir", metavar="DIR")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plots", metavar="DIR")
    arguments = parser.parse_args()

    targets = [*arguments.targets, *([arguments.transfer] if arguments.transfer else [])]
    if not targets:
        parser.error("name a stored model or a run directory")
    opened = [pretrained.open_model(target) for target in targets]
    dataset = opened[0][2].dataset
    train, test = (
        data.load(dataset.name, split, data_dir=arguments.data_dir)
        for split in (dataset.train, dataset.test)
    )
    reader = Reader(train)
    record = {
        "machine": machine(),
        "date": str(datetime.date.today()),
        "classifier_accuracy": reader.accuracy(test),
    }
    print(f"A dense classifier reads {record['classifier_accuracy']:.1%} of the test images.")

    models = {name: model for model, name, _ in opened[: len(arguments.targets)]}
    if models:
        record["models"] = numbers = {
            name: compare(model, test, reader) for name, model in models.items()
        }
        print(" " * 30 + "".join(f"{name:>16}" for name in numbers))
        for label, cell in ROWS.items():
            print(f"{label:<30}" + "".join(f"{cell(number):>16}" for number in numbers.values()))
    if arguments.transfer:
        record["transfer"] = transfer = transfer_accuracy(opened[-1][0], test, reader)
        count = f"{transfer['num_examples'] * len(transfer['by_class']):,}"
        print(
            f"{opened[-1][1]}: the digit that was asked for is read in "
            f"{transfer['value']:.1%} of {count} transfers."
        )

    if arguments.json:
        Path(arguments.json).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if arguments.plots:
        directory = Path(arguments.plots)
        directory.mkdir(parents=True, exist_ok=True)
        two = {
            name: model
            for name, model in models.items()
            if list(model.latent_shapes.values()) == [(2,)]
        }
        if two:
            plots.latent_maps(two, test, path=directory / "generation_latent_maps.png")
        plots.decoded_draws(models, path=directory / "generation_draws.png")


if __name__ == "__main__":
    main()
