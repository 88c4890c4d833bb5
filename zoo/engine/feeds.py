"""Examples -> blocks: from arrays on the device, from a stream, from a single batch."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import compat, machine
from zoo.engine.blocks import Block, padded
from zoo.random import permutation
from zoo.tensors import static_sizes

# Batches per compiled call. 30 were as fast as a whole epoch; more only make callbacks rarer and a
# stream's blocks larger.
BLOCK_STEPS = 30

# Arrays that take more than this share of the device's memory are sent to it block by block.
RESIDENT_SHARE = 0.5


def array_feed(
    arrays: Mapping[str, Any],
    batch_size: int,
    shuffle: bool,
    seed: int,
    steps_per_epoch: int | None,
    block_steps: int,
    first_step: int = 0,
    initial_epoch: int = 0,
    initial_step: int = 0,
) -> "ArrayFeed | StreamFeed":
    """The feed of arrays: one that stays on the device, or where they are too large for it, a
    stream of the same batches.

    The first pass over them begins with epoch 0 of the `fit`, or where a `fit` that goes on would
    have begun it.

    Args:
        arrays, batch_size, shuffle, seed, steps_per_epoch, block_steps, initial_step: As in
            `ArrayFeed`.
        first_step: The training step that comes first.
        initial_epoch: Epochs of the `fit` that were trained before.
    """
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    num_rows = len(next(iter(arrays.values())))
    steps_per_pass = -(-num_rows // min(batch_size, num_rows))
    origin = first_step - initial_step - initial_epoch * (steps_per_epoch or steps_per_pass)
    if sum(array.nbytes for array in arrays.values()) <= RESIDENT_SHARE * device_memory():
        return ArrayFeed(
            arrays, batch_size, shuffle, seed, steps_per_epoch, block_steps, initial_step, origin
        )
    stream = stream_of_arrays(arrays, batch_size, shuffle, seed, first_step, origin)
    return StreamFeed(stream, steps_per_epoch or steps_per_pass, block_steps, initial_step)


def pass_of_step(step: int, origin: int, steps_per_pass: int) -> tuple[int, int]:
    """(number of the pass over the data that a training step is in, place in it), where a pass
    begins at step `origin`.

    Passes are numbered as if all steps before had been on the same data, so that each has an order
    of its own.
    """
    passes, place = divmod(step - origin, steps_per_pass)
    return -(-origin // steps_per_pass) + passes, place


def device_memory() -> int:
    """Bytes of the device that TensorFlow computes on."""
    if tf.config.list_physical_devices("GPU"):
        return min(compat.gpu_memory())
    return machine.memory()


# In a pass of fewer steps a short last batch shares the program of the others: half as much is
# compiled, and a step of a dense model takes 4% longer.
FEW_STEPS = 100


class ArrayFeed:
    """Batches of arrays that stay on the device.

    The shuffle is a function of (seed, pass over the data) and the place in it a function of the
    step, so a resumed run needs no iterator state.

    Args:
        arrays: Dict of arrays [N, ...].
        batch_size: B; a short last batch is kept.
        shuffle: Whether each pass has its own order.
        seed: Integer.
        steps_per_epoch: Batches that Keras counts as one epoch, or None for one pass.
        block_steps: K.
        initial_step: Batches of the first epoch that were taken before.
        origin: A training step with which a pass over the data begins.
    """

    counts_batches = True

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        batch_size: int,
        shuffle: bool,
        seed: int,
        steps_per_epoch: int | None,
        block_steps: int,
        initial_step: int = 0,
        origin: int = 0,
    ) -> None:
        self.num_rows = len(next(iter(arrays.values())))
        self.batch_size = min(batch_size, self.num_rows)
        self.shuffle = shuffle
        self.seed = seed
        self.steps_per_pass = -(-self.num_rows // self.batch_size)
        self.steps_per_epoch = steps_per_epoch or self.steps_per_pass
        self.block_steps = min(block_steps, self.steps_per_epoch)
        self.table = {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
        self._order = (None, tf.range(self.num_rows))  # the pass and its order
        fills = self.num_rows % self.batch_size and self.steps_per_pass < FEW_STEPS
        self._width = self.batch_size if fills else None
        self._initial_step = initial_step
        self._origin = origin
        self._epoch_began_at = origin
        self.where = (
            f"{sum(array.nbytes for array in arrays.values()) / 1e6:,.1f} MB of data stay on "
            "the device"
        )

    def dataset(self) -> tf.data.Dataset:
        """Keras iterates over calls: (first step of the epoch's call, number of steps)."""
        starts = np.arange(0, self.steps_per_epoch, self.block_steps)
        ends = np.minimum(starts + self.block_steps, self.steps_per_epoch)
        left = np.clip(starts, self._initial_step, ends)  # calls that were made before are empty
        calls, first_calls = (
            tf.data.Dataset.from_tensor_slices((s, ends - s)) for s in (starts, left)
        )
        # Autotuned, an iterator's end waits for the tuner, which sleeps for as long as the iterator
        # has lived (up to a minute).
        options = tf.data.Options()
        options.autotune.enabled = False
        # Repeated, so that Keras takes the number of batches from `steps_per_epoch` and not from
        # the number of calls.
        return first_calls.concatenate(calls.repeat()).with_options(options)

    def blocks(
        self, call: tuple[tf.Tensor, tf.Tensor], step: int | tf.Tensor | None = None
    ) -> Iterator[Block]:
        """The blocks of one call, from training step `step`, or from where the call says
        (evaluation)."""
        start, count = (int(value) for value in call)
        if step is not None and start == self._initial_step:
            # Once an epoch: reading the step waits for the device.
            self._epoch_began_at = int(tf.convert_to_tensor(step)) - start
            self._initial_step = 0
        first = self._epoch_began_at + start
        for (number, length), steps in itertools.groupby(
            range(first, first + count), key=self._pass_and_length
        ):
            steps = np.array(list(steps))
            starts = padded(
                (steps - self._origin) % self.steps_per_pass * self.batch_size, self.block_steps
            )
            order = self._order_of(number)
            yield Block(self.table, order, starts, starts, len(steps), length, width=self._width)

    def _pass_and_length(self, step):
        number, place = pass_of_step(step, self._origin, self.steps_per_pass)
        return number, min(self.batch_size, self.num_rows - place * self.batch_size)

    def _order_of(self, number):
        if self.shuffle and self._order[0] != number:
            self._order = (
                number,
                permutation(tf.constant(self.seed, tf.uint32), tf.constant(number), self.num_rows),
            )
        return self._order[1]


def stream_of_arrays(
    arrays: Mapping[str, np.ndarray],
    batch_size: int,
    shuffle: bool,
    seed: int,
    first_step: int = 0,
    origin: int = 0,
) -> tf.data.Dataset:
    """The batches of an `ArrayFeed` as a `tf.data.Dataset`: pass after pass, or one of them where
    all are alike.

    Args:
        arrays: Dict of arrays [N, ...], which may be memory maps: only the rows of a batch are
            read.
        batch_size, shuffle, seed, origin: As in `ArrayFeed`.
        first_step: The step of the first batch.
    """
    num_rows = len(next(iter(arrays.values())))
    batch_size = min(batch_size, num_rows)
    steps_per_pass = -(-num_rows // batch_size)
    first_pass, skipped = pass_of_step(first_step, origin, steps_per_pass)
    signature = tuple(
        tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in arrays.values()
    )

    def batches_of_pass(number):
        order = (
            permutation(tf.constant(seed, tf.uint32), number, num_rows)
            if shuffle
            else tf.range(num_rows)
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def rows(indices):
        values = tf.numpy_function(
            lambda i: tuple(array[i] for array in arrays.values()),
            [indices],
            [spec.dtype for spec in signature],
        )
        return {
            name: tf.ensure_shape(value, spec.shape)
            for name, value, spec in zip(arrays, values, signature, strict=True)
        }

    passes = tf.data.Dataset.range(
        first_pass, np.iinfo(np.int64).max if shuffle or skipped else first_pass + 1
    )
    return (
        passes.flat_map(batches_of_pass)
        .skip(skipped)
        .map(rows, tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


class StreamFeed:
    """Batches of a `tf.data.Dataset`, stacked into blocks while the last block computes.

    Args:
        stream: `tf.data.Dataset` of dicts of tensors [b, ...]; batches may differ in length.
        steps_per_epoch: Batches that Keras counts as one epoch, or None for one pass.
        block_steps: K.
        initial_step: Batches of the first epoch that were taken before, and that the stream does
            not hold.
    """

    def __init__(
        self,
        stream: tf.data.Dataset,
        steps_per_epoch: int | None,
        block_steps: int,
        initial_step: int = 0,
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
        self.was_checked = False  # whether the model has looked at the first block

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
            yield Block(table, order, starts, firsts, len(steps), int(length))


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


class SingleBatchFeed:
    """One batch by itself: `train_on_batch` and `test_on_batch`."""

    block_steps = 1

    def blocks(
        self, batch: Mapping[str, Any], step: int | tf.Tensor | None = None
    ) -> Iterator[Block]:
        num_rows = len(next(iter(batch.values())))
        table = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
        yield Block(
            table, tf.range(num_rows), np.zeros(1, np.int32), np.zeros(1, np.int32), 1, num_rows
        )
