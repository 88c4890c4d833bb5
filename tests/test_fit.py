"""Contracts of Keras's `fit`: hooks, penalties, callbacks, a second fit; and how many programs are
compiled."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import networks
from zoo.engine import blocks, feeds
from zoo.engine import callbacks as callbacks_of_blocks
from zoo.evaluation.likelihood import evaluate


@pytest.mark.parametrize("hook", ["train_step", "test_step", "compute_loss", "compute_metrics"])
def test_an_overridden_hook_that_is_never_called_is_refused(hook, make_vae):
    mine = type("Mine", (zoo.VAE,), {hook: lambda self, *arguments, **more: None})
    with pytest.raises(
        TypeError,
        match=rf"never calls.*Override `loss_terms\(batch.*Received: Mine, which overrides {hook}",
    ):
        make_vae(model=mine).compile()


@pytest.mark.parametrize("name", ["loss_weights", "metrics", "weighted_metrics", "loss", "unknown"])
def test_compile_swallows_nothing(name, make_vae):
    for value in (1, True, "auto", ["mse"]):
        with pytest.raises(
            ValueError, match=rf"brings its own loss and metrics.*Received: {name}="
        ):
            make_vae().compile("adam", **{name: value})
    make_vae().compile("adam", **{name: None})


class Penalized(keras.layers.Layer):
    """Adds a loss of its own besides those of its weights."""

    def __init__(self, output_size):
        super().__init__()
        self.dense = keras.layers.Dense(
            output_size, kernel_regularizer=keras.regularizers.L2(0.1), activity_regularizer=None
        )

    def call(self, x, condition=None):
        h = self.dense(keras.ops.reshape(x, (-1, 16)))
        self.add_loss(keras.ops.convert_to_tensor(3.0))
        return h


@pytest.mark.parametrize(
    "arguments",
    [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}],
    ids=["xla", "tf", "eager"],
)
def test_penalties_are_in_the_loss_that_is_reported(arguments, images):
    encoder = Penalized(6)
    model = zoo.VAE(
        encoder,
        networks.MLP((8,), 16),
        zoo.layers.DiagonalNormal(3),
        zoo.layers.Bernoulli(IMAGE_SHAPE),
    )
    model.compile(keras.optimizers.SGD(0.0), **arguments)
    penalty = 3.0 + 0.1 * np.sum(encoder.dense.kernel.numpy() ** 2)
    history = model.fit(images, batch_size=16, epochs=2, validation_data=images, verbose=0).history
    for prefix in ("", "val_"):
        np.testing.assert_allclose(
            np.add(history[f"{prefix}loss"], history[f"{prefix}elbo"]), penalty, rtol=1e-4
        )


# -- A second fit


def rows_seen(model, images, batch_size, **fit):
    """The rows that each step of an epoch is given, by the value that all pixels of an image
    have."""
    seen, prepare = [], type(model).prepare

    def spy(batch, noise):
        prepared = prepare(model, batch, noise)
        seen.append(np.round(255 * prepared["image"].numpy()[:, 0, 0, 0]).astype(int).tolist())
        return prepared

    model.prepare = spy
    model.fit(images, batch_size=batch_size, verbose=0, **fit)
    return seen


def numbered(num_rows):
    return np.broadcast_to(
        np.arange(1, num_rows + 1, dtype=np.uint8)[:, None, None, None] * 5,
        (num_rows, *IMAGE_SHAPE),
    )


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_second_fit_sees_every_row_of_other_data_once(shuffle, resident, make_vae, monkeypatch):
    if not resident:
        monkeypatch.setattr(feeds, "RESIDENT_SHARE", 0.0)
    model = make_vae(pixels="as_given")
    model.compile("adam", run_eagerly=True)
    rows_seen(model, numbered(40), 8, shuffle=shuffle)  # five steps
    seen = rows_seen(model, numbered(12), 5, shuffle=shuffle, epochs=2)
    assert [len(batch) for batch in seen] == [5, 5, 2] * 2
    for epoch in (seen[:3], seen[3:]):
        in_order = [row for batch in epoch for row in batch]
        assert sorted(in_order) == list(range(5, 65, 5))
        assert shuffle or in_order == sorted(in_order)
    if shuffle:
        assert seen[:3] != seen[3:]


def test_a_fit_that_goes_on_takes_the_steps_that_were_left(make_vae):
    """Epochs of two steps over passes of three: `initial_epoch` says where the passes began."""
    orders = {}
    for first in (0, 2):
        model = make_vae(pixels="as_given")
        model.compile("adam", run_eagerly=True)
        rows_seen(model, numbered(30), 10)  # three steps on other data before
        orders[first] = rows_seen(
            model, numbered(9), 3, steps_per_epoch=2, epochs=4 if first == 0 else 2
        )
        if first:
            orders[first] += rows_seen(
                model, numbered(9), 3, steps_per_epoch=2, epochs=4, initial_epoch=2
            )[-4:]
    assert orders[0] == orders[2][:8]


# -- Callbacks


class EachBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)


class EachTestBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.batches = []

    def on_test_batch_end(self, batch, logs=None):
        self.batches.append(batch)


def test_a_callback_that_asks_for_batches_gets_each(make_vae, images):
    train, test = EachBatch(), EachTestBatch()
    model = make_vae()
    model.compile(jit_compile=False)
    model.fit(
        images,
        batch_size=8,
        epochs=2,
        validation_data=images,
        validation_batch_size=20,
        callbacks=[train, test],
        verbose=0,
    )
    assert train.batches == [0, 1, 2, 3, 4] * 2 and test.batches == [0, 1] * 2
    by_attribute = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: by_attribute.append(batch)
    )
    model.fit(tf.data.Dataset.from_tensor_slices(images).batch(8), callbacks=[callback], verbose=0)
    assert by_attribute == [0, 1, 2, 3, 4]
    evaluated = EachTestBatch()
    model.evaluate(images, batch_size=8, callbacks=[evaluated], verbose=0)
    assert evaluated.batches == [0, 1, 2, 3, 4]


def test_a_checkpoint_every_ten_batches_writes_all_of_its_files(make_vae, images, tmp_path):
    model = make_vae()
    model.compile(jit_compile=False)
    callback = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}-{batch}.weights.h5", save_freq=10, save_weights_only=True
    )
    model.fit(images, batch_size=1, epochs=2, callbacks=[callback], verbose=0)  # 40 steps an epoch
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize(
    ("callbacks", "expected"),
    [
        (None, None),
        ([], None),
        ([keras.callbacks.EarlyStopping(), keras.callbacks.TerminateOnNaN()], None),
        ([keras.callbacks.ModelCheckpoint("x.keras", save_freq="epoch")], None),
        (
            [
                keras.callbacks.ModelCheckpoint("x.keras", save_freq=12),
                keras.callbacks.ModelCheckpoint("y.keras", save_freq=8),
            ],
            4,
        ),
        (EachBatch(), 1),
        (keras.callbacks.CallbackList([EachBatch()]), 1),
        ([type("PerBlock", (EachBatch,), {"per_block": True})()], None),
    ],
)
def test_what_callbacks_ask_for(callbacks, expected):
    assert callbacks_of_blocks.steps_asked_for(callbacks) == expected


@pytest.mark.parametrize(
    ("steps_per_epoch", "most", "asked", "expected"),
    [(40, 30, 10, 10), (40, 30, 100, 20), (45, 30, 10, 5), (7, 30, 10, 1), (None, 30, 10, 1)],
)
def test_blocks_end_where_callbacks_ask(steps_per_epoch, most, asked, expected):
    feed = type(
        "Feed",
        (),
        {"steps_per_epoch": steps_per_epoch, "block_steps": min(most, steps_per_epoch or most)},
    )()
    callbacks_of_blocks.end_blocks_every(feed, asked)
    assert feed.block_steps == expected


# -- Programs


def traced(function, monkeypatch):
    """How many programs `function()` traces in `CompiledModel._make_runner`: each asks once for
    what a batch is made of."""
    from zoo import shards

    count, whole = [], shards.whole
    monkeypatch.setattr(
        shards, "whole", lambda *arguments: count.append(arguments) or whole(*arguments)
    )
    function()
    return len(count)


def test_ragged_batches_compile_few_programs_and_train_as_batches_do(make_vae, images, monkeypatch):
    lengths = [*range(1, 28), 3, 17, 27]
    ragged = [images[:length] for length in lengths]

    def train(**arguments):
        model = make_vae()
        model.compile(keras.optimizers.SGD(0.01), **arguments)
        for batch in ragged:
            model.train_on_batch(batch)
        return model

    compiled = []
    assert (
        traced(lambda: compiled.append(train(jit_compile=False)), monkeypatch)
        <= blocks.Programs.EXACT + 12
    )
    eager, compiled = train(run_eagerly=True), compiled[0]
    for a, b in zip(eager.weights, compiled.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5)


def test_filled_batches_give_the_terms_of_their_rows(make_vae, images, monkeypatch):
    """Means over the batch, as those of `FreeBits`, see no row that fills a shape."""
    model = make_vae(objective=zoo.objectives.FreeBits(0.2))
    model.compile("sgd", jit_compile=False)
    expected = [model.evaluate(images[:length], verbose=0, batch_size=64) for length in (5, 11, 13)]
    monkeypatch.setattr(blocks.Programs, "EXACT", 0)
    model.make_test_function(force=True)
    for length, values in zip((5, 11, 13), expected, strict=True):
        np.testing.assert_allclose(
            model.evaluate(images[:length], verbose=0, batch_size=64), values, rtol=1e-5
        )


def test_batch_normalization_sees_no_row_that_fills_a_shape(images, monkeypatch):
    monkeypatch.setattr(blocks.Programs, "EXACT", 0)
    layer = keras.layers.BatchNormalization(momentum=0.0)
    encoder = keras.Sequential([keras.layers.Flatten(), layer, keras.layers.Dense(6)])
    model = zoo.VAE(
        encoder,
        networks.MLP((8,), 16),
        zoo.layers.DiagonalNormal(3),
        zoo.layers.Bernoulli(IMAGE_SHAPE),
        pixels="as_given",
    )
    model.compile("sgd", jit_compile=False)
    model.train_on_batch(images[:5])
    np.testing.assert_allclose(
        layer.moving_mean.numpy(), (images[:5] / 255.0).reshape(5, -1).mean(axis=0), rtol=1e-4
    )


def test_log_prob_of_any_number_of_rows_and_samples_takes_few_programs(make_vae, images):
    model = make_vae()
    model.compile(jit_compile=False)
    white = np.concatenate([images > 127] * 5)
    whole = model.log_prob(white, 40)
    for num_rows in (1, 2, 3, 7, 40, 127, 129, 200):
        np.testing.assert_allclose(
            model.log_prob(white[:num_rows], 40), whole[:num_rows], rtol=1e-4
        )
    for num_samples in range(1, 40, 3):
        model.log_prob(white[:3], num_samples)
    assert model._log_prob_of_mode[1].experimental_get_tracing_count() <= 8


def test_log_prob_before_compile_is_compiled_as_it_will_be(make_vae, images):
    model = make_vae()
    assert model.execution == "xla-block"
    before = model.log_prob(images > 127, 5)
    assert model._log_prob_of_mode[0] == "xla-block"
    model.compile(jit_compile=False)
    np.testing.assert_allclose(model.log_prob(images > 127, 5), before, rtol=1e-5)
    assert model._log_prob_of_mode[0] == model.execution == "tf-loop"


# -- What is measured


def test_evaluate_takes_streams_models_that_were_not_compiled_and_one_image(make_vae, images):
    model = make_vae()
    expected = evaluate(model, images, num_samples=5, verbose=0)
    stream = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(40)}).batch(7)
    received = evaluate(model, stream, num_samples=5, verbose=0)
    np.testing.assert_allclose(received["nll"]["value"], expected["nll"]["value"], rtol=1e-6)
    single = evaluate(model, images[:1], num_samples=5, verbose=0)
    assert "stderr_images" not in single["nll"] and np.isfinite(single["nll"]["value"])
    with pytest.raises(ValueError, match="The data set is infinite"):
        evaluate(model, stream.repeat(), num_samples=5, verbose=0)
    for seed in (1.5, float("nan"), -1):
        with pytest.raises(ValueError, match="`seed` must be an integer"):
            evaluate(model, images, num_samples=5, seed=seed, verbose=0)


def test_keras_export_names_the_zoos(make_vae, tmp_path):
    with pytest.raises(ValueError, match=r"use `zoo.export\(model, "):
        make_vae().export(tmp_path / "served")
