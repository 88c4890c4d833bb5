import logging
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks
from zoo.engine import feeds
from zoo.engine.execution import execution_mode

MODES = {
    "xla-block": {"jit_compile": True},
    "tf-loop": {"jit_compile": False},
    "eager": {"run_eagerly": True},
}


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def trained(
    make_vae, images, optimizer=None, epochs=2, batch_size=10, fit=None, **compile_arguments
):
    model = make_vae()
    model.compile(optimizer or keras.optimizers.SGD(0.01), **compile_arguments)
    history = model.fit(
        images, batch_size=batch_size, epochs=epochs, verbose=0, **(fit or {})
    ).history
    return model, history


def assert_same_weights(a, b, rtol=1e-4, atol=1e-5):
    for x, y in zip(weights_of(a), weights_of(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("auto", False, "cpu", "dense"), "xla-block"),
        (("auto", False, "cpu", "convolutional"), "tf-loop"),
        (("auto", False, "gpu", "convolutional"), "xla-block"),
        (("auto", False, "gpu", "dense"), "xla-block"),
        ((True, False, "cpu", "convolutional"), "xla-block"),
        ((False, False, "gpu", "dense"), "tf-loop"),
        ((True, True, "cpu", "dense"), "eager"),
        (("auto", False, "cpu", "dense", True), "xla-block"),
        ((True, False, "gpu", "dense", True), "tf-loop"),
        # Of a short run: steps, and products of each.
        (("auto", False, "cpu", "dense", False, True, 450, 1.6e6), "tf-loop"),
        (("auto", False, "cpu", "dense", False, True, 450, 1.2e8), "xla-block"),
        (("auto", False, "cpu", "dense", False, True, 5000, 1.6e6), "xla-block"),
        (("auto", False, "gpu", "dense", False, True, 1, 1.6e6), "xla-block"),
        ((True, False, "cpu", "dense", False, True, 1, 1.6e6), "xla-block"),
    ],
)
def test_execution_mode_is_the_measured_policy(arguments, expected):
    assert execution_mode(*arguments) == expected


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="the choice is a CPU's: XLA pays on a GPU"
)
def test_a_short_run_goes_without_xla_and_keeps_to_it(make_vae, images, tmp_path):
    whole = make_vae()
    whole.compile(keras.optimizers.Adam(0.01))
    whole.fit(images, batch_size=16, epochs=3, verbose=0)
    assert whole.execution == "tf-loop"

    first = make_vae()
    first.compile(keras.optimizers.Adam(0.01))
    first.fit(images, batch_size=16, epochs=2, verbose=0)
    first.save(tmp_path / "first.keras")
    resumed = keras.saving.load_model(tmp_path / "first.keras")
    # However long it goes on: a mode is the whole run's.
    resumed.fit(images, batch_size=16, epochs=3, initial_epoch=2, verbose=0)
    assert resumed.execution == "tf-loop" and resumed.get_compile_config()["jit_compile"] is False
    for a, b in zip(weights_of(resumed), weights_of(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    resumed.compile()
    assert resumed.execution == "xla-block"

    asked = make_vae()
    asked.compile(keras.optimizers.Adam(0.01), jit_compile=True)
    asked.fit(images, batch_size=16, verbose=0)
    assert asked.execution == "xla-block"


@pytest.mark.slow
def test_op_determinism_keeps_xla_where_reruns_are_equal_to_the_bit(make_vae, images, caplog):
    from tensorflow.python.framework import config

    def rerun():
        model, history = trained(make_vae, images, keras.optimizers.Adam(0.01), epochs=5)
        return model, history, weights_of(model)

    tf.config.experimental.enable_op_determinism()
    try:
        with caplog.at_level(logging.INFO, "zoo"):
            (model, history, weights), (_, again, others) = rerun(), rerun()
    finally:
        config.disable_op_determinism()
    if not tf.config.list_physical_devices("GPU"):
        assert model.execution == "xla-block" and model.deterministic
    assert "in float32, deterministic;" in caplog.text
    assert history == again
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mode_is_chosen_by_the_kind_of_network_and_logged(make_vae, images, caplog):
    dense = make_vae()
    dense.compile()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    assert dense.execution == "xla-block"
    posterior, likelihood = layers.DiagonalNormal(2), layers.Bernoulli(IMAGE_SHAPE)
    convolutional = zoo.VAE(
        networks.ConvEncoder(posterior.num_params, filters=(3,)),
        networks.ConvDecoder(IMAGE_SHAPE, likelihood.num_params, filters=(3,)),
        posterior,
        likelihood,
    )
    convolutional.compile()
    assert convolutional.execution == ("xla-block" if on_gpu else "tf-loop")
    with caplog.at_level(logging.INFO, "zoo"):
        history = convolutional.fit(images, batch_size=16, epochs=3, verbose=0).history
    assert (
        f"Training runs as {convolutional.execution} in blocks of 3 steps, in float32; "
        "0.0 MB of data stay on" in caplog.text
    )
    assert history["loss"][-1] < history["loss"][0]


def test_all_modes_train_the_same_model(make_vae, images):
    runs = {
        mode: trained(
            make_vae, images, batch_size=16, fit={"validation_data": images[:20]}, **arguments
        )
        for mode, arguments in MODES.items()
    }
    reference, reference_history = runs["eager"]
    for mode, (model, history) in runs.items():
        assert model.execution == mode
        assert_same_weights(model, reference)
        for name, values in reference_history.items():
            np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=f"{mode}: {name}")


@pytest.mark.parametrize(
    "steps_per_execution",
    [3, pytest.param(1, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.slow)],
)
def test_block_length_changes_nothing(make_vae, images, steps_per_execution):
    reference, history = trained(make_vae, images, epochs=3)
    model, other = trained(make_vae, images, epochs=3, steps_per_execution=steps_per_execution)
    assert_same_weights(model, reference)
    np.testing.assert_allclose(other["loss"], history["loss"], rtol=1e-5)


def test_xla_compiles_training_and_validation_once_each(tmp_path):
    """A begin or a length that XLA took for a constant would have it compile a program for each
    block, or for each epoch."""
    code = """if True:
        import keras, numpy as np, zoo
        posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((4, 4, 1))
        encoder = zoo.networks.MLP((4,), posterior.num_params)
        decoder = zoo.networks.MLP((4,), likelihood.num_params)
        model = zoo.VAE(encoder, decoder, posterior, likelihood)
        model.compile(keras.optimizers.Adam(), jit_compile=True, steps_per_execution=3)
        images = np.zeros((160, 4, 4, 1), "uint8")
        model.fit(images, batch_size=16, epochs=3, validation_data=images[:112], verbose=0)
    """
    environment = os.environ | {"XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    assert len(list(tmp_path.glob("*.before_optimizations.txt"))) == 2


def test_a_training_step_is_gradient_descent_on_the_mean_loss(make_vae, images):
    """One step written out by hand: binarize, bound, gradient, update; the short last batch has a
    mean of its own."""
    from zoo.random import RowNoise

    model, manual = make_vae(), make_vae()
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(images, batch_size=32, shuffle=False, epochs=1, verbose=0)
    for step, batch in enumerate((images[:32], images[32:])):
        noise = RowNoise(0, step, tf.range(len(batch)))
        prepared = manual.prepare({"image": tf.constant(batch)}, noise)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(manual.loss_terms(prepared, noise, training=True)["loss"])
        for weight, gradient in zip(
            manual.trainable_weights,
            tape.gradient(loss, [w.value for w in manual.trainable_weights]),
            strict=True,
        ):
            weight.assign(weight - 0.1 * gradient)
    assert int(model.optimizer.iterations) == 2
    assert_same_weights(model, manual)


def test_arrays_dicts_and_streams_are_the_same_data(make_vae, images):
    stream = tf.data.Dataset.from_tensor_slices(images).batch(16)
    as_tfds = tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": np.arange(40), "id": [str(i) for i in range(40)]}
    ).batch(16)
    model = make_vae()
    for same in ({"image": images, "label": np.arange(40)}, images[..., 0], tf.constant(images)):
        np.testing.assert_array_equal(model.standardize(same)["image"], images)
    kinds = {
        "array": (images, 16),
        "floats": (images / np.float32(255), 16),
        "stream": (stream, None),
        "tfds": (as_tfds, None),
    }
    reference = None
    for kind, (x, batch_size) in kinds.items():
        fit = {"shuffle": False, "validation_data": x, "validation_batch_size": batch_size}
        model, history = trained(make_vae, x, batch_size=batch_size, fit=fit, run_eagerly=True)
        reference = reference or (model, history)
        assert_same_weights(model, reference[0])
        for name, values in reference[1].items():
            np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=f"{kind}: {name}")
    np.testing.assert_allclose(
        model.evaluate(as_tfds, verbose=0), reference[0].evaluate(images, verbose=0), rtol=1e-4
    )


@pytest.mark.slow
def test_arrays_too_large_for_the_device_stream_and_train_the_same(
    make_vae, images, monkeypatch, caplog
):
    fit = {"validation_data": images[:10]}
    resident, history = trained(make_vae, images, epochs=3, fit=fit)
    monkeypatch.setattr(feeds, "RESIDENT_SHARE", 0.0)
    with caplog.at_level(logging.INFO, "zoo"):
        streamed, other = trained(make_vae, images, epochs=3, fit=fit)
    assert "data stream to the device" in caplog.text
    assert_same_weights(streamed, resident)
    for name, values in history.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-5)
    # A second fit goes on with the orders that come next, as one that was never interrupted does.
    for model in (resident, streamed):
        model.fit(images, batch_size=10, epochs=1, steps_per_epoch=2, verbose=0)
        model.fit(images, batch_size=10, epochs=1, verbose=0)
    assert_same_weights(streamed, resident)


def test_evaluate_does_not_depend_on_the_batch_size_and_repeats_itself(make_vae, images):
    model, _ = trained(make_vae, images)
    expected = model.evaluate(images, batch_size=40, verbose=0, return_dict=True)
    assert set(expected) == {"loss", "elbo", "kl", "log_likelihood"}
    for batch_size in (7, 16, 1000):
        received = model.evaluate(images, batch_size=batch_size, verbose=0, return_dict=True)
        for name, value in expected.items():
            np.testing.assert_allclose(received[name], value, rtol=1e-5)
    np.testing.assert_allclose(
        expected["elbo"], expected["log_likelihood"] - expected["kl"], rtol=1e-5
    )
    np.testing.assert_allclose(expected["loss"], -expected["elbo"], rtol=1e-6)


@pytest.mark.slow
def test_training_learns_and_shuffles_by_seed(make_vae, images):
    model, history = trained(make_vae, images, keras.optimizers.Adam(0.01), epochs=60)
    assert history["elbo"][-1] > history["elbo"][0] + 1
    again, same = trained(make_vae, images, keras.optimizers.Adam(0.01), epochs=60)
    assert same == history
    for a, b in zip(weights_of(model), weights_of(again), strict=True):
        np.testing.assert_array_equal(a, b)
    other = make_vae(seed=1)
    other.compile(keras.optimizers.Adam(0.01))
    assert (
        other.fit(images, batch_size=16, epochs=1, verbose=0).history["loss"] != history["loss"][:1]
    )


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events = []

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(("epoch", epoch))

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(("batch", batch))

    def on_test_batch_end(self, batch, logs=None):
        self.events.append(("test", batch))


def test_callbacks_see_epochs_and_the_batches_of_each_call(make_vae, images):
    recorder = Recorder()
    model = make_vae()
    model.compile(steps_per_execution=2)
    model.fit(
        images,
        batch_size=16,
        epochs=3,
        initial_epoch=1,
        validation_data=images[:10],
        callbacks=[recorder],
        verbose=0,
    )
    one_epoch = [("batch", 1), ("batch", 3), ("test", 1)]
    assert recorder.events == [("epoch", 1), *one_epoch, ("epoch", 2), *one_epoch]


def test_keras_callbacks_work(make_vae, images, tmp_path):
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, min_delta=1e9),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss"),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1)),
        keras.callbacks.TerminateOnNaN(),
    ]
    model, history = trained(
        make_vae, images, epochs=9, fit={"validation_split": 0.25, "callbacks": callbacks}
    )
    assert len(history["val_loss"]) == 2  # stopped early
    np.testing.assert_allclose(history["learning_rate"], [0.01, 0.005])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert_same_weights(keras.saving.load_model(tmp_path / "best.keras"), model)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.AdamW(1e-3, clipnorm=1.0),
        lambda: keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.9),
        lambda: keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(1e-2, 2, 0.5), momentum=0.9
        ),
        lambda: keras.optimizers.Adam(1e-3, gradient_accumulation_steps=2),
        lambda: keras.optimizers.RMSprop(1e-3, global_clipnorm=1.0),
    ],
    ids=["adamw, clipnorm", "adam, ema", "schedule", "accumulation", "rmsprop, global clipnorm"],
)
def test_any_keras_optimizer_trains_in_a_block_as_it_does_eagerly(optimizer, make_vae, images):
    block, _ = trained(make_vae, images, optimizer())
    eager, _ = trained(make_vae, images, optimizer(), run_eagerly=True)
    assert_same_weights(block, eager, rtol=1e-3, atol=1e-4)


def test_steps_per_epoch_and_validation_steps(make_vae, images):
    model, history = trained(
        make_vae,
        images,
        epochs=3,
        fit={"steps_per_epoch": 2, "validation_data": images, "validation_steps": 1},
    )
    assert int(model.optimizer.iterations) == 6
    assert len(history["val_loss"]) == 3
    stream = tf.data.Dataset.from_tensor_slices(images).repeat().batch(8)
    model, _ = trained(make_vae, stream, epochs=2, batch_size=None, fit={"steps_per_epoch": 3})
    assert int(model.optimizer.iterations) == 6


def test_single_batches(make_vae, images):
    model = make_vae()
    model.compile()
    logs = model.train_on_batch(images[:8], return_dict=True)
    assert int(model.optimizer.iterations) == 1 and np.isfinite(logs["loss"])
    assert np.isfinite(model.test_on_batch(images[:8], return_dict=True)["elbo"])


def test_regularization_losses_of_the_networks_count(make_vae, images):
    plain, regularized = make_vae(), make_vae()
    regularized.encoder.stack[0].kernel.regularizer = keras.regularizers.L2(10.0)
    for model in (plain, regularized):
        model.compile(keras.optimizers.SGD(1e-3))
        model.fit(images, epochs=3, verbose=0)
    norm = [np.linalg.norm(model.encoder.stack[0].kernel) for model in (plain, regularized)]
    assert norm[1] < 0.9 * norm[0]


@pytest.mark.parametrize("mode", MODES)
def test_mixed_precision_trains_in_16_bits_and_scores_in_32(mode, images):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        posterior, likelihood = layers.DiagonalNormal(3), layers.Bernoulli(IMAGE_SHAPE)
        model = zoo.VAE(
            networks.MLP((16,), posterior.num_params),
            networks.MLP((16,), likelihood.num_params),
            posterior,
            likelihood,
        )
    finally:
        keras.config.set_dtype_policy(policy)
    model.compile(keras.optimizers.Adam(0.01), **MODES[mode])
    history = model.fit(images, batch_size=16, epochs=5, verbose=0, validation_data=images).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.encoder(tf.zeros([1, *IMAGE_SHAPE])).dtype == tf.bfloat16
    assert model.decode(tf.zeros([1, 3])).log_prob(tf.zeros([1, *IMAGE_SHAPE])).dtype == tf.float32
    assert all(weight.dtype == "float32" for weight in model.weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"x": np.zeros((3, 5, 4, 1), np.uint8)},
            r"shape \(4, 4, 1\). Received: images of shape \(5, 4, 1\)",
        ),
        (
            {"x": np.zeros((0, 4, 4, 1), np.uint8)},
            r"There are no images. Received: an array of shape \(0, 4, 4, 1\)",
        ),
        ({"x": None}, "There are no images. Received: x=None"),
        ({"x": np.full((3, 4, 4, 1), 200.0)}, r"float64 pixels in \[200, 200\]. Divide by 255"),
        ({"x": np.full((3, 4, 4, 1), -0.5)}, r"pixels in \[-0.5, -0.5\]"),
        ({"x": np.full((3, 4, 4, 1), np.nan)}, "Received: 3 images with NaN"),
        ({"x": np.full((3, 4, 4, 1), 300)}, r"int64 pixels in \[300, 300\]"),
        ({"x": np.zeros((3, 4, 4, 1), complex)}, "Received: dtype complex128"),
        (
            {"x": {"picture": np.zeros((3, 4, 4, 1))}},
            r"must hold 'image'. Received: keys \['picture'\]",
        ),
        ({"x": np.zeros((3, 4, 4, 1)), "y": np.zeros(3)}, "has no `y`: pass images alone"),
        ({"x": np.zeros((3, 4, 4, 1)), "sample_weight": np.zeros(3)}, "has no `sample_weight`"),
        (
            {"x": np.zeros((3, 4, 4, 1)), "validation_data": (np.zeros((3, 4, 4, 1)), np.zeros(3))},
            "`validation_data` holds targets",
        ),
        (
            {"x": np.zeros((3, 4, 4, 1)), "validation_split": 1.0},
            r"`validation_split` must be a fraction in \[0, 1\). Received: validation_split=1.0",
        ),
        (
            {"x": np.zeros((3, 4, 4, 1)), "validation_split": 0.9},
            "leaves no examples on one side. Received: validation_split=0.9, 3 examples",
        ),
        (
            {
                "x": tf.data.Dataset.from_tensor_slices(
                    (np.zeros((3, 4, 4, 1)), np.zeros(3))
                ).batch(2)
            },
            "Received: a stream of tuples",
        ),
        (
            {
                "x": tf.data.Dataset.from_tensor_slices(np.zeros((3, 4, 4, 1), np.uint8)).batch(2),
                "batch_size": 2,
            },
            "leave `batch_size` out. Received: batch_size=2",
        ),
        (
            {
                "x": tf.data.Dataset.from_tensor_slices(np.zeros((3, 4, 4, 1), np.uint8))
                .repeat()
                .batch(2)
            },
            "infinite: pass `steps_per_epoch`",
        ),
        (
            {"x": tf.data.Dataset.from_tensor_slices(np.zeros((0, 4, 4, 1), np.uint8)).batch(2)},
            "empty tf.data.Dataset",
        ),
        (
            {"x": tf.data.Dataset.from_tensor_slices(np.full((3, 4, 4, 1), "a")).batch(2)},
            "Received: dtype string",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_data_are_told_before_anything_runs(arguments, message, make_vae):
    model = make_vae()
    model.compile()
    with pytest.raises(ValueError, match=message):
        model.fit(**arguments, verbose=0)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("bad", [np.nan, 2.0, -1.0])
def test_bad_pixels_in_a_stream_stop_the_run(bad, make_vae, images):
    floats = images / np.float32(255)
    floats[-1, 0, 0, 0] = bad
    model = make_vae()
    model.compile()
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"a batch with a pixel that is NaN or outside \[0, 1\]",
    ):
        model.fit(tf.data.Dataset.from_tensor_slices(floats).batch(8), verbose=0)


def test_wrong_compile_arguments_are_told(make_vae):
    with pytest.raises(ValueError, match=r"brings its own loss and metrics.*Received: loss='mse'"):
        make_vae().compile("adam", loss="mse")
    with pytest.raises(ValueError, match="Received: seed=-1"):
        make_vae(seed=-1)
    with pytest.raises(ValueError, match="must call `compile"):
        make_vae().fit(np.zeros((3, 4, 4, 1), np.uint8))
