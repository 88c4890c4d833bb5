"""Likelihoods of counts: each against SciPy, at every library size, and by its draws."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from zoo import layers
from zoo.layers.count_distributions import MultinomialCounts
from zoo.random import RowNoise, draw

SIZE = 6
LIBRARY = np.array([1, 10, 300, 40_000], np.float32)
THETA = np.exp(8 * np.tanh(np.linspace(-2, 3, SIZE) / 8))
KINDS = {
    "negative binomial": layers.NegativeBinomial,
    "zero-inflated": layers.ZeroInflatedNegativeBinomial,
    "Poisson": layers.Poisson,
    "multinomial": layers.Multinomial,
}
MODES = {"eager": lambda f: f, "graph": tf.function, "xla": tf.function(jit_compile=True)}


def made(kind, size=SIZE):
    """A layer whose theta are `THETA`, and parameters [4, P] for it."""
    layer = KINDS[kind](size)
    params = np.random.default_rng(0).normal(size=(4, layer.num_params)).astype(np.float32)
    layer(params)
    if kind in ("negative binomial", "zero-inflated"):
        layer.raw_dispersion.assign(np.linspace(-2, 3, SIZE))
    return layer, params


def shares_of(kind, params):
    """Shares [4, G] and chances of a loss [4, G], in float64."""
    params = params.astype(np.float64)
    losses = np.zeros((4, SIZE))
    if kind == "zero-inflated":
        params, losses = params[:, ::2], special.expit(params[:, 1::2])
    return special.softmax(params, axis=-1), losses


def log_prob_of_scipy(kind, params, library, x):
    """log p(x) [4] in nats."""
    shares, losses = shares_of(kind, params)
    mean = library[:, None] * shares
    if kind == "multinomial":
        return stats.multinomial(x.sum(-1), shares).logpmf(x)
    if kind == "Poisson":
        return stats.poisson(mean).logpmf(x).sum(-1)
    log_seen = np.log1p(-losses) + stats.nbinom(THETA, THETA / (THETA + mean)).logpmf(x)
    with np.errstate(divide="ignore"):
        return np.where(x == 0, np.logaddexp(np.log(losses), log_seen), log_seen).sum(-1)


def counts_near(shares, library):
    """Counts [4, G] that add up to the library, some of them 0."""
    generator = np.random.default_rng(1)
    rows = [generator.multinomial(int(n), p) for n, p in zip(library, shares, strict=True)]
    return np.array(rows, np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_log_probability_is_that_of_scipy_at_every_library_size(kind, mode):
    layer, params = made(kind)
    x = counts_near(shares_of(kind, params)[0], LIBRARY)

    def log_prob():
        samples = tf.constant(np.stack([params, params]))  # [S, B, P]
        return layer(samples, library=tf.constant(LIBRARY)).log_prob(x)

    received = MODES[mode](log_prob)()
    expected = log_prob_of_scipy(kind, params, LIBRARY, x)
    assert received.shape == (2, 4)
    # Of a count of 20,000 a term is 200,000 nats, which float32 has to 0.01.
    tolerance = 2e-5 * np.abs(expected) + [1e-5, 1e-5, 1e-3, 0.1]
    assert np.all(np.abs(received[0] - expected) < tolerance)
    np.testing.assert_array_equal(received[0], received[1])


def test_log_probability_of_a_multinomial_keeps_its_digits():
    shares = np.random.default_rng(0).dirichlet(np.ones(3000), 2)
    x = np.array([np.random.default_rng(1).multinomial(30_000, row) for row in shares], np.float32)
    distribution = MultinomialCounts(
        tf.fill([2], 30_000.0), logits=tf.cast(np.log(shares), tf.float32)
    )
    expected = stats.multinomial(30_000, shares).logpmf(x)
    np.testing.assert_allclose(distribution.log_prob(x), expected, atol=0.02)
    # Of few things the sum's part is exact too.
    one = MultinomialCounts(tf.constant([1.0, 7.0]), logits=tf.zeros([2, 3]))
    x = np.array([[0, 1, 0], [3, 0, 4]], np.float32)
    expected = [
        stats.multinomial(n, [1 / 3] * 3).logpmf(row) for n, row in zip((1, 7), x, strict=True)
    ]
    np.testing.assert_allclose(one.log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_means_are_the_shares_of_the_library(kind):
    layer, params = made(kind)
    shares, losses = shares_of(kind, params)
    mean = layer(params, library=tf.constant(LIBRARY)).mean()
    np.testing.assert_allclose(mean, LIBRARY[:, None] * shares * (1 - losses), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_finite_parameter_has_a_finite_log_probability_and_gradient(kind):
    layer = KINDS[kind](SIZE)
    greatest = np.finfo(np.float32).max
    rows = [np.resize([a, b], layer.num_params) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    for size in (1.0, 100.0, 1e4, greatest):
        params = tf.constant(np.array(rows) * size, tf.float32)
        x = np.tile(np.array([0, 1, 5, 0, 1000, 2], np.float32), (len(rows), 1))
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = layer(params, library=tf.fill([len(rows)], 1008.0)).log_prob(x)
        assert np.isfinite(log_prob).all(), size
        for gradient in tape.gradient(log_prob, [params, *layer.trainable_weights]):
            assert np.isfinite(gradient).all(), size


def test_a_lost_count_is_told_from_a_count_of_zero_where_either_underflows():
    layer = layers.ZeroInflatedNegativeBinomial(1)
    layer(tf.zeros([1, 2]))
    layer.raw_dispersion.assign([50.0])  # theta 2980: nearly Poisson

    def log_zero(logit, library):
        params = tf.constant([[0.0, logit]])
        return float(layer(params, library=tf.constant([library])).log_prob([[0.0]])[0])

    # NB(0) = exp(-theta log(1 + mean / theta)) is 0 in float32: what is left is log pi.
    assert log_zero(-30.0, 1e4) == pytest.approx(-30.0, rel=1e-5)
    # pi = e^-80: what is left is NB(0).
    theta = float(np.exp(8 * np.tanh(50 / 8)))
    assert log_zero(-80.0, 20.0) == pytest.approx(-theta * np.log1p(20 / theta), rel=1e-4)


@pytest.mark.parametrize("mode", ["eager", pytest.param("xla", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_of_the_distribution(kind, mode):
    layer, params = made(kind)
    library = np.array([1, 20, 300, 5000], np.float32)
    # A graph does not know how many things there are, and sorts 2^16 of each row.
    num = 60 if (kind, mode) == ("multinomial", "xla") else 500

    def draws():
        noise = RowNoise.of_seed(0, 4)
        return draw(layer(params, library=tf.constant(library)), noise, num_samples=num)

    drawn = MODES[mode](draws)().numpy().astype(np.float64)
    assert drawn.shape == (num, 4, SIZE)
    np.testing.assert_array_equal(drawn, np.round(drawn))
    shares, losses = shares_of(kind, params)
    mean = library[:, None] * shares
    if kind == "multinomial":
        np.testing.assert_array_equal(drawn.sum(-1), np.tile(library, (num, 1)))
        family, seen = stats.binom(library[:, None], shares), 1.0
    elif kind == "Poisson":
        family, seen = stats.poisson(mean), 1.0
    else:
        family, seen = stats.nbinom(THETA, THETA / (THETA + mean)), 1.0 - losses
    # Means to five of their standard errors, and shares at or below a count to five of theirs.
    variance = seen * (family.var() + family.mean() ** 2) - (seen * family.mean()) ** 2
    error = np.sqrt(variance / num)
    assert np.all(np.abs(drawn.mean(0) - seen * family.mean()) < 5 * error + 1e-9)
    for count in (0.0, family.median(), np.floor(family.mean() + family.std())):
        expected = (1 - seen) + seen * family.cdf(count)
        error = np.sqrt(expected * (1 - expected) / num)
        # Few of many, or all but few: a share of one in `num` beside it.
        assert np.all(np.abs((drawn <= count).mean(0) - expected) < 5 * error + 2 / num)


def test_draws_of_many_things_are_those_of_a_multinomial():
    shares = np.array([0.5, 0.3, 0.2], np.float32)
    distribution = MultinomialCounts(tf.constant([50_000.0]), logits=np.log([shares]))
    drawn = draw(distribution, RowNoise.of_seed(0, 1), num_samples=200)[:, 0].numpy()
    np.testing.assert_array_equal(drawn.sum(-1), 50_000)
    covariance = 50_000 * (np.diag(shares) - np.outer(shares, shares))
    error = np.sqrt(np.diag(covariance) / 200)
    assert np.all(np.abs(drawn.mean(0) - 50_000 * shares) < 5 * error)
    # The standard error of a variance is sqrt(2 / 200) of it, of a covariance no more.
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < 5 * np.sqrt(2 / 200) * spread)


def test_a_library_that_is_too_large_to_draw_is_told():
    layer, params = made("multinomial")
    many = layer(params[:1], library=tf.constant([70_000.0]))
    noise = RowNoise.of_seed(0, 1)
    with pytest.raises(ValueError, match=r"at most 65,536 things. Received: a library of 70,000"):
        draw(many, noise)

    @tf.function
    def in_a_graph(library):
        return draw(layer(params[:2], library=library), RowNoise.of_seed(0, 2))

    received = in_a_graph(tf.constant([70_000.0, 10.0]))
    assert np.isnan(received[0]).all() and received[1].numpy().sum() == 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("library", "received"),
    [
        ([3.0, 0.0, 1.0, -2.0], "must hold positive numbers: .* Received: 0."),
        (np.int32([3, 1, 1, -2]), "must hold positive numbers: .* Received: -2."),
        (float("nan"), "must hold positive numbers: .* Received: nan."),
        ([3.0, 1.0, 1.0, float("inf")], "must hold positive numbers: .* Received: inf."),
        (
            [3.0, 1.0],
            r"a number for each row, or be one for all. Received: shape \(2,\) for 4 rows",
        ),
        (
            [[3.0]] * 4,
            r"a number for each row, or be one for all. Received: shape \(4, 1\) for 4 rows",
        ),
        ("many", "`library` must be an array of numbers. Received: library='many'"),
    ],
)
def test_a_library_that_cannot_be_is_told(kind, library, received):
    layer, params = made(kind)
    with pytest.raises(ValueError, match=received) as told:
        layer(params, library=library)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_in_a_graph_the_row_of_a_library_that_cannot_be_is_nan_and_others_are_not(kind, mode):
    layer, params = made(kind)
    params = np.repeat(params[:1], 5, axis=0)

    @MODES[mode]
    def mean(library):
        return layer(params, library=library).mean()

    received = mean(tf.constant([0.0, 7.0, -7.0, np.nan, np.inf]))
    assert np.isnan(received.numpy()).all(axis=1).tolist() == [True, False, True, True, True]
    np.testing.assert_allclose(received[1], layer(params, library=7).mean()[1], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.01, 3.0, 2e3, 9e4, 3e5, 4e6])
def test_draws_of_a_poisson_of_any_rate_fit_its_distribution_function(rate):
    layer = layers.Poisson(500)
    params = layer(tf.zeros([1, 500]), library=tf.constant([500 * rate]))
    drawn = draw(params, RowNoise.of_seed(0, 1)).numpy()[0].astype(np.float64)
    # The distribution function of a count, at a random place within its step, is uniform.
    generator = np.random.default_rng(0)
    family = stats.poisson(500 * float(np.float32(rate * 500) / 500) / 500)
    below, above = family.cdf(drawn - 1), family.cdf(drawn)
    assert stats.kstest(below + generator.random(500) * (above - below), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_starts_at_the_mean_of_the_data_and_at_their_library(kind):
    layer = KINDS[kind](SIZE)
    mean = tf.constant([0.0, 1.0, 2.0, 30.0, 4.0, 5.5])
    params = layer.params_of(mean, tf.sqrt(mean))[None]
    layer(params)
    layer.start_at(mean, tf.sqrt(mean))
    total = 42.0 if kind == "multinomial" else 42.5  # whole things alone are drawn
    seen = special.expit(3.0) if kind == "zero-inflated" else 1.0
    shares = (mean + 0.0425 / 6) / (42.5 + 0.0425)
    np.testing.assert_allclose(layer(params).mean()[0], total * seen * shares, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_saved_and_say_what_they_are_over(kind):
    layer, params = made(kind)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is KINDS[kind] and again.event_shape == (SIZE,)
    assert again.observation == layer.observation and layer.observation.key == "counts"
    # Where Keras needs a tensor, it is the mean.
    np.testing.assert_array_equal(np.asarray(layer(params)), layer(params).mean())
