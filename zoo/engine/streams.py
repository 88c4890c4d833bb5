"""Examples that are read while a model trains: a data set as a `tf.data` stream, and its blocks."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.engine.blocks import Block, padded
from zoo.random import permutation
from zoo.tensors import static_sizes


def pass_of_step(step: int, origin: int, steps_per_pass: int) -> tuple[int, int]:
    """(number of the pass over the data that a training step is in, place in it), where a pass
    begins at step `origin`.

    Passes are numbered as if all steps before had been on the same data, so that each has an order
    of its own.
    """
    passes, place = divmod(step - origin, steps_per_pass)
    return -(-origin // steps_per_pass) + passes, place


class RowReader:
    """A function for a `tf.data` map: numbers of rows [B] -> dict of tensors [B, ...].

    Args:
        arrays: Dict of arrays [N, ...], memory maps or `OnDisk`.
        share: Which replicas' rows are read, where other workers read the others: (first, end,
            number of all replicas). What is not read is 0. None: all.
        width: The length that short batches are filled up to, or None.

    Attributes:
        failure: What reading has raised, which `tf.data` tells in its own way, or None.
    """

    def __init__(
        self,
        arrays: Mapping[str, Any],
        share: tuple[int, int, int] | None = None,
        width: int | None = None,
    ) -> None:
        self.arrays, self.share, self.width = arrays, share, width
        self.failure: Exception | None = None

    def __call__(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.numpy_function(
            self._read, [numbers], [array.dtype for array in self.arrays.values()]
        )
        return {
            name: tf.ensure_shape(value, [None, *array.shape[1:]])
            for value, (name, array) in zip(values, self.arrays.items(), strict=True)
        }

    def _read(self, numbers):
        try:
            if self.share is None:
                return tuple(np.asarray(array[numbers]) for array in self.arrays.values())
            places = _places_of(self.share, len(numbers), self.width)
            return tuple(
                _with_rows(len(numbers), places, np.asarray(array[numbers[places]]))
                for array in self.arrays.values()
            )
        except Exception as error:
            self.failure = error
            raise


def stream_of_arrays(
    arrays: Mapping[str, np.ndarray],
    batch_size: int,
    shuffle: bool,
    seed: int,
    first_step: int = 0,
    origin: int = 0,
    reader: RowReader | None = None,
) -> tf.data.Dataset:
    """The batches of an `ArrayFeed` as a `tf.data.Dataset`: pass after pass, or one of them where
    all are alike.

    Args:
        arrays: Dict of arrays [N, ...], which may be memory maps or `OnDisk`: only the rows of a
            batch are read.
        batch_size, shuffle, seed, origin: As in `ArrayFeed`.
        first_step: The step of the first batch.
        reader: Of the arrays; None: a new one.
    """
    num_rows = len(next(iter(arrays.values())))
    batch_size = min(batch_size, num_rows)
    steps_per_pass = -(-num_rows // batch_size)
    first_pass, skipped = pass_of_step(first_step, origin, steps_per_pass)

    def batches_of_pass(number):
        order = (
            permutation(tf.constant(seed, tf.uint32), number, num_rows)
            if shuffle
            else tf.range(num_rows)
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    passes = tf.data.Dataset.range(
        first_pass, np.iinfo(np.int64).max if shuffle or skipped else first_pass + 1
    )
    return (
        passes.flat_map(batches_of_pass)
        .skip(skipped)
        .map(reader or RowReader(arrays), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _places_of(share, length, width):
    """The places in a batch that some replicas take (`zoo.shards.take`), as it is and filled up:
    int [n]."""
    first, end, replicas = share
    places = []
    for size in {length, width or length}:
        each = -(-size // replicas)
        places.append(np.arange(first * each, end * each))
    return np.unique(np.minimum(np.concatenate(places), length - 1))


def _with_rows(length, places, values):
    """[length, ...], of which the rows at these places are `values` and others 0."""
    rows = np.zeros((length, *values.shape[1:]), values.dtype)
    rows[places] = values
    return rows


class StreamFeed:
    """Batches of a `tf.data.Dataset`, stacked into blocks while the last block computes.

    Args:
        stream: `tf.data.Dataset` of dicts of tensors [b, ...]; batches may differ in length.
        steps_per_epoch: Batches that Keras counts as one epoch, or None for one pass.
        block_steps: K.
        initial_step: Batches of the first epoch that were taken before, and that the stream does
            not hold.
        width: The length that shorter batches are filled up to, with rows that do not count, or
            None.
        reader: What the stream reads by, or None.
    """

    def __init__(
        self,
        stream: tf.data.Dataset,
        steps_per_epoch: int | None,
        block_steps: int,
        initial_step: int = 0,
        width: int | None = None,
        reader: RowReader | None = None,
    ) -> None:
        cardinality = int(stream.cardinality())
        length = cardinality if cardinality >= 0 else None
        # With an unknown length Keras has to count calls: its progress bar then shows blocks, not
        # batches.
        self.counts_batches = steps_per_epoch is not None or length is not None
        self.steps_per_epoch = steps_per_epoch or length
        self.block_steps = min(block_steps, self.steps_per_epoch or block_steps)
        # Blocks must end where Keras's epochs end.
        self._window = None if steps_per_epoch == length else steps_per_epoch
        self._stream = (
            _empty_batches(stream, initial_step).concatenate(stream) if initial_step else stream
        )
        self.where = "data stream to the device"
        specs: Any = stream.element_spec
        # None where batches may have different lengths.
        self.batch_size: int | None = next(iter(specs.values())).shape[0]
        self._width = width
        self._reader = reader
        self.was_checked = False  # whether the model has looked at the first block

    @property
    def failure(self) -> Exception | None:
        """What reading the rows has raised, or None."""
        return None if self._reader is None else self._reader.failure

    def dataset(self) -> tf.data.Dataset:
        """Keras iterates over blocks: (batches padded to one length [k, B, ...], lengths [k],
        first rows [k])."""
        stream = self._stream.scan(np.int32(0), _with_position)
        if self._window is not None:
            windows = stream.repeat().window(self._window)
            blocks = windows.flat_map(
                lambda *window: tf.data.Dataset.zip(window).padded_batch(self.block_steps)
            )
        else:
            blocks = stream.padded_batch(self.block_steps)
            if self.counts_batches:
                blocks = blocks.repeat()
        return blocks.prefetch(2)

    def blocks(
        self,
        call: tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor],
        step: int | tf.Tensor | None = None,
    ) -> Iterator[Block]:
        batches, lengths, first_rows = call
        lengths, first_rows = lengths.numpy(), first_rows.numpy()
        (width,) = static_sizes(next(iter(batches.values())).shape[1:2])
        missing = self.block_steps - len(lengths)
        table = {
            name: tf.reshape(
                tf.pad(b, [[0, missing]] + [[0, 0]] * (b.shape.rank - 1)), [-1, *b.shape[2:]]
            )
            for name, b in batches.items()
        }
        order = tf.range(self.block_steps * width)
        for length, steps in itertools.groupby(range(len(lengths)), key=lambda i: lengths[i]):
            steps = np.array(list(steps))
            if length == 0:
                continue  # taken before
            starts = padded(steps * width, self.block_steps)
            firsts = padded(first_rows[steps], self.block_steps)
            yield Block(table, order, starts, firsts, len(steps), int(length), width=self._width)


def _empty_batches(stream, count):
    batch = {
        name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
        for name, spec in stream.element_spec.items()
    }
    return tf.data.Dataset.from_tensors(batch).repeat(count)


def _with_position(first_row, batch):
    """(rows seen, batch) -> (rows seen after it, (batch, its length, its first row))."""
    length = tf.shape(next(iter(batch.values())))[0]
    return first_row + length, (batch, length, first_row)
