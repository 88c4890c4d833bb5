"""A small classifier that reads what a model draws, and whose features images are compared in."""

import keras
import numpy as np

from zoo.images import to_unit_interval


class Reader:
    """A dense classifier of images, trained on labelled examples.

    Args:
        examples: Dict with "image" uint8 or float [N, H, W, C] and "label" int [N].
        epochs: Passes over them; 8 on MNIST take half a minute and read 98 % of test images.
        seed: Of weights, order and dropout.
    """

    def __init__(self, examples, epochs=8, seed=0):
        keras.utils.set_random_seed(seed)
        images = np.asarray(to_unit_interval(examples["image"]))
        image = keras.Input(images.shape[1:])
        h = keras.layers.Dropout(0.2)(keras.layers.Dense(512, "relu")(keras.layers.Flatten()(image)))
        features = keras.layers.Dense(64, "relu")(h)
        logits = keras.layers.Dense(int(np.max(examples["label"])) + 1)(keras.layers.Dropout(0.2)(features))
        self.model = keras.Model(image, [features, logits])
        trained = keras.Model(image, logits)
        trained.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(images) // 256))),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
        )
        trained.fit(images, np.asarray(examples["label"]), batch_size=256, epochs=epochs, verbose=0)

    def features(self, images):
        """[N, H, W, C] with pixels in [0, 1] -> [N, 64]."""
        return self.model.predict(np.asarray(images), batch_size=1000, verbose=0)[0]

    def read(self, images):
        """The most probable class of each image: int [N]."""
        return self.model.predict(np.asarray(images), batch_size=1000, verbose=0)[1].argmax(axis=-1)

    def accuracy(self, examples):
        """Share of examples that are read as their label."""
        return float(np.mean(self.read(to_unit_interval(examples["image"])) == examples["label"]))


def transfer_accuracy(model, examples, reader, num_images=1000):
    """How often a class that was asked for is read in an image, in the hand of another.

    Args:
        model: A `zoo.CVAE`.
        examples: Dict with "image" and "label": the first `num_images` are transferred to every class.
        reader: A `Reader`.

    Returns:
        Dict of `value`, the share over all images and classes, and `by_class`, the share for each class that was asked for.
    """
    images, labels = examples["image"][:num_images], examples["label"][:num_images]
    by_class = []
    for k in range(model.num_classes):
        asked = np.full(len(images), k, np.int32)
        by_class.append(float(np.mean(reader.read(model.transfer(images, labels, asked)) == k)))
    return {"value": float(np.mean(by_class)), "by_class": by_class, "num_examples": len(images)}
