"""Columns of mixed kinds: each against SciPy, and all of them through the paths of a VAE."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import zoo
from tests.small_models import mlp
from zoo import layers
from zoo.evaluation import evaluate
from zoo.random import RowNoise, Stream, draw
from zoo.serving import check, export

MIXED = [
    "normal",
    ("categorical", 3),
    "student_t",
    "log_normal",
    "bernoulli",
    "poisson",
    ("mixture", 2),
    "negative_binomial",
    "normal",
    ("categorical", 3),
]
ROWS = 7
SHORT = range(5)  # quantiles of counts take long to compile


def scale(raw):
    return np.exp(8 * np.tanh(raw / 8))


def of_scipy(kind, p, least=0.0):
    """The distribution of one column with parameters p [P]."""
    if kind == "normal":
        return stats.norm(p[0], least + scale(p[1]))
    if kind == "student_t":
        return stats.t(3 + np.logaddexp(0, p[2]), p[0], least + scale(p[1]))
    if kind == "log_normal":
        return stats.lognorm(least + scale(p[1]), scale=np.exp(p[0]))
    if kind == "bernoulli":
        return stats.bernoulli(special.expit(p[0]))
    if kind == "poisson":
        return stats.poisson(scale(p[0]))
    if kind == "negative_binomial":
        mean, theta = scale(p[0]), scale(p[1])
        return stats.nbinom(theta, theta / (theta + mean))
    if kind == ("categorical", 3):
        return stats.rv_discrete(values=(range(3), special.softmax(p)))
    assert kind == ("mixture", 2)
    weights = special.softmax(p[:2])
    return Mixture(weights, [stats.norm(p[2 + i], least + scale(p[4 + i])) for i in range(2)])


class Mixture:
    def __init__(self, weights, parts):
        self.weights, self.parts = weights, parts

    def pdf(self, x):
        return sum(w * part.pdf(x) for w, part in zip(self.weights, self.parts, strict=True))

    def cdf(self, x):
        return sum(w * part.cdf(x) for w, part in zip(self.weights, self.parts, strict=True))

    def logpdf(self, x):
        return np.log(self.pdf(x))

    def mean(self):
        return sum(w * part.mean() for w, part in zip(self.weights, self.parts, strict=True))


def parameters_of(layer, params):
    """[B, P] -> list of [B, P of a column]."""
    sizes = [layers.Columns.params_size([column]) for column in MIXED]
    return np.split(params, np.cumsum(sizes)[:-1], axis=-1)


def made_up():
    generator = np.random.default_rng(0)
    layer = layers.Columns(MIXED, least_scale=0.1)
    params = generator.normal(size=(ROWS, layer.num_params)).astype(np.float32)
    x = np.stack(
        [
            generator.normal(size=ROWS),
            generator.integers(0, 3, ROWS),
            generator.normal(size=ROWS),
            generator.lognormal(size=ROWS),
            generator.integers(0, 2, ROWS),
            generator.poisson(2.0, ROWS),
            generator.normal(size=ROWS),
            generator.poisson(4.0, ROWS),
            generator.normal(size=ROWS),
            generator.integers(0, 3, ROWS),
        ],
        axis=-1,
    ).astype(np.float32)
    return layer, params, x


def expected_log_prob(layer, params, x):
    """[B, C]"""
    columns = []
    for i, (kind, p) in enumerate(zip(MIXED, parameters_of(layer, params), strict=True)):
        parts = [of_scipy(kind, row, layer.least_scale) for row in p.astype(np.float64)]
        logs = [
            d.logpdf(v) if hasattr(d, "logpdf") else d.logpmf(v)
            for d, v in zip(parts, x[:, i].astype(np.float64), strict=True)
        ]
        columns.append(logs)
    return np.stack(columns, axis=-1)


def test_log_probabilities_are_those_of_scipy():
    layer, params, x = made_up()
    expected = expected_log_prob(layer, params, x)
    distribution = layer(params)
    assert distribution.event_shape == (len(MIXED),) and distribution.batch_shape == (ROWS,)
    np.testing.assert_allclose(distribution.log_prob_of_columns(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(distribution.log_prob(x), expected.sum(-1), rtol=1e-5)
    observed = np.random.default_rng(1).integers(0, 2, x.shape).astype(np.float32)
    # What stands where nothing was seen is of no matter, nor is its gradient.
    x = np.where(observed, x, 0.0)
    with tf.GradientTape() as tape:
        variable = tf.Variable(params)
        counted = layer(variable).log_prob(x, observed=observed)
    np.testing.assert_allclose(counted, (expected * observed).sum(-1), rtol=1e-5)
    assert np.isfinite(tape.gradient(counted, variable)).all()


def test_means_are_those_of_scipy_and_of_a_class_the_most_probable():
    layer, params, _ = made_up()
    means = np.asarray(layer(params).mean())
    for i, (kind, p) in enumerate(zip(MIXED, parameters_of(layer, params), strict=True)):
        for row in range(ROWS):
            expected = (
                p[row].argmax()
                if kind == ("categorical", 3)
                else of_scipy(kind, p[row].astype(np.float64), layer.least_scale).mean()
            )
            np.testing.assert_allclose(means[row, i], expected, rtol=1e-4)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_draws_have_the_distribution_function_of_scipy(jit):
    layer, params, _ = made_up()

    @tf.function(jit_compile=jit, autograph=False)
    def sample(params):
        noise = RowNoise(3, 0, tf.range(1), jit=False)
        return draw(layer(params), noise, Stream.PIXEL, 4000)

    draws = np.asarray(sample(params[:1]))[:, 0]  # [S, C]
    for i, (kind, p) in enumerate(zip(MIXED, parameters_of(layer, params), strict=True)):
        distribution = of_scipy(kind, p[0].astype(np.float64), layer.least_scale)
        if hasattr(distribution, "pdf") and not hasattr(distribution, "pmf"):
            assert stats.kstest(draws[:, i], distribution.cdf).pvalue > 1e-3, kind
            continue
        values, counts = np.unique(draws[:, i], return_counts=True)
        np.testing.assert_allclose(
            counts / 4000, distribution.pmf(values), atol=4 * 0.5 / np.sqrt(4000), err_msg=str(kind)
        )
    correlation = np.corrcoef(stats.rankdata(draws, axis=0).T)
    assert np.abs(correlation - np.eye(len(MIXED))).max() < 5 / np.sqrt(4000)


def test_a_vae_of_columns_goes_the_way_of_every_other(tmp_path):
    keras.utils.set_random_seed(0)
    likelihood = layers.Columns([MIXED[i] for i in SHORT], least_scale=0.1)
    model = zoo.VAE(mlp(4), mlp(likelihood.num_params), layers.DiagonalNormal(2), likelihood)
    rows = np.tile(made_up()[2][:, SHORT], (5, 1))
    rows[np.random.default_rng(2).random(rows.shape) < 0.2] = np.nan
    model.start_at_data(rows)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=True)
    history = model.fit(rows, batch_size=8, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.likelihood_layer.columns == likelihood.columns
    assert loaded.observation == model.observation == likelihood.observation
    np.testing.assert_array_equal(loaded.log_prob(rows, 5), model.log_prob(rows, 5))
    assert np.isfinite(evaluate(model, rows, num_samples=5, verbose=0)["nll"]["value"])
    sample = np.asarray(model.sample(50, seed=1))
    assert set(np.unique(sample[:, 1])) <= {0.0, 1.0, 2.0} and (sample[:, 3] > 0).all()
    findings = check(export(model, tmp_path / "served"))
    assert [finding for finding in findings if finding.problem is not None] == []


def test_start_at_data_gives_columns_the_mean_of_the_data():
    generator = np.random.default_rng(4)
    kinds = ["normal", "student_t", "log_normal", "bernoulli", "poisson", "negative_binomial"]
    rows = np.stack(
        [
            generator.normal(3, 2, 500),
            generator.normal(-4, 0.5, 500),
            generator.lognormal(1.0, 0.3, 500),
            generator.integers(0, 2, 500),
            generator.poisson(6.0, 500),
            generator.negative_binomial(2, 0.2, 500),
        ],
        axis=-1,
    )
    layer = layers.Columns(kinds)
    moments = layer.observation.moments(rows.astype(np.float32))
    means = layer(layer.params_of(*moments)[None]).mean()[0]
    np.testing.assert_allclose(means, rows.mean(0), rtol=1e-3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("normal", r"`columns` must be a list with the kind of each column"),
        ([], r"`columns` must be a list"),
        (["gamma"], r"A column is one of normal, .* Received: 'gamma'"),
        (["categorical"], r"given as \('categorical', 5\)\. Received: 'categorical'"),
        ([("normal", 2)], r"given as 'normal'\. Received: \('normal', 2\)"),
        ([("categorical", 1)], r"number of a categorical column"),
    ],
)
def test_wrong_columns_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        layers.Columns(columns)


def test_the_encoder_gets_classes_as_one_of_k_and_what_was_seen():
    table = zoo.observations.Rows(["real", ("class", 3), "count"])
    rows = np.array([[0.5, 2.0, 7.0], [np.nan, np.nan, 1.0]], np.float32)
    data = table.as_tensors(rows)
    np.testing.assert_array_equal(
        table.encoder_input(data),
        [[0.5, 0, 0, 1, 7, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0, 1]],
    )
    assert table.encoder_size == 8
    assert zoo.observations.Rows.from_config(table.get_config()) == table


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("real", np.inf, r"Column .0. must hold values that are finite, or NaN\. Received: inf"),
        ("positive", 0.0, "positive, or NaN. Received: 0"),
        ("binary", 0.5, "0 or 1, or NaN. Received: 0.5"),
        ("count", -1.0, "a whole number in 0 ... 16777216, or NaN. Received: -1"),
        (("class", 3), 3.0, "a class 0 ... 2, or NaN. Received: 3"),
    ],
)
def test_values_that_a_column_may_not_hold_are_refused(column, value, message):
    table = zoo.observations.Rows([column])
    rows = np.array([[1.0], [np.nan], [value]], np.float32)
    with pytest.raises(ValueError, match=message):
        table.check(rows)
    stream = tf.data.Dataset.from_tensors(rows).map(table.check_stream)
    with pytest.raises(tf.errors.InvalidArgumentError, match="may not hold|finite"):
        list(stream)
    table.check(rows[:2])


@pytest.mark.parametrize("column", ["text", ("class",), ("class", 1), ("real", 2)])
def test_what_no_column_holds_is_refused(column):
    with pytest.raises(ValueError, match="Received"):
        zoo.observations.Rows([column])
