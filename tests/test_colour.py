"""Free levels and Laplace pixels against SciPy in float64, and models of colour pictures."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import zoo
from tests.contracts import EXTREMES
from tests.test_likelihoods_8bit import LEVELS
from tests.test_logistic_mixture import components_by_numpy, random_params
from zoo import layers
from zoo.layers.pixels import CategoricalLevel
from zoo.random import RowNoise, draw

COLOUR_SHAPE = (4, 4, 3)


# -- Free levels


def test_free_levels_are_a_softmax_of_their_logits():
    generator = np.random.default_rng(0)
    layer = layers.CategoricalLevels((2, 1, 3))
    params = random_params(layer, 5, generator, 3.0)
    level = generator.integers(0, 256, (5, 2, 1, 3))
    level[0], level[1] = 0, 255
    log_probs = special.log_softmax(params.astype(np.float64).reshape(5, 2, 1, 3, 256), axis=-1)
    each = np.take_along_axis(log_probs, level[..., None], axis=-1)[..., 0]
    distribution = layer(params)
    received = distribution.log_prob(LEVELS[level])
    np.testing.assert_allclose(received, each.sum((1, 2, 3)), rtol=1e-6)
    observed = generator.integers(0, 2, level.shape).astype(np.float32)
    received = distribution.log_prob(LEVELS[level], observed=observed)
    np.testing.assert_allclose(received, (observed * each).sum((1, 2, 3)), rtol=1e-6)
    mean = np.exp(log_probs) @ (np.arange(256) / 255)
    np.testing.assert_allclose(distribution.mean(), mean, rtol=1e-5)
    several = layer(np.stack([params, params])).log_prob(LEVELS[level])
    np.testing.assert_allclose(several[1], each.sum((1, 2, 3)), rtol=1e-6)
    with tf.GradientTape() as tape:
        watched = tf.constant(params)
        tape.watch(watched)
        log_prob = layer(watched).log_prob(LEVELS[level])
    gradient = tape.gradient(log_prob, watched).numpy().reshape(log_probs.shape)
    one_hot = np.arange(256) == level[..., None]
    np.testing.assert_allclose(gradient, one_hot - np.exp(log_probs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", EXTREMES)
def test_free_levels_are_finite_for_any_finite_logit(value):
    layer = layers.CategoricalLevels(3)
    params = np.zeros((2, 3, 256), np.float32)
    params[0, :, ::2], params[1, :, 255] = value, value
    params = tf.constant(params.reshape(2, -1))
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = layer(params).log_prob(LEVELS[[0, 128, 255]])
    assert np.all(np.isfinite(log_prob)) and np.all(log_prob <= 0)
    assert np.all(np.isfinite(tape.gradient(log_prob, params)))
    mean = layer(params).mean().numpy()
    assert np.all((mean >= 0) & (mean < 1 + 1e-6))
    assert np.all(np.isin(draw(layer(params), RowNoise.of_seed(0, 2)), LEVELS))


def test_draws_of_free_levels_have_their_probabilities():
    num_draws = 50000
    logits = np.random.default_rng(0).normal(size=(2, 256)).astype(np.float32)
    logits[1, 100:] = -1e4  # levels that are never drawn
    layer = layers.CategoricalLevels(2)
    draws = draw(layer(logits.reshape(1, -1)), RowNoise.of_seed(0, 1), num_samples=num_draws)
    by_tfp = CategoricalLevel(logits).sample(num_draws, seed=(0, 1))
    for x in (draws.numpy()[:, 0], by_tfp.numpy()):
        assert np.all(np.isin(x, LEVELS))
        for element, size in ((0, 256), (1, 100)):
            counts = np.bincount(np.round(255 * x[:, element]).astype(int), minlength=256)
            assert counts[size:].sum() == 0
            expected = num_draws * special.softmax(logits[element, :size].astype(np.float64))
            # Five standard deviations of Pearson's statistic.
            statistic = np.sum((counts[:size] - expected) ** 2 / expected)
            assert statistic < size + 5 * np.sqrt(2.5 * size)
    # No uniform number reaches a level without probability.
    assert CategoricalLevel(logits[1]).quantile(1 - 2.0**-24) <= LEVELS[99]


# -- Laplace


def test_laplace_is_that_of_scipy_and_finite_for_any_finite_parameter():
    generator = np.random.default_rng(0)
    layer = layers.Laplace(3, "per_pixel")
    params = random_params(layer, 4, generator)
    x = generator.normal(size=(4, 3)).astype(np.float32)
    loc, raw = np.moveaxis(params.reshape(4, 3, 2).astype(np.float64), -1, 0)
    expected = stats.laplace(loc, np.exp(8 * np.tanh(raw / 8))).logpdf(x).sum(-1)
    np.testing.assert_allclose(layer(params).log_prob(x), expected, rtol=1e-5)
    for extreme in itertools.product(EXTREMES, repeat=2):
        params = tf.constant([extreme * 3])
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = layer(params).log_prob(tf.constant([[0.0, 0.5, 1.0]]))
        assert np.all(np.isfinite(log_prob))
        assert np.all(np.isfinite(tape.gradient(log_prob, params)))
        assert np.all(np.isfinite(layer(params).mean()))


def test_laplace_draws_have_its_distribution():
    layer = layers.Laplace(1, scale=0.5)
    x = draw(layer(tf.constant([[2.0]])), RowNoise.of_seed(0, 1), num_samples=20000)
    # The 0.1 % point of Kolmogorov and Smirnov's statistic.
    assert (
        stats.kstest(x.numpy().ravel(), stats.laplace(2.0, 0.5).cdf).statistic < 1.95 / 20000**0.5
    )


@pytest.mark.parametrize("scale", ["shared", "per_pixel"])
def test_laplace_starts_at_the_deviation_of_the_data(scale, make_vae):
    generator = np.random.default_rng(0)
    x = (generator.laplace(3.0, 2.0, (5000, 4))).astype(np.float32)
    model = make_vae(likelihood=layers.Laplace(4, scale))
    assert isinstance(model.observation, zoo.observations.Vector)
    start_at_zero_weights(model, x)
    pixel = model.decode(np.zeros((1, 3), np.float32)).distribution
    np.testing.assert_allclose(pixel.loc[0], x.mean(0), rtol=1e-5)
    # The deviation of 20,000 Laplace draws has a relative error of 0.008; five of them, for columns
    # twice as many.
    np.testing.assert_allclose(pixel.scale, np.full(np.shape(pixel.scale), 2.0), rtol=0.08)


def start_at_zero_weights(model, x):
    """What is left of the decoder is its bias."""
    last = model.decoder.stack[-1]
    last.kernel.assign(tf.zeros_like(last.kernel))
    model.start_at_data(x)


# -- Models


@pytest.fixture(scope="module")
def colours():
    """200 pictures with channels that go together, uint8 [200, 4, 4, 3]."""
    generator = np.random.default_rng(0)
    grey = generator.uniform(40, 200, (200, 1, 1, 1)) + generator.normal(size=(200, 4, 4, 1)) * 15
    tint = np.array([1.0, 0.8, 0.5]) * grey + generator.normal(size=(200, 4, 4, 3)) * 5
    return np.clip(np.round(tint), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("num_components", [1, 2, 10])
def test_a_mixture_starts_at_the_moments_of_the_data(num_components, make_vae, colours):
    layer = layers.DiscretizedLogisticMixture(COLOUR_SHAPE, num_components)
    model = make_vae(likelihood=layer)
    start_at_zero_weights(model, colours)
    params = model.decoder(tf.zeros([1, 3])).numpy()
    log_weights, locs, scales, coefficients = components_by_numpy(params, 3, num_components)
    weights = np.exp(log_weights)[:, :, None]
    mean = (weights * locs).sum(-1)
    within, between = (scales * math.pi) ** 2 / 3, locs**2 - mean[..., None] ** 2
    data = colours.reshape(200, 16, 3) / 255
    np.testing.assert_allclose(mean[0], data.mean(0), rtol=1e-4)
    deviation = np.sqrt((weights * (within + between)).sum(-1))
    np.testing.assert_allclose(deviation[0], data.std(0), rtol=1e-3)
    assert np.all(coefficients == 0)
    model.start_at_mean(colours)
    locs = components_by_numpy(model.decoder(tf.zeros([1, 3])), 3, num_components)[1]
    np.testing.assert_allclose(
        locs[0], np.repeat(data.mean(0)[..., None], num_components, -1), 1e-4
    )


def test_free_levels_start_at_the_data(make_vae, colours):
    model = make_vae(likelihood=layers.CategoricalLevels(COLOUR_SHAPE))
    start_at_zero_weights(model, colours)
    probabilities = special.softmax(
        model.decoder(tf.zeros([1, 3])).numpy().reshape(16, 3, 256).astype(np.float64), axis=-1
    )
    mean, deviation = (v.reshape(16, 3) for v in ((colours / 255).mean(0), (colours / 255).std(0)))
    normal = np.exp(-0.5 * ((np.arange(256) / 255 - mean[..., None]) / deviation[..., None]) ** 2)
    expected = 0.99 * normal / normal.sum(-1, keepdims=True) + 0.01 / 256
    np.testing.assert_allclose(probabilities, expected, rtol=1e-3)
    mean = np.float64([0, 0.002, 0.1, 0.5, 0.77, 1])
    layer = layers.CategoricalLevels(6)
    received = layer(layer.params_of_mean(mean)[None]).mean()
    np.testing.assert_allclose(received[0], np.clip(mean, 1e-3, 1 - 1e-3), rtol=1e-4)


@pytest.mark.parametrize(
    "likelihood",
    [
        layers.DiscretizedLogisticMixture(COLOUR_SHAPE, 2),
        layers.CategoricalLevels(COLOUR_SHAPE),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_model_of_colours_trains_and_is_measured_in_bits(likelihood, make_vae, colours):
    model = make_vae(likelihood=likelihood)
    model.start_at_data(colours)
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(colours, batch_size=50, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0] < 48 * math.log(256)  # better than a uniform distribution
    numbers = zoo.evaluate(model, {"image": colours}, num_samples=10)
    nll = numbers["nll"]["value"]
    assert numbers["bits_per_dim"]["value"] == pytest.approx(nll / (48 * math.log(2)))
    assert numbers["bits_per_dim"]["pixels"] == "256 levels"
    assert np.all(np.isin(model.sample(3), LEVELS))
