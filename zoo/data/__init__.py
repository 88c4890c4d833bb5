"""Data by name and split: arrays in memory, or `tf.data` batches."""

from zoo.data.examples import num_examples as num_examples
from zoo.data.labels import hide_labels as hide_labels
from zoo.data.load import batches as batches
from zoo.data.load import load as load
from zoo.data.load import sha256 as sha256
