"""Blocks of batches, the unit that one compiled call trains on or evaluates.

A block is a table of rows, an order of their numbers, and where in it each batch begins. Data in
memory are one table that stays on the device, with an order that is drawn there; of a stream, each
block brings its own table.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Block(NamedTuple):
    """`num_steps` batches of `batch_size` rows.

    Attributes:
        table: Dict of tensors [N, ...].
        order: Int32 tensor [M], row numbers: a batch is `batch_size` of them in a row.
        starts: Int32 array [K]: where in `order` each batch begins. Only the first `num_steps` of K
            are used: K is the same for every block, so that one program serves all.
        first_row: Int32 array [K]: where each batch starts in the data set, for evaluation's noise.
        num_steps: Number of batches.
        batch_size: B.
        size: Number of rows that count, where the others of B only fill the shape; None where all
            count.
        width: The length of most batches, where the last is shorter and one program is to serve
            both.
    """

    table: dict
    order: tf.Tensor
    starts: np.ndarray
    first_row: np.ndarray
    num_steps: int
    batch_size: int
    size: int | None = None
    width: int | None = None

    @property
    def shapes(self) -> tuple[int, int, int, int]:
        """What a compiled program is made for."""
        return (
            len(next(iter(self.table.values()))),
            len(self.order),
            len(self.starts),
            self.batch_size,
        )

    def batch(self, i: int | tf.Tensor) -> dict[str, tf.Tensor]:
        """The rows of batch number `i`: dict of tensors [B, ...]."""
        places = tf.range(self.batch_size)
        if self.size is not None:
            places = tf.minimum(places, self.size - 1)  # the last row again, to fill the shape
        # Not tf.slice, whose begin XLA wants to know: it would compile a program for each block.
        rows = tf.gather(self.order, self.starts[i] + places)
        return {name: tf.gather(values, rows) for name, values in self.table.items()}

    def of_tensors(self) -> "Block":
        """The same block with tensors where arrays and numbers of steps would make a compiled
        program for each value."""
        names = ("starts", "first_row", "num_steps", *(() if self.size is None else ("size",)))
        return self._replace(**{name: tf.constant(getattr(self, name)) for name in names})


class Programs:
    """Keeps compiled programs few, whatever lengths batches and data sets have.

    Where a block names a width, its batches are filled up to it, with rows that do not count.
    Otherwise blocks of the first few shapes are as they are, and those of later ones are filled up
    to shapes that many share.
    """

    # A model is fitted on one or two data sets and validated on as many; a stream's last batch is
    # a block of another shape.
    EXACT = 8

    def __init__(self) -> None:
        self._exact = set()

    def fit(self, block: Block) -> Block:
        if block.width is not None:
            block = block._replace(batch_size=block.width, size=block.batch_size)
        if block.shapes in self._exact or len(self._exact) < self.EXACT:
            self._exact.add(block.shapes)
            return block
        rows, order, starts, batch_size = block.shapes
        width = 2 ** math.ceil(math.log2(batch_size))
        return block._replace(
            table={
                name: _filled(values, _rounded_up(rows)) for name, values in block.table.items()
            },
            order=_filled(block.order, _rounded_up(order)),
            starts=padded(block.starts, _rounded_up(starts)),
            first_row=padded(block.first_row, _rounded_up(starts)),
            batch_size=width,
            size=batch_size if block.size is None else block.size,
        )


def _rounded_up(number):
    """The least number of three binary digits and zeros that is no less: eight of them between a
    power of two and the next."""
    unit = 2 ** max(0, math.ceil(math.log2(number)) - 3)
    return -(-number // unit) * unit


def _filled(tensor, length):
    return tf.pad(tensor, [[0, length - len(tensor)]] + [[0, 0]] * (tensor.shape.rank - 1))


def padded(array: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([array, np.zeros(length - len(array))]).astype(np.int32)
