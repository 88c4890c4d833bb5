"""Examples -> blocks of batches, the unit that one compiled call trains on or evaluates.

A block is a table of rows and an index [k, B] into it: k batches of B examples. Data in memory is one table that stays on the
device, and a block is an index of shuffled row numbers; of a stream, each block brings its own table.
"""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Batches per compiled call. 30 were as fast as a whole epoch; more only make callbacks rarer and a stream's blocks larger.
BLOCK_STEPS = 30


class Block(NamedTuple):
    """`num_steps` batches.

    Attributes:
        table: Dict of tensors [N, ...].
        index: Int32 array [K, B]: the rows of each batch. Only the first `num_steps` of K are used: K is the same for every block, so
            that one program serves all.
        first_row: Int32 array [K]: where each batch starts in the data set, for evaluation's noise.
        num_steps: Number of batches.
    """

    table: dict
    index: np.ndarray
    first_row: np.ndarray
    num_steps: int


def _padded(array, length):
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])


class ArrayFeed:
    """Batches of arrays that stay on the device.

    The shuffle is a function of (seed, pass over the data) and the place in it a function of the step, so a resumed run needs no iterator
    state.

    Args:
        arrays: Dict of arrays [N, ...].
        batch_size: B; a short last batch is kept.
        shuffle: Whether each pass has its own order.
        seed: Integer.
        steps_per_epoch: Batches that Keras counts as one epoch, or None for one pass.
        block_steps: K.
    """

    def __init__(self, arrays, batch_size, shuffle, seed, steps_per_epoch, block_steps):
        self.num_rows = len(next(iter(arrays.values())))
        self.batch_size = min(batch_size, self.num_rows)
        self.shuffle = shuffle
        self.seed = seed
        self.steps_per_pass = -(-self.num_rows // self.batch_size)
        self.steps_per_epoch = steps_per_epoch or self.steps_per_pass
        self.block_steps = min(block_steps, self.steps_per_epoch)
        self.table = {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
        self._order = (None, None)  # the pass and its permutation

    def dataset(self):
        """Keras iterates over calls: (first step of the epoch's call, number of steps)."""
        starts = np.arange(0, self.steps_per_epoch, self.block_steps)
        counts = np.minimum(self.block_steps, self.steps_per_epoch - starts)
        # Repeated, so that Keras takes the number of batches from `steps_per_epoch` and not from the number of calls.
        return tf.data.Dataset.from_tensor_slices((starts, counts)).repeat()

    def blocks(self, call, step=None):
        """The blocks of one call, from training step `step`, or from where the call says (evaluation)."""
        start, count = (int(value) for value in call)
        first = start if step is None else step
        for _, steps in itertools.groupby(range(first, first + count), key=self._batch_length):
            steps = np.array(list(steps))
            index = np.stack([self._batch(step) for step in steps])
            first_row = (steps % self.steps_per_pass * self.batch_size).astype(np.int32)
            yield Block(self.table, _padded(index, self.block_steps), _padded(first_row, self.block_steps), len(steps))

    def _batch_length(self, step):
        start = step % self.steps_per_pass * self.batch_size
        return min(self.batch_size, self.num_rows - start)

    def _batch(self, step):
        number, place = divmod(step, self.steps_per_pass)
        if self._order[0] != number:
            rows = np.arange(self.num_rows, dtype=np.int32)
            self._order = (number, np.random.Generator(np.random.Philox([self.seed, number])).permutation(rows) if self.shuffle else rows)
        return self._order[1][place * self.batch_size :][: self.batch_size]


class StreamFeed:
    """Batches of a `tf.data.Dataset`, stacked into blocks while the last block computes.

    Args:
        stream: `tf.data.Dataset` of dicts of tensors [b, ...]; batches may differ in length.
        steps_per_epoch: Batches that Keras counts as one epoch, or None for one pass.
        block_steps: K.
    """

    def __init__(self, stream, steps_per_epoch, block_steps):
        cardinality = int(stream.cardinality())
        known = cardinality if cardinality >= 0 else None
        # With an unknown length Keras has to count calls: its progress bar then shows blocks, not batches.
        self.counts_batches = steps_per_epoch is not None or known is not None
        self.steps_per_epoch = steps_per_epoch or known
        self.block_steps = min(block_steps, self.steps_per_epoch or block_steps)
        self._windowed = steps_per_epoch is not None and steps_per_epoch != known
        self._stream = stream

    def dataset(self):
        """Keras iterates over blocks: (batches padded to one length [k, B, ...], lengths [k], first rows [k])."""
        stream = self._stream.scan(np.int32(0), _with_position)
        if self._windowed:
            # Blocks must end where Keras's epochs end.
            windows = stream.repeat().window(self.steps_per_epoch)
            blocks = windows.flat_map(lambda *window: tf.data.Dataset.zip(window).padded_batch(self.block_steps))
        else:
            blocks = stream.padded_batch(self.block_steps)
            if self.counts_batches:
                blocks = blocks.repeat()
        return blocks.prefetch(2)

    def blocks(self, call, step=None):
        batches, lengths, first_rows = call
        lengths, first_rows = lengths.numpy(), first_rows.numpy()
        width = next(iter(batches.values())).shape[1]
        missing = self.block_steps - len(lengths)
        table = {
            name: tf.reshape(tf.pad(b, [[0, missing]] + [[0, 0]] * (b.shape.rank - 1)), [-1, *b.shape[2:]]) for name, b in batches.items()
        }
        for length, steps in itertools.groupby(range(len(lengths)), key=lambda i: lengths[i]):
            steps = np.array(list(steps))
            index = (steps[:, None] * width + np.arange(length)).astype(np.int32)
            yield Block(table, _padded(index, self.block_steps), _padded(first_rows[steps], self.block_steps), len(steps))


def _with_position(first_row, batch):
    """(rows seen, batch) -> (rows seen after it, (batch, its length, its first row))."""
    length = tf.shape(next(iter(batch.values())))[0]
    return first_row + length, (batch, length, first_row)


class SingleBatchFeed:
    """One batch by itself: `train_on_batch` and `test_on_batch`."""

    block_steps = 1

    def blocks(self, batch, step=None):
        num_rows = len(next(iter(batch.values())))
        table = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
        yield Block(table, np.arange(num_rows, dtype=np.int32)[None], np.zeros(1, np.int32), 1)
