"""The coupled mixture of discretized logistics against SciPy in float64: values, gradients, the
mean and draws."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests.contracts import EXTREMES
from tests.test_likelihoods_8bit import LEVELS, log_probs_by_scipy
from zoo import layers
from zoo.random import RowNoise, draw

K = 3


def random_params(layer, num_rows, generator, size=1.0):
    return (size * generator.normal(size=(num_rows, layer.num_params))).astype(np.float32)


# -- The mixture, in float64


def components_by_numpy(params, channels, num_components=K):
    """log weights [B, P, K], locations and scales [B, P, C, K] and coefficients [B, P, pairs, K] of
    parameters [B, P 10 K], by the words of the layer's docstring."""
    num_maps = 1 + 2 * channels + channels * (channels - 1) // 2
    maps = np.asarray(params, np.float64).reshape(len(params), -1, num_maps, num_components)
    logits, raw_locs, raw_scales, raw_coefficients = np.split(
        maps, np.cumsum([1, channels, channels]), axis=2
    )
    log_weights = special.log_softmax(logits[:, :, 0], axis=-1)
    scales = np.exp(8 * np.tanh(raw_scales / 8)) / 8
    return log_weights, (1 + raw_locs) / 2, scales, np.tanh(raw_coefficients)


def log_prob_by_numpy(params, x, num_components=K):
    """log p of pictures [B, H, W, C] of levels: [B], nats."""
    x = np.asarray(x, np.float64)
    channels = x.shape[-1]
    log_joint, locs, scales, coefficients = components_by_numpy(params, channels, num_components)
    x = x.reshape(len(x), -1, channels, 1)
    pairs = itertools.count()
    for channel in range(channels):
        loc = locs[:, :, channel]
        for before in range(channel):
            loc = loc + coefficients[:, :, next(pairs)] * (x[:, :, before] - 0.5)
        level = np.round(255 * x[:, :, channel], 3)
        log_joint = log_joint + log_probs_by_scipy(loc, scales[:, :, channel], level)
    return special.logsumexp(log_joint, axis=-1).sum(axis=-1)


def conditionals_by_numpy(params):
    """Of one pixel with three channels: weights [K], P(red) [K, 256], P(green | red) [K, 256, 256]
    and the mean of blue given both [K, 256, 256]."""
    parts = (part[0, 0] for part in components_by_numpy(params, 3))
    log_weights, locs, scales, coefficients = parts
    locs, scales, coefficients = (p[..., None] for p in (locs, scales, coefficients))  # [.., K, 1]
    levels = np.arange(256)
    shifts = levels / 255 - 0.5
    red = np.exp(log_probs_by_scipy(locs[0], scales[0], levels))
    loc = locs[1] + coefficients[0] * shifts  # [K, 256]
    green = np.exp(log_probs_by_scipy(loc[..., None], scales[1][..., None], levels))
    loc = locs[2] + coefficients[1] * shifts
    loc = loc[..., None] + coefficients[2][..., None] * shifts  # [K, 256, 256]
    # The mean of a level k is the sum over k >= 1 of P(level >= k): a smooth function of the
    # location, here of scales above a level, so that a table of it is exact to 1e-5.
    edges, places = (np.arange(1, 256) - 0.5) / 255, np.linspace(loc.min(), loc.max(), 4001)
    blue = np.stack(
        [
            np.interp(of_k, places, special.expit((places[:, None] - edges) / scale).mean(-1))
            for of_k, scale in zip(loc, scales[2], strict=True)
        ]
    )
    return np.exp(log_weights), red, green, blue


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1.0, 10.0])
def test_log_probability_is_that_of_scipy_for_any_number_of_channels(channels, size):
    generator = np.random.default_rng(channels)
    layer = layers.DiscretizedLogisticMixture((3, 2, channels), K)
    params = random_params(layer, 40, generator, size)
    level = generator.integers(0, 256, (40, 3, 2, channels))
    level[:10] = generator.choice([0, 1, 254, 255], level[:10].shape)
    received = layer(params).log_prob(LEVELS[level])
    # float32 holds a distance from a location of the size of 10 to 1e-6; the smallest scale is
    # 4e-5, and the sum is of 24 such terms.
    np.testing.assert_allclose(received, log_prob_by_numpy(params, LEVELS[level]), rtol=3e-6)


def test_probabilities_of_a_channel_sum_to_those_of_the_channels_before():
    """Given red and green the 256 levels of blue sum to P(red, green), and so on down to 1."""
    generator = np.random.default_rng(0)
    colours = layers.DiscretizedLogisticMixture((1, 1, 3), K)
    params = random_params(colours, 1, generator)
    maps = params.reshape(10, K)
    few = {3: maps, 2: maps[[0, 1, 2, 4, 5, 7]], 1: maps[[0, 1, 4]]}

    def log_prob(values):
        channels = values.shape[-1]
        layer = layers.DiscretizedLogisticMixture((1, 1, channels), K)
        return layer(few[channels].reshape(1, -1)).log_prob(values[:, None, None]).numpy()

    coarse = LEVELS[[0, 1, 60, 127, 200, 254, 255]]
    for channels in (1, 2, 3):
        before = np.array(list(itertools.product(coarse, repeat=channels - 1)), np.float32)
        before = before.reshape(len(coarse) ** (channels - 1), channels - 1)
        every = np.concatenate(
            [np.repeat(before, 256, axis=0), np.tile(LEVELS, len(before))[:, None]], axis=-1
        )
        sums = special.logsumexp(log_prob(every).reshape(-1, 256).astype(np.float64), axis=-1)
        expected = log_prob(before) if channels > 1 else np.zeros(1)
        # Each term is exact to about 1e-6, and a level's edges to 2^-25 of the range.
        np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_float64_differences_eager_in_graphs_and_under_xla():
    generator = np.random.default_rng(0)
    layer = layers.DiscretizedLogisticMixture((1, 2, 3), 2)
    params = random_params(layer, 6, generator)
    params[5] = 0.0  # where zero-initialized networks start
    level = generator.integers(1, 255, (6, 1, 2, 3))
    level[0], level[1] = 0, 255
    x = LEVELS[level]

    def step(params, x):
        with tf.GradientTape() as tape:
            tape.watch([params, x])
            log_prob = layer(params).log_prob(x)
        return tape.gradient(log_prob, [params, x])

    h = 1e-4
    by_params = np.zeros(params.shape)
    for number in range(params.shape[1]):
        moved = h * np.eye(params.shape[1])[number]
        high, low = (log_prob_by_numpy(params + sign * moved, x, 2) for sign in (1, -1))
        by_params[:, number] = (high - low) / (2 * h)
    by_x = np.zeros(x.shape)
    for place in itertools.product(range(1), range(2), range(3)):
        moved = np.zeros(x.shape[1:])
        moved[place] = h
        high, low = (log_prob_by_numpy(params, x + sign * moved, 2) for sign in (1, -1))
        by_x[(slice(None), *place)] = (high - low) / (2 * h)
    for run in (step, tf.function(step), tf.function(step, jit_compile=True)):
        received = run(tf.constant(params), tf.constant(x))
        np.testing.assert_allclose(received[0], by_params, rtol=1e-3, atol=1e-4)
        # At the ends another level would begin: their own values cannot be moved by h.
        np.testing.assert_allclose(received[1][2:], by_x[2:], rtol=1e-3, atol=1e-3)


def test_log_probability_and_gradients_are_finite_for_any_finite_parameter():
    layer = layers.DiscretizedLogisticMixture((1, 1, 3), 2)
    grid = np.float32(list(itertools.product(EXTREMES, repeat=4)))  # [6561, 4]
    # One component at the extremes, the other at 0: weight, locations, scales, coefficients.
    ends = np.repeat(grid, [1, 3, 3, 3], axis=1)
    params = tf.constant(np.stack([ends, np.zeros_like(ends)], axis=-1).reshape(len(grid), -1))
    for colour in ([0, 0, 0], [255, 255, 255], [0, 255, 128], [128, 0, 255]):
        x = tf.constant(LEVELS[colour].reshape(1, 1, 1, 3))
        with tf.GradientTape() as tape:
            tape.watch([params, x])
            log_prob = layer(params).log_prob(x)
        assert np.all(np.isfinite(log_prob)) and np.all(log_prob <= 1e-6)
        for gradient in tape.gradient(log_prob, [params, x]):
            assert np.all(np.isfinite(gradient))
    mean = layer(params).mean().numpy()
    assert np.all((mean >= 0) & (mean <= 1))
    assert np.all(np.isin(draw(layer(params), RowNoise.of_seed(0, len(grid))), LEVELS))


def test_mean_is_near_that_of_all_levels():
    """The bounds are the docstring's, in levels of 256."""
    generator = np.random.default_rng(0)
    layer = layers.DiscretizedLogisticMixture((1, 1, 3), K)
    for shift, average, most in ((0.0, 1.5, 10.0), (-1.5, 0.3, 3.0)):
        errors = []
        for _ in range(12):
            params = random_params(layer, 1, generator).reshape(1, 10, K)
            params[:, 4:7] += shift  # scales
            params = params.reshape(1, -1)
            weights, red, green, blue = conditionals_by_numpy(params)
            both = red[..., None] * green  # [K, 256, 256]
            levels = np.arange(256) / 255
            exact = weights @ np.stack(
                [red @ levels, (both @ levels).sum(-1), (both * blue).sum((-1, -2))], axis=-1
            )
            errors.append(255 * np.abs(layer(params).mean().numpy().ravel() - exact))
        assert np.max(np.mean(errors, axis=0)) < average
        assert np.max(errors) < most
        assert np.max(errors, axis=0)[0] < 0.5  # red is coupled to nothing


def test_draws_of_a_mixture_have_its_probabilities():
    num_draws, window = 20000, 48
    layer = layers.DiscretizedLogisticMixture((1, 1, 3), 2)
    raw_coefficients = np.array([[0.8, -0.6], [0.4, 0.9], [-0.7, 0.3]])
    alpha, beta, gamma = np.tanh(raw_coefficients)
    # Two components around the levels 2, 90 and 128 of red, which is cut at black, green and blue.
    locs = np.stack([0.01 + 0 * alpha, 0.35 + 0.49 * alpha, 0.5 + 0.49 * beta + 0.15 * gamma])
    locs[:, 1] += 0.03
    scales = np.full((3, 2), -3.0)  # of nearly two levels
    maps = np.concatenate([[[0.0, 0.5]], 2 * locs - 1, scales, raw_coefficients])
    params = maps.astype(np.float32).reshape(1, -1)
    distribution = layer(params)
    x = draw(distribution, RowNoise.of_seed(0, 1), num_samples=num_draws)[:, 0, 0, 0].numpy()
    by_tfp = distribution.sample(num_draws, seed=(0, 1))[:, 0, 0, 0].numpy()
    first = np.maximum(np.quantile(255 * x, 0.5, axis=0).astype(int) - window // 2, 0)
    grid = np.stack(np.meshgrid(*(f + np.arange(window) for f in first), indexing="ij"), axis=-1)
    pixels = LEVELS[grid.reshape(-1, 1, 1, 3)]
    probabilities = np.exp(log_prob_by_numpy(np.repeat(params, len(pixels), axis=0), pixels, 2))
    probabilities = probabilities.reshape(window, window, window)
    assert probabilities.sum() > 0.9
    for draws in (x, by_tfp):
        assert np.all(np.isin(draws, LEVELS))
        level = np.round(255 * draws).astype(int) - first
        level = level[np.all((level >= 0) & (level < window), axis=-1)]
        assert abs(len(level) - num_draws * probabilities.sum()) < 5 * np.sqrt(num_draws) / 2
        for pair, other in (((0, 1), 2), ((0, 2), 1), ((1, 2), 0)):
            expected = num_draws * probabilities.sum(axis=other).ravel()
            numbers = level[:, pair[0]] * window + level[:, pair[1]]
            counts = np.bincount(numbers, minlength=window**2)
            frequent = expected > 10
            assert frequent.sum() > 50
            # Pearson's statistic has mean n and variance 2 n over n pairs, and a little more for
            # rare ones; five standard deviations.
            n = frequent.sum()
            statistic = np.sum((counts - expected)[frequent] ** 2 / expected[frequent])
            assert statistic < n + 5 * np.sqrt(2.5 * n)


@pytest.mark.parametrize(
    "layer",
    [layers.DiscretizedLogisticMixture((2, 3, 3), K), layers.CategoricalLevels((2, 3, 3))],
    ids=lambda layer: type(layer).__name__,
)
def test_draws_are_the_rows_own(layer):
    params = random_params(layer, 6, np.random.default_rng(0))
    noise = RowNoise.of_seed(5, 6)

    def run(params, rows):
        own = RowNoise(5, 0, rows)
        return draw(layer(params), own), draw(layer(params), own, num_samples=2, first_sample=1)

    one, several = run(params, tf.range(6))
    assert len(np.unique(one)) > 20
    rows = [4, 1]
    for received in (
        run(params[rows], tf.constant(rows)),
        tf.function(run)(params[rows], tf.constant(rows)),
        tf.function(run, jit_compile=True)(params[rows], tf.constant(rows)),
    ):
        np.testing.assert_array_equal(received[0], one.numpy()[rows])
        np.testing.assert_array_equal(received[1], several.numpy()[:, rows])
    chunk = draw(layer(params), noise, num_samples=3)
    np.testing.assert_array_equal(chunk[0], one)
    np.testing.assert_array_equal(chunk[1:], several)


def test_a_mixture_refuses_to_leave_channels_out():
    layer = layers.DiscretizedLogisticMixture((1, 1, 3), K)
    ones = tf.ones([1, 1, 1, 3])
    with pytest.raises(ValueError, match=r"Received: observed=EagerTensor of shape \(1, 1, 1, 3\)"):
        layer(tf.zeros([1, layer.num_params])).log_prob(ones, observed=ones)


def test_wrong_shapes_and_numbers_are_told():
    for shape in (12, (4, 4), (4, 4, 3, 1)):
        with pytest.raises(ValueError, match=r"must be \(H, W, C\).*Received: event_shape=\("):
            layers.DiscretizedLogisticMixture(shape)
    with pytest.raises(ValueError, match="Received: num_components=0"):
        layers.DiscretizedLogisticMixture((4, 4, 3), 0)


def test_numbers_of_parameters():
    size = layers.DiscretizedLogisticMixture.params_size
    assert size((32, 32, 3)) == 32 * 32 * 10 * 10
    assert size((8, 8, 1), 5) == 64 * 5 * 3
    assert size((8, 8, 4), 2) == 64 * 2 * (1 + 8 + 6)
    assert layers.CategoricalLevels.params_size((8, 8, 3)) == 64 * 3 * 256
    assert layers.Laplace.params_size((8, 8, 3), "per_pixel") == 384
