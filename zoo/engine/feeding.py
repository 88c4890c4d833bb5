"""From what Keras iterates over to blocks."""

import tensorflow as tf

from zoo.engine.callbacks import end_blocks_every, last_initial_step, steps_asked_for
from zoo.engine.feeds import BLOCK_STEPS, SingleBatchFeed, array_feed
from zoo.engine.inputs import only_x
from zoo.engine.replicas import share_of
from zoo.engine.steps import Steps
from zoo.engine.streams import StreamFeed


class Feeding(Steps):
    """What `CompiledModel` makes of data and of what Keras hands its functions."""

    def _test_feed_of(self, data, batch_size, steps, callbacks):
        self._count_examples(data, training=False)
        hooks = ("on_test_batch_begin", "on_test_batch_end")
        return self._feed(data, batch_size, False, steps, callbacks, hooks=hooks)

    def dataset_size(self, training: bool | None) -> tf.Tensor:
        """The number of examples that `fit` (in training) or `evaluate` goes through: a float32
        scalar."""
        return tf.convert_to_tensor(self._num_examples[bool(training)])

    def _count_examples(self, data, training):
        if not isinstance(data, tf.data.Dataset):
            self._num_examples[training].assign(len(next(iter(data.values()))))
        elif self.needs_num_examples:
            raise ValueError(
                "The loss is a function of the number of examples, which a stream does not tell: "
                "pass arrays, or a regularizer with `num_examples`. Received: a tf.data.Dataset."
            )

    def _feed(
        self,
        data,
        batch_size,
        shuffle,
        steps_per_epoch,
        callbacks,
        first_step=0,
        initial_epoch=0,
        initial_step=0,
        **hooks,
    ):
        requested = 1 if self.execution == "eager" else self._requested["steps_per_execution"]
        feed = self._feed_of(
            data,
            batch_size,
            shuffle,
            steps_per_epoch,
            requested or BLOCK_STEPS,
            first_step,
            initial_epoch,
            initial_step,
        )
        if initial_step and initial_step > last_initial_step(feed.steps_per_epoch, callbacks):
            raise ValueError(
                f"`initial_step` must lie within an epoch of {feed.steps_per_epoch} steps. "
                f"Received: initial_step={initial_step}."
            )
        interval = steps_asked_for(callbacks, **hooks)
        if requested is None and interval is not None:
            end_blocks_every(feed, interval)
        return feed

    def _feed_of(
        self,
        data,
        batch_size,
        shuffle,
        steps_per_epoch,
        block_steps,
        first_step,
        initial_epoch,
        initial_step,
    ):
        if isinstance(data, tf.data.Dataset):
            if batch_size is not None:
                raise ValueError(
                    "A `tf.data.Dataset` brings its own batches: leave `batch_size` out. Received: "
                    f"batch_size={batch_size}."
                )
            if data.cardinality() == tf.data.INFINITE_CARDINALITY and steps_per_epoch is None:
                raise ValueError("The data set is infinite: pass `steps_per_epoch` (or `steps`).")
            if initial_step:
                raise ValueError(
                    "Only arrays go on within an epoch. Received: a tf.data.Dataset and "
                    f"initial_step={initial_step}."
                )
            return StreamFeed(data, steps_per_epoch, block_steps)
        if batch_size is None:
            batch_size = 32
        return array_feed(
            data,
            batch_size,
            shuffle,
            self.seed,
            steps_per_epoch,
            block_steps,
            first_step,
            initial_epoch,
            initial_step,
            share_of(self._strategy),
        )

    def _next_blocks(self, iterator, feed, step):
        try:
            element = next(iterator)
        except tf.errors.OpError:
            if isinstance(feed, StreamFeed) and feed.failure is not None:
                raise feed.failure from None
            raise
        # `train_on_batch` passes (x, y, sample_weight).
        if not isinstance(iterator, tf.data.Iterator):
            batch = only_x(element, "batch")
            if isinstance(batch, tf.data.Dataset):
                raise ValueError(
                    "A batch is an array or a dict of arrays: `fit` takes data sets. Received: a "
                    "tf.data.Dataset."
                )
            return SingleBatchFeed().blocks(self.standardize(batch))
        blocks = feed.blocks(element, step)
        if isinstance(feed, StreamFeed) and not feed.was_checked:
            return self._checked(blocks, feed)
        return blocks

    def _checked(self, blocks, feed):
        for block in blocks:
            if not feed.was_checked:
                self.check_first_block(block.table)
                feed.was_checked = True
            yield block

    def _steps_counted_as(self, feed):
        return _StepsPerExecution(self, feed.block_steps if feed.counts_batches else 1)


class _StepsPerExecution:
    """Tells Keras how many batches a call covers while `fit` or `evaluate` runs; `predict` stays
    batch by batch."""

    def __init__(self, model: Steps, steps: int) -> None:
        self.model, self.steps = model, steps

    def __enter__(self) -> None:
        self.model.steps_per_execution = self.steps

    def __exit__(self, *exception: object) -> None:
        self.model.steps_per_execution = 1
