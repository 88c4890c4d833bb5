"""What a model answers: named questions about rows, the one source for servers, clients, pictures
and the command line."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from zoo.random import RowNoise

SCORE_SAMPLES = 64
SEED = {"seed": tf.TensorSpec([None, 2], tf.int32, name="seed")}


class Answer(NamedTuple):
    """A question that a model answers.

    Every row of an answer is a function of its own row of the question, and all draws come from the
    `seed` in the question.

    Attributes:
        function: Tensors [B, ...] by name -> dict of tensors [B, ...].
        inputs: Name -> `tf.TensorSpec`.
        loops: Whether its graph has a loop, as one has that draws code after code: of steps alone,
            through which rows pass side by side.
    """

    function: Callable[..., Mapping[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]
    loops: bool = False


def row_noise(seed: tf.Tensor) -> RowNoise:
    """A served seed [B, 2] is (seed, row) of Python's `model.sample(n, seed)`."""
    return RowNoise(seed[:, 0], 0, seed[:, 1])
