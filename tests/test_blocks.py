import numpy as np
import pytest
import tensorflow as tf

from zoo.engine import feeds
from zoo.engine.feeds import ArrayFeed
from zoo.engine.streams import StreamFeed


def run_epochs(feed, num_epochs, training=True, first_step=0):
    """The batches that Keras's loop would get: lists of (rows, first row), one list an epoch."""
    iterator = iter(feed.dataset())
    step, epochs = first_step, []
    for _ in range(num_epochs):
        batches = []
        for _ in range(0, feed.steps_per_epoch, feed.block_steps):
            for block in feed.blocks(next(iterator), step if training else None):
                step += block.num_steps
                ordered = block.table["image"].numpy()[block.order.numpy()]
                starts = block.starts[: block.num_steps]
                batches += [
                    (ordered[i : i + block.batch_size], int(first))
                    for i, first in zip(starts, block.first_row, strict=False)
                ]
        epochs.append(batches)
    return epochs


def array_feed(
    num_rows=10, batch_size=3, shuffle=True, seed=0, steps_per_epoch=None, block_steps=2
):
    return ArrayFeed(
        {"image": np.arange(num_rows)}, batch_size, shuffle, seed, steps_per_epoch, block_steps
    )


def stream_feed(num_rows=10, batch_size=3, steps_per_epoch=None, block_steps=2):
    stream = tf.data.Dataset.from_tensor_slices({"image": np.arange(num_rows)}).batch(batch_size)
    return StreamFeed(stream, steps_per_epoch, block_steps)


def rows(epoch):
    return np.concatenate([batch for batch, _ in epoch])


def test_every_pass_over_arrays_sees_every_row_once_in_its_own_order():
    first, second = run_epochs(array_feed(), 2)
    assert [len(batch) for batch, _ in first] == [3, 3, 3, 1]
    assert sorted(rows(first)) == sorted(rows(second)) == list(range(10))
    assert list(rows(first)) != list(rows(second)) != list(range(10))


def test_order_is_a_function_of_seed_and_step():
    whole = run_epochs(array_feed(), 3)
    np.testing.assert_array_equal(rows(run_epochs(array_feed(), 3)[2]), rows(whole[2]))
    np.testing.assert_array_equal(rows(run_epochs(array_feed(block_steps=3), 3)[2]), rows(whole[2]))
    assert list(rows(run_epochs(array_feed(seed=1), 1)[0])) != list(rows(whole[0]))
    # Starting in the middle needs the step alone.
    feed = array_feed()
    (block,) = feed.blocks(next(iter(feed.dataset())), step=8)
    np.testing.assert_array_equal(block.order[:3], whole[2][0][0])


def test_unshuffled_arrays_keep_their_order_and_say_where_each_batch_starts():
    (epoch,) = run_epochs(array_feed(shuffle=False), 1, training=False)
    np.testing.assert_array_equal(rows(epoch), np.arange(10))
    assert [first for _, first in epoch] == [0, 3, 6, 9]


def test_steps_per_epoch_cut_passes_anywhere():
    epochs = run_epochs(array_feed(steps_per_epoch=3), 4)
    assert [len(epoch) for epoch in epochs] == [3, 3, 3, 3]
    assert sorted(np.concatenate([rows(epoch) for epoch in epochs])) == sorted(list(range(10)) * 3)


@pytest.mark.parametrize("initial_step", [1, 2, 3, 4])
@pytest.mark.parametrize("resident", [True, False])
def test_an_epoch_goes_on_after_the_steps_that_were_taken_before(
    resident, initial_step, monkeypatch
):
    arguments = ({"image": np.arange(10)}, 3, True, 0, None, 2)
    first, second = (
        [row for batch, _ in epoch for row in batch]
        for epoch in run_epochs(ArrayFeed(*arguments), 2)
    )
    monkeypatch.setattr(feeds, "RESIDENT_SHARE", 1.0 if resident else 0.0)
    feed = feeds.array_feed(*arguments, first_step=initial_step, initial_step=initial_step)
    assert isinstance(feed, ArrayFeed if resident else StreamFeed)
    rest, again = run_epochs(feed, 2, first_step=initial_step)
    assert [row for batch, _ in rest for row in batch] == first[3 * initial_step :]
    assert [row for batch, _ in again for row in batch] == second


def test_all_blocks_of_a_feed_have_one_shape():
    feed = array_feed(num_rows=12, batch_size=3, block_steps=3)
    iterator = iter(feed.dataset())
    shapes = {
        block.starts.shape for step in (0, 3, 4, 7) for block in feed.blocks(next(iterator), step)
    }
    assert shapes == {(3,)}


def test_the_end_of_a_fit_on_arrays_does_not_wait_for_the_tuner_of_tf_data():
    assert array_feed().dataset().options().autotune.enabled is False


@pytest.mark.parametrize("block_steps", [1, 2, 3, 30])
def test_streams_give_the_batches_of_their_data_set(block_steps):
    epochs = run_epochs(stream_feed(block_steps=block_steps), 2)
    for epoch in epochs:
        np.testing.assert_array_equal(rows(epoch), np.arange(10))
        assert [len(batch) for batch, _ in epoch] == [3, 3, 3, 1]
        assert [first for _, first in epoch] == [0, 3, 6, 9]


def test_streams_are_cut_where_keras_ends_an_epoch():
    epochs = run_epochs(stream_feed(steps_per_epoch=3), 2)
    assert [list(rows(epoch)) for epoch in epochs] == [list(range(9)), [9, *range(6)]]


def test_streams_of_unknown_length_are_counted_in_blocks():
    stream = (
        tf.data.Dataset.from_tensor_slices({"image": np.arange(10)})
        .filter(lambda element: element["image"] >= 0)
        .batch(3)
    )
    feed = StreamFeed(stream, None, 2)
    assert not feed.counts_batches and feed.steps_per_epoch is None
    calls = [list(feed.blocks(call)) for call in feed.dataset()]
    assert [sum(block.num_steps for block in blocks) for blocks in calls] == [2, 2]
