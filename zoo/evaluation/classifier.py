"""A small classifier that reads what a model draws, and whose features images are compared in.

Two come with the package, so that numbers which depend on one mean the same everywhere. This is how
they were made:

    python -m zoo.evaluation.classifier mnist --data-dir DIR
    python -m zoo.evaluation.classifier digits --epochs 200
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.files import write_atomically
from zoo.models.cvae import CVAE
from zoo.observations.image import Image, to_unit_interval

STORED = Path(__file__).with_name("classifiers")
NUM_FEATURES = 64
# Arguments of Keras's methods, whose types a checker takes for those of their defaults, "auto".
SILENTLY: dict[str, Any] = {"verbose": 0}
BY_XLA: dict[str, Any] = {"jit_compile": True}


class Reader:
    """A dense classifier of images, trained on labelled examples.

    Args:
        examples: Dict with images, uint8 or float [N, H, W, C] and "label" int [N].
        epochs: Passes over them; 8 on MNIST take half a minute and read 98 % of test images.
        hidden_units: Width of the layer before the features.
        seed: Of weights, order and dropout.

    Attributes:
        card: What is known of a stored one, or None.
    """

    def __init__(
        self, examples: Mapping[str, Any], epochs: int = 8, hidden_units: int = 512, seed: int = 0
    ) -> None:
        keras.utils.set_random_seed(seed)
        images = np.asarray(to_unit_interval(examples[Image.key]))
        self._build(images.shape[1:], int(np.max(examples["label"])) + 1, hidden_units)
        # To a checker a learning rate is a float alone.
        rate: Any = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(images) // 256))
        self._trained.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            **BY_XLA,
        )
        self._trained.fit(
            images, np.asarray(examples["label"]), batch_size=256, epochs=epochs, **SILENTLY
        )

    def _build(self, image_shape, num_classes, hidden_units):
        self.card = None
        image = keras.Input(image_shape)
        h = keras.layers.Dropout(0.2)(
            keras.layers.Dense(hidden_units, "relu")(keras.layers.Flatten()(image))
        )
        features = keras.layers.Dense(NUM_FEATURES, "relu")(h)
        logits = keras.layers.Dense(num_classes)(keras.layers.Dropout(0.2)(features))
        self.model = keras.Model(image, [features, logits])
        self._trained = keras.Model(image, logits)

    @classmethod
    def stored(cls, image_shape: Sequence[int]) -> "Reader":
        """The one that comes with the package for images of this shape.

        Raises:
            ValueError: If there is none.
        """
        cards = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(STORED.glob("*.json"))
        }
        shapes = {name: tuple(card["image_shape"]) for name, card in cards.items()}
        name = next((name for name, shape in shapes.items() if shape == tuple(image_shape)), None)
        if name is None:
            stored = ", ".join(f"{shape} ({name})" for name, shape in shapes.items())
            raise ValueError(
                f"No classifier comes with the package for images of shape {tuple(image_shape)}: "
                f"there are {stored}."
            )
        reader, card = cls.__new__(cls), cards[name]
        reader._build(card["image_shape"], card["num_classes"], card["hidden_units"])
        with np.load(STORED / f"{name}.npz", allow_pickle=False) as archive:
            reader.model.set_weights(
                [archive[str(i)].astype(np.float32) for i in range(len(reader.model.weights))]
            )
        reader.card = card
        return reader

    def features(self, images: Any) -> np.ndarray:
        """[N, H, W, C] with pixels in [0, 1] -> [N, 64]."""
        return self._predict(images)[0]

    def read(self, images: Any) -> np.ndarray:
        """The most probable class of each image: int [N]."""
        return self._predict(images)[1].argmax(axis=-1)

    def _predict(self, images):
        return self.model.predict(np.asarray(images), batch_size=1000, **SILENTLY)

    def accuracy(self, examples: Mapping[str, Any]) -> float:
        """Share of examples that are read as their label."""
        return float(np.mean(self.read(to_unit_interval(examples[Image.key])) == examples["label"]))


def transfer_accuracy(
    model: CVAE, examples: Mapping[str, Any], reader: Reader, num_images: int = 1000
) -> dict[str, Any]:
    """How often a class that was asked for is read in an image, in the hand of another.

    Args:
        model: A `zoo.CVAE`.
        examples: Dict with images and "label": the first `num_images` are transferred to every
            class.
        reader: A `Reader`.

    Returns:
        Dict of `value`, the share over all images and classes, and `by_class`, the share for each
        class that was asked for.
    """
    images, labels = examples[Image.key][:num_images], examples["label"][:num_images]
    by_class = []
    for k in range(model.num_classes):
        targets = np.full(len(images), k, np.int32)
        by_class.append(float(np.mean(reader.read(model.transfer(images, labels, targets)) == k)))
    return {"value": float(np.mean(by_class)), "by_class": by_class, "num_examples": len(images)}


def main(argv: Sequence[str] | None = None) -> None:
    from zoo import data

    parser = argparse.ArgumentParser(
        description="Trains the classifier of a data set and stores it in the package."
    )
    parser.add_argument("name", choices=("mnist", "digits"))
    parser.add_argument("--data-dir")
    parser.add_argument("--hidden-units", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args(argv)
    train, test = (
        data.load(arguments.name, split, data_dir=arguments.data_dir) for split in ("train", "test")
    )
    reader = Reader(train, epochs=arguments.epochs, hidden_units=arguments.hidden_units)
    weights = [weight.astype(np.float16) for weight in reader.model.get_weights()]  # half the bytes
    reader.model.set_weights([weight.astype(np.float32) for weight in weights])
    card = {
        "data": arguments.name,
        "image_shape": list(train[Image.key].shape[1:]),
        "num_classes": int(train["label"].max()) + 1,
        "hidden_units": arguments.hidden_units,
        "epochs": arguments.epochs,
        "num_features": NUM_FEATURES,
        "train": f"train, {len(train['image']):,} images",
        "accuracy": reader.accuracy(test),
        "accuracy_on": f"test, {len(test['image']):,} images",
    }
    STORED.mkdir(exist_ok=True)
    np.savez_compressed(
        STORED / f"{arguments.name}.npz", **{str(i): weight for i, weight in enumerate(weights)}
    )
    text = json.dumps(card, indent=2)
    write_atomically(STORED / f"{arguments.name}.json", f"{text}\n".encode())
    print(text)


if __name__ == "__main__":
    main()
