"""Data by name and split: arrays in memory, or `tf.data` batches."""

from zoo.data.examples import num_examples
from zoo.data.labels import hide_labels
from zoo.data.load import batches, load, sha256, with_mirror_images

__all__ = [
    "batches",
    "hide_labels",
    "load",
    "num_examples",
    "sha256",
    "with_mirror_images",
]
