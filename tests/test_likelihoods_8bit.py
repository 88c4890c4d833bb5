"""Likelihoods of grey levels: the discretized logistic against SciPy in float64, and what a
Gaussian's scale means."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import zoo
from tests.conftest import IMAGE_SHAPE
from tests.contracts import EXTREMES, check_scale_is_safe
from zoo import layers
from zoo.layers.pixels import DiscretizedLogisticLevel, IndependentPixels
from zoo.observations.image import to_unit_interval
from zoo.random import RowNoise, draw

LEVELS = to_unit_interval(tf.constant(np.arange(256, dtype=np.uint8))).numpy()
# From a third of a level to far wider than the image, with locations inside, at the edges and far
# outside.
LOCS = np.float32([-2981, -3, -0.1, 0, 0.2, 0.501, 1, 1.3, 40, 2981])
SCALES = np.float32([3.4e-4, 1e-3, 1 / 255, 0.1, 1, 30, 2900])


def log_probs_by_scipy(loc, scale, level):
    """log P of level k in float64: log-differences of the logistic's own tails, whichever is the
    smaller one."""
    loc, scale, level = (np.asarray(v, np.float64) for v in (loc, scale, level))
    low, high = ((level + half - loc * 255) / (scale * 255) for half in (-0.5, 0.5))
    low, high = np.where(level == 0, -np.inf, low), np.where(level == 255, np.inf, high)
    # By symmetry, in the left tail.
    low, high = (
        np.where(low + high > 0, -high, low),
        np.where(low + high > 0, -low, high),
    )
    log_low, log_high = stats.logistic.logcdf(low), stats.logistic.logcdf(high)
    return log_high + np.log(-np.expm1(log_low - log_high))


def test_log_probability_is_that_of_scipy_for_any_location_and_scale():
    loc, scale = LOCS[:, None, None], SCALES[:, None]
    # [locations, scales, 256].
    received = DiscretizedLogisticLevel(loc, scale).log_prob(LEVELS).numpy()
    expected = log_probs_by_scipy(loc, scale, np.arange(256))
    assert expected.min() < -1e6  # the difference of the two sigmoids has long been 0 there
    # (x - loc) / scale is as exact as float32 holds x - loc: 2^-24 of it, magnified by 1 / scale;
    # log P moves by no more.
    tolerance = 2e-6 * np.abs(expected) + 1e-6 + 2.0**-23 * np.maximum(np.abs(loc), 1) / scale
    assert np.all(np.abs(received - expected) < tolerance)


def test_probabilities_of_the_256_levels_sum_to_one():
    log_probs = (
        DiscretizedLogisticLevel(LOCS[:, None, None], SCALES[:, None]).log_prob(LEVELS).numpy()
    )
    sums = np.exp(log_probs.astype(np.float64)).sum(axis=-1)  # [locations, scales]
    # float32 holds a level to 2^-25, which moves a bin's edge by that much of its density, 1 / (4
    # scale) at most, two edges a bin.
    assert np.all(np.abs(sums - 1) < 2e-6 + 2.0**-26 / SCALES)


def test_mean_is_within_half_a_level_and_closer_where_the_logistic_spans_levels():
    loc, scale = np.float32(np.linspace(-0.2, 1.2, 57))[:, None], SCALES
    received = DiscretizedLogisticLevel(loc, scale).mean().numpy()
    probabilities = np.exp(log_probs_by_scipy(loc[..., None], scale[:, None], np.arange(256)))
    error = 255 * np.abs(received - probabilities @ (np.arange(256) / 255))  # in levels
    assert error.max() < 0.5
    # Euler and Maclaurin's first term: 1 / 96.
    assert error[:, (scale >= 1 / 255) & (scale < 100)].max() < 0.011
    assert received.min() >= 0 and received.max() <= 1


def test_gradients_are_those_of_float64_differences_eager_in_graphs_and_under_xla():
    generator = np.random.default_rng(0)
    level = np.concatenate([[0, 255, 0, 255], generator.integers(0, 256, 60)])
    x = LEVELS[level]
    loc = generator.uniform(-0.5, 1.5, 64).astype(np.float32)
    log_scale = generator.uniform(-5, 1, 64).astype(np.float32)

    def step(loc, log_scale):
        with tf.GradientTape() as tape:
            tape.watch([loc, log_scale])
            log_prob = DiscretizedLogisticLevel(loc, tf.exp(log_scale)).log_prob(x)
        return log_prob, *tape.gradient(log_prob, [loc, log_scale])

    h = 1e-5
    loc64, log_scale64 = loc.astype(np.float64), log_scale.astype(np.float64)
    by_loc = [log_probs_by_scipy(loc64 + sign * h, np.exp(log_scale64), level) for sign in (1, -1)]
    by_scale = [
        log_probs_by_scipy(loc64, np.exp(log_scale64 + sign * h), level) for sign in (1, -1)
    ]
    expected = (
        log_probs_by_scipy(loc64, np.exp(log_scale64), level),
        *((high - low) / (2 * h) for high, low in (by_loc, by_scale)),
    )
    for run in (step, tf.function(step), tf.function(step, jit_compile=True)):
        for received, value in zip(
            run(tf.constant(loc), tf.constant(log_scale)), expected, strict=True
        ):
            np.testing.assert_allclose(received, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", ["per_pixel", "shared"])
def test_log_probability_and_gradients_are_finite_for_any_finite_parameter(scale):
    layer = layers.DiscretizedLogistic(3, scale)
    x = tf.constant([0.0, 128 / 255, 1.0])
    raw_locs, raw_scales = (
        np.float32(grid).reshape(-1) for grid in np.meshgrid(EXTREMES, EXTREMES)
    )
    maps = [raw_locs] if scale == "shared" else [raw_locs, raw_scales]
    params = tf.constant(
        np.repeat(np.stack(maps, axis=-1)[:, None], 3, axis=1).reshape(len(raw_locs), -1)
    )
    layer.build(params.shape)
    for shared in EXTREMES if scale == "shared" else [None]:
        if scale == "shared":
            layer.raw_scale.assign(shared)
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = layer(params).log_prob(x)
        assert np.all(np.isfinite(log_prob)) and np.all(log_prob <= 0)
        for gradient in tape.gradient(
            log_prob, [params, *(weight.value for weight in layer.weights)]
        ):
            assert np.all(np.isfinite(gradient))
        assert np.all(np.isfinite(layer(params).mean()))
        assert np.all(np.isin(draw(layer(params), RowNoise.of_seed(0, len(params))), LEVELS))
    if scale == "per_pixel":
        check_scale_is_safe(layer, lambda p: p.distribution.scale)


def test_draws_are_levels_with_their_probabilities():
    num_draws = 20000
    loc, scale = np.float32([0.01, 0.4, 0.98, 0.5]), np.float32([0.05, 0.002, 0.02, 3.0])
    distribution = IndependentPixels(DiscretizedLogisticLevel(loc, scale), 1)
    x = draw(distribution, RowNoise.of_seed(0, num_draws)).numpy()
    under_xla = tf.function(lambda: draw(distribution, RowNoise.of_seed(0, 100)), jit_compile=True)
    np.testing.assert_array_equal(under_xla(), x[:100])
    by_tfp = distribution.sample(num_draws, seed=(0, 1)).numpy()
    for draws in (x, by_tfp):
        assert np.all(np.isin(draws, LEVELS))  # the very floats that uint8 images become
        for pixel in range(4):
            expected = num_draws * np.exp(
                log_probs_by_scipy(loc[pixel], scale[pixel], np.arange(256))
            )
            counts = np.bincount(np.round(draws[:, pixel] * 255).astype(int), minlength=256)
            frequent = expected > 10
            assert counts[~frequent].sum() <= expected[~frequent].sum() + 5 * np.sqrt(
                expected[~frequent].sum() + 1
            )
            # Pearson's statistic has mean n and variance 2 n over n levels, and a little more for
            # rare ones; five standard deviations.
            n = frequent.sum()
            assert np.sum(
                (counts - expected)[frequent] ** 2 / expected[frequent]
            ) < n + 5 * np.sqrt(2.5 * n)


def test_quantile_is_the_first_level_that_reaches_the_probability():
    distribution = DiscretizedLogisticLevel(0.31, 0.02)
    cumulative = np.cumsum(
        np.exp(log_probs_by_scipy(np.float32(0.31), np.float32(0.02), np.arange(256)))
    )
    u = np.float32([0.003, 0.1, 0.25, 0.5, 0.77, 0.999])
    np.testing.assert_array_equal(distribution.quantile(u), LEVELS[np.searchsorted(cumulative, u)])
    # A draw of exactly 0 comes once in 2^24 and is no black pixel.
    assert distribution.quantile(0.0) == distribution.quantile(2.0**-25)
    assert DiscretizedLogisticLevel(0.5, 0.02).quantile(0.0) > 0.1


@pytest.mark.parametrize(
    "layer",
    [
        layers.Normal(IMAGE_SHAPE, scale=0.5),
        layers.Normal(IMAGE_SHAPE, scale="shared"),
        layers.Normal(IMAGE_SHAPE, scale="per_pixel"),
        layers.DiscretizedLogistic(IMAGE_SHAPE),
        layers.DiscretizedLogistic(IMAGE_SHAPE, "shared"),
    ],
    ids=lambda layer: f"{type(layer).__name__} {layer.scale}",
)
def test_start_at_mean_places_every_pixel_at_the_mean_image(make_vae, images, layer):
    model = make_vae(likelihood=type(layer).from_config(layer.get_config()))
    last = model.decoder.stack[-1]
    last.kernel.assign(tf.zeros_like(last.kernel))  # what is left is the bias
    model.start_at_mean(images)
    pixel = model.decode(np.zeros((1, 3), np.float32)).distribution
    np.testing.assert_allclose(pixel.loc[0], images.mean(0) / 255, rtol=1e-5)
    np.testing.assert_array_equal(np.unique(pixel.scale), [0.5 if layer.scale == 0.5 else 1.0])


def test_levels_reach_the_logistic_as_they_are_and_are_counted(make_vae, images):
    model = make_vae(likelihood=layers.DiscretizedLogistic(IMAGE_SHAPE))
    assert model.observation.pixels == "as_given"
    assert layers.DiscretizedLogistic.num_levels == 256
    assert layers.Normal.num_levels is layers.Bernoulli.num_levels is None
    assert (
        layers.DiscretizedLogistic.params_size(IMAGE_SHAPE)
        == 2 * layers.DiscretizedLogistic.params_size(IMAGE_SHAPE, "shared")
        == 32
    )
    assert np.all(np.isin(model.sample(5), LEVELS))
    score = model.score(images, RowNoise.of_seed(0, len(images)))
    assert np.all(score["log_likelihood"] < 0)  # of probabilities, where a density may be anything


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_gaussian_scale_is_the_weight_of_a_beta_vae(make_vae, images, sigma):
    """-ELBO = (1 / sigma^2) (0.5 |x - mean|^2 + sigma^2 KL) + (D / 2) log(2 pi sigma^2): a beta-VAE
    of unit variance, beta = sigma^2."""
    model = make_vae(likelihood=layers.Normal(IMAGE_SHAPE, scale=sigma))
    noise = RowNoise.of_seed(0, len(images))
    batch = model.prepare({"image": tf.constant(images)}, noise)
    weights = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.loss_terms(batch, noise, training=True)["loss"])
    gradients = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        loc, raw_scale = tf.split(model.encoder(batch["image"]), 2, axis=-1)
        log_scale = 8 * tf.tanh(raw_scale / 8)
        z = loc + tf.exp(log_scale) * noise.normal(zoo.random.Stream.LATENT, (3,))
        error = 0.5 * tf.reduce_sum(
            (tf.reshape(batch["image"], [-1, 16]) - model.decoder(z)) ** 2, axis=-1
        )
        kl = 0.5 * tf.reduce_sum(loc**2 + tf.exp(2 * log_scale) - 1 - 2 * log_scale, axis=-1)
        beta_loss = tf.reduce_mean(error + sigma**2 * kl)
    expected = beta_loss / sigma**2 + 16 / 2 * np.log(2 * np.pi * sigma**2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert len(gradients) == 8
    for received, gradient in zip(gradients, tape.gradient(beta_loss, weights), strict=True):
        scale = np.abs(gradient).max() / sigma**2
        assert scale > 0
        np.testing.assert_allclose(received, gradient / sigma**2, rtol=1e-4, atol=1e-5 * scale)


def test_learned_gaussian_scale_is_the_root_mean_square_error():
    """The sigma-VAE's optimum (Rybkin et al. 2021): sigma^2 = mean of (x - mean)^2."""
    x = np.random.default_rng(0).random((50, 4)).astype(np.float32)
    layer = layers.Normal(4, scale="shared")
    loc = tf.fill([50, 4], 0.3)
    layer.build(loc.shape)
    layer.raw_scale.assign(8 * np.arctanh(np.log(np.sqrt(np.mean((x - 0.3) ** 2))) / 8))
    with tf.GradientTape() as tape:
        log_prob = tf.reduce_mean(layer(loc).log_prob(x))
    # Its two terms are 4 each; they cancel to rounding.
    assert abs(tape.gradient(log_prob, layer.raw_scale.value)) < 1e-5


def test_fixed_scale_of_the_recipe_is_typed_as_text():
    from zoo import registry

    recipe = registry.find("vae_mnist_gaussian")
    assert recipe.build({"scale": "0.1"}).model().likelihood_layer.scale == 0.1
    with pytest.raises(
        ValueError,
        match=r"must be of type Union\[float, Literal\['shared', 'per_pixel'\]\]. Received: "
        r"scale='both'",
    ):
        recipe.build({"scale": "both"}).model()
