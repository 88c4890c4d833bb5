"""`zoo.layers.Sample`: who draws what, and what is added to the loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import layers, schedules
from zoo.losses import NegativeLogLikelihood
from zoo.random import RowNoise, Stream

tfd = tfp.distributions
X = np.random.default_rng(0).random((48, 3)).astype(np.float32)


def sample_layer(latent_dim=4, **arguments):
    return layers.Sample(
        layers.DiagonalNormal(latent_dim), layers.StandardNormal(latent_dim), **arguments
    )


def two_in_a_row_and_one_beside():
    """Params [B, 8] -> three samples of N(0, I) [B, 4], wherever they come from in the model."""
    inputs = keras.Input((8,))
    zeros = keras.layers.Rescaling(0.0)
    first = sample_layer()(inputs)
    second = sample_layer()(zeros(keras.layers.Concatenate()([first, first])))
    inner = keras.Sequential([keras.layers.Rescaling(0.0), sample_layer()])
    return keras.Model(inputs, [first, second, inner(inputs)])


@pytest.mark.parametrize("training", [False, True])
def test_all_sample_layers_of_a_model_draw_independently(training):
    draws = np.concatenate(
        two_in_a_row_and_one_beside()(np.zeros((500, 8), np.float32), training=training), axis=-1
    )
    correlations = np.corrcoef(draws.T) - np.eye(12)
    assert np.abs(correlations).max() < 5 / np.sqrt(500)  # five standard errors


def test_a_model_that_is_built_again_or_loaded_draws_the_same(tmp_path):
    params = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    model = two_in_a_row_and_one_beside()
    model.save(tmp_path / "model.keras")
    expected = model(params)
    for again in (
        two_in_a_row_and_one_beside(),
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        for e, received in zip(expected, again(params), strict=True):
            np.testing.assert_array_equal(received, e)


def test_the_one_sample_layer_of_a_model_draws_by_seed_step_and_row():
    layer = sample_layer(seed=7)
    model = keras.Sequential([layer])
    for step in range(2):
        z = model(np.zeros((3, 8), np.float32), training=True)
        np.testing.assert_array_equal(z, RowNoise(7, step, tf.range(3)).normal(Stream.LATENT, (4,)))
    assert int(layer.step) == 2


@pytest.mark.parametrize("jit_compile", [False, True])
def test_batches_of_a_pass_draw_differently_and_passes_draw_the_same(jit_compile):
    model = keras.Sequential([keras.layers.Dense(8, kernel_initializer="ones"), sample_layer()])
    model.compile(loss="mse", jit_compile=jit_compile)
    z = model.predict(X, batch_size=16, verbose=0)
    np.testing.assert_array_equal(model.predict(X, batch_size=16, verbose=0), z)
    loc, scale = (
        np.asarray(f(model.layers[1].posterior(model.layers[0](X))))
        for f in (tfd.Distribution.mean, tfd.Distribution.stddev)
    )
    noise = ((z - loc) / scale).reshape(3, -1)
    assert np.abs(np.corrcoef(noise) - np.eye(3)).max() < 5 / np.sqrt(64)  # five standard errors
    np.testing.assert_allclose(
        np.concatenate([model(X[first : first + 16]) for first in (0, 16, 32)]),
        z,
        rtol=1e-4,
        atol=1e-4,
    )
    y = np.zeros((48, 4), np.float32)
    assert model.evaluate(X, y, batch_size=16, verbose=0) == model.evaluate(
        X, y, batch_size=16, verbose=0
    )


def test_rows_that_differ_by_rounding_draw_the_same():
    params = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    layer = sample_layer()
    difference = np.abs(layer(params) - layer(params * np.float32(1 + 2e-7))).max(axis=-1)
    # A row crosses one of 2^11 steps an octave with a probability of about 2e-7 * 2^11 = 4e-4: of
    # 200 rows hardly one.
    assert np.sum(difference > 1e-4) <= 1


def test_training_goes_on_from_saved_weights_as_it_would_have(tmp_path):
    def model():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(4),
                sample_layer(2, weight=schedules.Linear(0, 1, 4)),
                keras.layers.Dense(1),
            ]
        )
        model.compile("sgd", loss="mse")
        return model

    y = np.zeros((48, 1), np.float32)
    whole, first, second = model(), model(), model()
    whole.fit(X, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    first.fit(X, y, batch_size=16, shuffle=False, verbose=0)
    first.save_weights(tmp_path / "first.weights.h5")
    second.load_weights(tmp_path / "first.weights.h5")
    second.fit(X, y, batch_size=16, shuffle=False, verbose=0)
    for expected, received in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)


def kl_of(layer, params, **call):
    layer(params, **call)
    return float(layer.losses[0])


def test_the_weight_multiplies_the_kl_and_may_follow_a_schedule():
    params = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    kl = kl_of(sample_layer(), params)
    assert kl_of(sample_layer(weight=0.5), params) == pytest.approx(0.5 * kl)
    warm_up = sample_layer(weight=schedules.Linear(0, 1, 4))
    assert [kl_of(warm_up, params, training=True) for _ in range(6)] == pytest.approx(
        [kl * weight for weight in (0, 0.25, 0.5, 0.75, 1, 1)]
    )
    again = layers.Sample.from_config(warm_up.get_config())
    assert again.weight.get_config() == warm_up.weight.get_config()
    old = {name: value for name, value in warm_up.get_config().items() if name != "weight"}
    assert kl_of(layers.Sample.from_config(old), params) == pytest.approx(kl)


class MixturePrior(keras.layers.Layer):
    def call(self, condition=None):
        components = tfd.MultivariateNormalDiag(
            tf.constant([[-1.0, 0.0], [1.0, 0.0]]), tf.ones([2, 2])
        )
        return tfd.MixtureSameFamily(tfd.Categorical(logits=[0.0, 1.0]), components)


def test_a_prior_without_an_analytic_kl_is_scored_at_the_sample():
    params = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    layer = layers.Sample(layers.DiagonalNormal(2), MixturePrior())
    z = layer(params)
    posterior = layer.posterior(params)
    expected = np.mean(posterior.log_prob(z) - MixturePrior()().log_prob(z))
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)


def test_sample_weights_weigh_the_likelihood():
    model = keras.Sequential(
        [keras.layers.Dense(4), sample_layer(2), keras.layers.Dense(1), layers.Normal(1)]
    )
    model.compile(loss=NegativeLogLikelihood(), run_eagerly=True)
    y = np.zeros((48, 1), np.float32)
    with_weights = model.evaluate(X, y, sample_weight=np.full(48, 3.0), batch_size=48, verbose=0)
    without = model.evaluate(X, y, batch_size=48, verbose=0)
    kl = float(model.layers[1].losses[0])
    assert with_weights - kl == pytest.approx(3 * (without - kl), rel=1e-5)


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="`seed` must be an integer. Received: seed=1.5"):
        sample_layer(seed=1.5)
    with pytest.raises(
        ValueError,
        match="`weight` must be a non-negative number or a schedule.*Received: weight=-1",
    ):
        sample_layer(weight=-1)
    classes = layers.Sample(layers.Categorical(3), layers.UniformCategorical(3))
    with pytest.raises(ValueError, match="samples have a gradient. Received: OneHotCategorical"):
        classes(np.zeros((2, 3), np.float32))
