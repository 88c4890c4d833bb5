"""What every contender trains, and what it hands back."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LEARNING_RATE = 1e-3  # Adam's, everywhere
NUM_CODES, CODE_DIM = 512, 64  # of `tokens`


class Task(NamedTuple):
    """What every contender trains.

    dense           784-400-400-32-400-400-784, relu
    conv            the networks of Burgess et al. 2018 as `zoo.networks` has them, 10 latents
    residual        residual encoder and decoder of 32, 64 and 128 channels at 32x32, 16x16 and 8x8,
                    a block of two 3x3 convolutions each, SiLU, 64 latents, as `zoo.networks` has
                    them; on pictures of three channels
    tokens          the same networks with one of 512 codes of 64 numbers at each of 8x8 places,
                    whose codebook follows by moving averages (0.99), and commitment 0.25; PyTorch
                    by the library vector-quantize-pytorch
    two_layers      Burda et al. 2016's two stochastic layers of 100 and 50, 200 and 100 units, tanh
    """

    model: str
    images: np.ndarray  # uint8 [N, H, W, C]
    batch_size: int

    @property
    def convolutional(self):
        return self.model == "conv"

    @property
    def image_shape(self):
        return self.images.shape[1:]

    @property
    def latent_dim(self):
        return {"conv": 10, "residual": 64}.get(self.model, 32)


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
