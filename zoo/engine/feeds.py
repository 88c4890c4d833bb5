"""Examples -> blocks: from arrays on the device, or a single batch; and which of the two kinds of
feeds arrays get."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import compat, machine
from zoo.engine.blocks import Block, padded
from zoo.engine.streams import RowReader, StreamFeed, pass_of_step, stream_of_arrays
from zoo.observations.on_disk import OnDisk
from zoo.random import permutation

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
    share: tuple[int, int, int] | None = None,
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
        share: Of a stream, which rows are read here, as in `RowReader`.
    """
    arrays = {
        name: array if isinstance(array, OnDisk) else np.asarray(array)
        for name, array in arrays.items()
    }
    num_rows = len(next(iter(arrays.values())))
    steps_per_pass = -(-num_rows // min(batch_size, num_rows))
    origin = first_step - initial_step - initial_epoch * (steps_per_epoch or steps_per_pass)
    in_memory = not any(isinstance(array, OnDisk) for array in arrays.values())
    if in_memory and _num_bytes(arrays) <= RESIDENT_SHARE * device_memory():
        return ArrayFeed(
            arrays, batch_size, shuffle, seed, steps_per_epoch, block_steps, initial_step, origin
        )
    width = _width(num_rows, min(batch_size, num_rows))
    reader = RowReader(arrays, share, width)
    stream = stream_of_arrays(arrays, batch_size, shuffle, seed, first_step, origin, reader)
    return StreamFeed(
        stream,
        steps_per_epoch or steps_per_pass,
        block_steps,
        initial_step,
        width,
        reader,
    )


def _num_bytes(arrays):
    return sum(array.nbytes for array in arrays.values())


def device_memory() -> int:
    """Bytes of the device that TensorFlow computes on."""
    if tf.config.list_physical_devices("GPU"):
        return min(compat.gpu_memory())
    return machine.memory()


# In a pass of fewer steps a short last batch shares the program of the others: half as much is
# compiled, and a step of a dense model takes 4% longer.
FEW_STEPS = 100


def _width(num_rows, batch_size):
    """The length that a short last batch is filled up to, or None: see `FEW_STEPS`."""
    short = num_rows % batch_size and -(-num_rows // batch_size) < FEW_STEPS
    return batch_size if short else None


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
        self._width = _width(self.num_rows, self.batch_size)
        self._initial_step = initial_step
        self._origin = origin
        self._epoch_began_at = origin
        self.where = f"{_num_bytes(arrays) / 1e6:,.1f} MB of data stay on the device"

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
