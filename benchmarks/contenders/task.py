"""What every contender trains, and what it hands back."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LEARNING_RATE = 1e-3  # Adam's, everywhere


class Task(NamedTuple):
    """What every contender trains.

    dense           784-400-400-32-400-400-784, relu
    conv            the networks of Burgess et al. 2018 as `zoo.networks` has them, 10 latents
    two_layers      Burda et al. 2016's two stochastic layers of 100 and 50, 200 and 100 units, tanh
    """

    model: str
    images: np.ndarray  # uint8 [N, H, W, 1]
    batch_size: int

    @property
    def convolutional(self):
        return self.model == "conv"

    @property
    def image_shape(self):
        return self.images.shape[1:]

    @property
    def latent_dim(self):
        return 10 if self.convolutional else 32


class Loop(NamedTuple):
    run_epoch: Callable  # () -> seconds of training on every image once
    num_parameters: int
    device: str


def timed(function):
    """() -> seconds that it took."""

    def seconds():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return seconds
