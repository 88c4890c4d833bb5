"""What holds for every part of a kind, whatever it computes."""

import keras
import numpy as np
import tensorflow as tf

from zoo.losses import NegativeLogLikelihood
from zoo.random import RowNoise, draw

EXTREMES = (-3e38, -1e4, -100.0, -17.0, 0.0, 17.0, 100.0, 1e4, 3e38)


def check_distribution_layer(layer, params, tmp_path):
    """A distribution layer: real distribution, float32, same numbers however it is run, survives
    configuration and files.

    Args:
        layer: The layer.
        params: Float32 array [B, params_size].
    """
    params = tf.constant(params)
    noise = RowNoise.of_seed(3, len(params))
    distribution = layer(params)
    outcome = draw(distribution, noise)
    log_prob = distribution.log_prob(outcome)
    assert distribution.batch_shape == (len(params),)
    assert distribution.event_shape == layer.event_shape
    assert log_prob.dtype == tf.float32

    def run(layer, params):
        distribution = layer(params)
        x = draw(distribution, noise)
        return x, distribution.log_prob(outcome), distribution.mean()

    expected = run(layer, params)
    for jit_compile in (False, True):
        received = tf.function(run, jit_compile=jit_compile)(layer, params)
        for e, r in zip(expected, received, strict=True):
            np.testing.assert_allclose(r, e, rtol=2e-5, atol=2e-5)

    # The distribution itself may leave a compiled function.
    returned = tf.function(lambda p: layer(p), jit_compile=True)(params)
    np.testing.assert_allclose(returned.log_prob(outcome), log_prob, rtol=2e-5, atol=2e-5)

    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.num_params == layer.num_params == params.shape[-1]

    # Any number of batch dimensions.
    several = layer(tf.stack([params, params]))
    assert several.batch_shape == (2, len(params))

    # 16-bit parameters become float32 before a density is computed from them.
    assert layer(tf.cast(params, tf.bfloat16)).log_prob(outcome).dtype == tf.float32

    _check_last_in_keras_models(layer, tmp_path)


def _check_last_in_keras_models(layer, tmp_path):
    x = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    y = np.random.default_rng(1).random((24, *layer.event_shape)).round().astype(np.float32)
    config = layer.get_config()
    inputs = keras.Input((5,))
    functional = keras.Model(
        inputs, type(layer).from_config(config)(keras.layers.Dense(layer.num_params)(inputs))
    )
    sequential = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(layer.num_params), type(layer).from_config(config)]
    )
    for model, jit_compile in ((functional, True), (sequential, False)):
        assert model.output_shape == (None, *layer.event_shape)
        model.compile(
            keras.optimizers.Adam(0.05), loss=NegativeLogLikelihood(), jit_compile=jit_compile
        )
        losses = model.fit(x, y, epochs=4, batch_size=8, validation_data=(x, y), verbose=0).history
        assert losses["loss"][-1] < losses["loss"][0]
        path = tmp_path / f"{type(model).__name__}.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
        np.testing.assert_array_equal(loaded(x).log_prob(y), model(x).log_prob(y))
        expected = -np.mean(model(x).log_prob(y))
        np.testing.assert_allclose(loaded.evaluate(x, y, verbose=0), expected, rtol=1e-5)


def check_scale_is_safe(layer, scale_of):
    """The scale is positive and finite, and has a finite gradient, for any finite float32
    parameter."""
    for value in EXTREMES:
        params = tf.fill([1, layer.num_params], tf.constant(value, tf.float32))
        with tf.GradientTape() as tape:
            tape.watch(params)
            scale = scale_of(layer(params))
        gradient = tape.gradient(scale, params)
        assert np.all(np.isfinite(scale)), f"scale at {value}"
        assert np.all(np.isfinite(gradient)), f"gradient at {value}"
        diagonal = np.diagonal(scale, axis1=-2, axis2=-1) if np.ndim(scale) == 3 else scale
        assert np.all(np.asarray(diagonal) > 0), f"scale at {value}"
