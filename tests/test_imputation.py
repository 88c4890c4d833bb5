"""Values that were not seen: against closed forms, quadrature and NumPy, and through servers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import zoo
from tests.small_models import a_table, mlp
from zoo import layers, networks
from zoo.evaluation.imputation import hidden_cells, hide_cells
from zoo.inference.handlers import FromPosterior
from zoo.models.imputation import interval_of
from zoo.random import RowNoise
from zoo.serving import check, export

C, SCALE = 5, 0.5
GENERATOR = np.random.default_rng(0)
LOADINGS = GENERATOR.normal(size=(2, C)).astype(np.float32)
BIAS = GENERATOR.normal(size=C).astype(np.float32)
GAPS = np.array([[0, 0, 1, 0, 1], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
X = np.where(GAPS, np.nan, GENERATOR.normal(size=GAPS.shape)).astype(np.float32)
MIXED = ["normal", ("categorical", 3), "student_t", "bernoulli", ("mixture", 2), "log_normal"]


def zeros(size):
    """An encoder by which q is the prior."""
    return keras.layers.Dense(size, kernel_initializer="zeros")


def linear(likelihood=None, **kwargs):
    """p(x|z) = N(W z + b, SCALE^2)."""
    posterior = layers.DiagonalNormal(2)
    decoder = keras.layers.Dense(C)
    model = zoo.VAE(
        zeros(posterior.num_params),
        decoder,
        posterior,
        layers.Normal(C, scale=SCALE) if likelihood is None else likelihood,
        observation=zoo.observations.Vector(C, missing=True),
        **kwargs,
    )
    decoder.set_weights([LOADINGS, BIAS])
    model.compile("adam", jit_compile=False)
    return model


def conditional(row):
    """Mean and covariance of the gaps of a row given what was seen."""
    gaps = np.isnan(row)
    covariance = LOADINGS.T @ LOADINGS + SCALE**2 * np.eye(C)
    across = covariance[np.ix_(gaps, ~gaps)] @ np.linalg.inv(covariance[np.ix_(~gaps, ~gaps)])
    mean = BIAS[gaps] + across @ (row - BIAS)[~gaps]
    return mean, covariance[np.ix_(gaps, gaps)] - across @ covariance[np.ix_(~gaps, gaps)]


def mixed(columns=MIXED, model=zoo.VAE, **kwargs):
    keras.utils.set_random_seed(0)
    posterior, likelihood = layers.DiagonalNormal(2), layers.Columns(columns, least_scale=0.1)
    return model(
        mlp(posterior.num_params), mlp(likelihood.num_params), posterior, likelihood, **kwargs
    )


def rows_of(model, num_rows=7):
    rows = np.array(model.sample(num_rows, seed=3))
    rows[np.random.default_rng(1).random(rows.shape) < 0.4] = np.nan
    return rows


def test_imputation_of_a_linear_model_is_that_of_its_normal_distribution():
    num_draws = 1999
    *filled, draws, probabilities = linear().impute(X, 20_000, draws=num_draws)
    imputed, lower, upper = (np.asarray(values) for values in filled)
    draws = np.stack(draws)
    np.testing.assert_array_equal(np.isnan(probabilities), True)
    for i, gaps in enumerate(GAPS):
        mean, covariance = conditional(X[i].astype(np.float64))
        scale = np.sqrt(np.diag(covariance))
        # At least 300 of 20,000 samples count.
        np.testing.assert_array_less(np.abs(imputed[i, gaps] - mean), 4 * scale / np.sqrt(300))
        # The probability beyond an order statistic has this deviation.
        error = 4 * np.sqrt(0.05 * 0.95 / num_draws) + 4 * 0.2 / np.sqrt(300)
        np.testing.assert_allclose(stats.norm.cdf(lower[i, gaps], mean, scale), 0.05, atol=error)
        np.testing.assert_allclose(stats.norm.cdf(upper[i, gaps], mean, scale), 0.95, atol=error)
        # Draws of one row belong together.
        expected = np.cov(draws[:, i, gaps].T).reshape(covariance.shape)
        np.testing.assert_allclose(expected, covariance, atol=0.25 * scale.max(initial=0) ** 2)
        for values in (imputed, lower, upper, *draws[:3]):
            np.testing.assert_array_equal(values[i][~gaps], X[i][~gaps])


def test_a_class_is_the_most_probable_one():
    """By quadrature over z."""
    model = zoo.VAE(
        zeros(2),
        networks.MLP((8,), 3 + 2, "tanh"),
        layers.DiagonalNormal(1),
        layers.Columns([("categorical", 3), "normal"]),
    )
    # Columns before it of another kind: places are not those of groups.
    x = np.array([[np.nan, -1.0], [np.nan, 2.0], [2.0, np.nan], [np.nan, np.nan]], np.float32)
    model.decoder.set_weights([2.0 * weights for weights in model.decoder.get_weights()])
    imputed, lower, upper, draws, probabilities = model.impute(x, 5000, draws=2000, seed=1)
    z = np.linspace(-6, 6, 4001)
    params = np.asarray(model.decoder(z[:, None].astype(np.float32)), np.float64)
    weights = stats.norm.pdf(z)
    probs = special.softmax(params[:, :3], axis=-1)
    density = stats.norm(params[:, 3], np.exp(8 * np.tanh(params[:, 4] / 8))).pdf
    for i, seen in enumerate((density(-1.0), density(2.0), None, np.ones_like(z))):
        if seen is None:
            continue
        expected = (weights * seen) @ probs / (weights @ seen)
        assert imputed[i, 0] == lower[i, 0] == upper[i, 0] == expected.argmax()
        # 4 standard errors of 1,000 samples.
        np.testing.assert_allclose(probabilities[i, 0], expected.max(), atol=4 * 0.5 / 1000**0.5)
        share = np.bincount(np.stack(draws)[:, i, 0].astype(int), minlength=3) / 2000
        np.testing.assert_allclose(share, expected, atol=4 * 0.5 * (2000**-0.5 + 1000**-0.5))
    assert imputed[2, 0] == 2.0 and probabilities[2, 0] == 1.0
    mean = (weights * probs[:, 2]) @ params[:, 3] / (weights @ probs[:, 2])
    np.testing.assert_allclose(imputed[2, 1], mean, atol=0.1)


def test_a_row_is_a_function_of_what_was_seen_of_it_and_of_its_number():
    model = mixed()
    model.compile("adam", run_eagerly=True)
    rows = rows_of(model)
    whole = model.impute(rows, 70, draws=3)
    others = rows.copy()
    others[0] = others[-1] = 1.0
    for part in (model.impute(rows[:5], 70, draws=2), model.impute(others, 70, draws=3)):
        for each, expected in zip(part[:3] + part.draws, whole[:3] + whole.draws[:2], strict=False):
            np.testing.assert_allclose(each[1:5], expected[1:5], rtol=1e-4, atol=1e-5)
    other = model.impute(rows, 70, seed=1)
    assert np.abs(other.lower - whole.lower).max() > 1e-3
    # The first samples are those of fewer: one, in one chunk, is the mean of p(x|z) itself.
    data = model.as_data(rows)
    z = model.run(FromPosterior(RowNoise.of_seed(0, len(rows)), 1), data).z[0]
    expected = np.where(np.isnan(rows), np.asarray(model.decode(z).mean()), rows)
    np.testing.assert_allclose(model.impute(rows, 1).imputed, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_xla_a_graph_and_a_served_model_fill_as_python_does(tmp_path):
    model = mixed(MIXED[:4])
    rows = rows_of(model)
    model.compile("adam", run_eagerly=True)
    eager = model.impute(rows, 64, draws=2, seed=5)
    model.compile("adam", jit_compile=True)
    compiled = model.impute(rows, 64, draws=2, seed=5)
    graph = tf.function(lambda x: model.impute(x, 64, draws=2, seed=5), autograph=False)(rows)
    for other in (compiled, graph):
        for a, b in zip(tf.nest.flatten(eager), tf.nest.flatten(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    directory = export(model, tmp_path / "served")
    findings = list(check(directory))
    assert [finding for finding in findings if finding.problem is not None] == []
    assert any(finding.check.startswith("impute:") for finding in findings)
    served = tf.saved_model.load(str(directory)).signatures["impute"]
    seed = np.stack([np.full(7, 5), np.arange(7)], axis=-1).astype(np.int32)
    answer = served(rows=tf.constant(rows), seed=tf.constant(seed))
    assert set(answer) == {"imputed", "lower", "upper"}
    for name, values in answer.items():
        np.testing.assert_allclose(values, getattr(eager, name), rtol=1e-4, atol=1e-4)


def test_what_was_seen_stays_to_the_bit_in_the_type_of_the_user():
    model = linear()
    rows = X.astype(np.float64) + 1e-12
    filled = model.impute(rows, 8)
    assert filled.imputed.dtype == tf.float64 and filled.draws == ()
    np.testing.assert_array_equal(np.asarray(filled.imputed)[~GAPS], rows[~GAPS])
    complete = np.ones((2, C), int)
    np.testing.assert_array_equal(model.impute({"vector": complete}, 8).upper, complete)


@pytest.mark.parametrize(("interval", "rank"), [(0.9, 50), (0.5, 250), (0.001, 499), (0.9999, 1)])
def test_the_ends_of_an_interval_are_order_statistics(interval, rank):
    draws = np.random.default_rng(0).normal(size=(999, 2, 3)).astype(np.float32)
    lower, upper = interval_of(tf.constant(draws), interval)
    ordered = np.sort(draws, axis=0)
    np.testing.assert_array_equal(lower, ordered[rank - 1])
    np.testing.assert_array_equal(upper, ordered[999 - rank])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, r"`num_samples` must be a positive integer. Received: num_samples=0"),
        ({"draws": -1}, r"`draws` must be a non-negative integer. Received: draws=-1"),
        ({"interval": 1.0}, r"`interval` must be a number between 0 and 1. .* interval=1.0"),
        ({"interval": "wide"}, r"Received: interval='wide'"),
        ({"seed": -1}, r"Received: seed=-1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear().impute(X, **arguments)


def test_what_has_no_gaps_cannot_be_imputed(make_vae, images):
    model = make_vae()
    with pytest.raises(ValueError, match=r"may have gaps: pass .* Received: a model of Image"):
        model.impute(images)
    assert "impute" not in model.answers()
    with pytest.raises(ValueError, match=r"Received: a model of Image without"):
        make_vae(objective=zoo.objectives.MIWAE())


# -- Tables, data, numbers, pictures


def test_the_gaps_of_a_data_frame_are_filled_by_values_of_its_columns():
    pd = pytest.importorskip("pandas")
    from zoo.models.table_vae import table_vae

    frame = pd.DataFrame(
        {
            "wage": [1.1, 2.2, None, 3.3, 0.1, 5.0],
            "job": ["cook", None, "vet", "vet", "cook", None],
            "since": pd.to_datetime(["2020-01-01", None, "2021-05-05", "2020-03-04", None, None]),
            "smokes": [True, False, True, True, False, False],
            "country": ["FR"] * 6,
            "unknown": [None] * 6,
        },
        index=range(3, 9),
    )
    known = frame.drop(columns="unknown")
    model = table_vae(zoo.observations.Table.of(known), hidden_units=(4,))
    model.compile("adam", run_eagerly=True)
    filled = model.impute(frame, 8, draws=2)
    for each in (filled.imputed, filled.lower, filled.upper, *filled.draws):
        assert list(each.columns) == list(frame.columns)
        assert each["unknown"].isna().all()
        assert each[known.columns].notna().all().all()
        assert set(each["job"]) <= {"cook", "vet"}
        for name in known:
            seen = known[name].notna().to_numpy()
            assert each[name][seen].tolist() == known[name][seen].tolist()
            assert each[name].dtype == known[name].dtype


def test_the_mask_is_that_of_the_authors_notebook():
    numbers, _ = pytest.importorskip("sklearn.datasets").load_breast_cancer(return_X_y=True)
    complete = (numbers - np.mean(numbers, 0)) / np.std(numbers, 0)
    # As there.
    np.random.seed(1234)
    n, p = complete.shape
    flat = np.copy(complete).flatten()
    flat[np.random.choice(n * p, np.floor(n * p * 0.5).astype(int), replace=False)] = np.nan
    examples = zoo.data.load("breast_cancer_half_missing_1234", "all")
    np.testing.assert_array_equal(examples["vector"], flat.reshape(n, p).astype(np.float32))
    np.testing.assert_array_equal(examples["complete"], complete.astype(np.float32))
    other = zoo.data.load("breast_cancer_half_missing_0", "all[:100]")["vector"]
    assert other.shape == (100, 30) and np.isnan(other).mean() == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match=r"no split 'test'. Its splits are all"):
        zoo.data.load("breast_cancer_half_missing_0", "test")


def test_error_and_coverage_are_those_of_the_hidden_cells(tmp_path):
    model = linear()
    generator = np.random.default_rng(5)
    z, noise = generator.normal(size=(200, 2)), generator.normal(size=(200, C))
    complete = (z @ LOADINGS + BIAS + SCALE * noise).astype(np.float32)
    hidden = generator.random(complete.shape) < 0.3
    rows = np.where(hidden, np.nan, complete)
    examples = {"vector": rows, "complete": complete}
    numbers = zoo.evaluate(model, examples, num_samples=500, verbose=0)
    filled = model.impute(rows, 500)
    errors = np.where(hidden, np.asarray(filled.imputed) - complete, 0.0).astype(np.float64) ** 2
    mse = numbers["imputation_mse"]
    np.testing.assert_allclose(mse["value"], errors.sum() / hidden.sum(), rtol=1e-5)
    assert mse["num_cells"] == hidden.sum() and mse["num_examples"] == 200
    # Of the true model it is the variance that is left, and intervals hold what they say.
    expected = np.concatenate([np.diag(conditional(row)[1]) for row in rows])
    np.testing.assert_allclose(mse["value"], expected.mean(), atol=4 * mse["stderr_examples"])
    coverage = numbers["interval_coverage"]
    np.testing.assert_allclose(coverage["value"], 0.9, atol=4 * coverage["stderr_examples"] + 0.01)
    zoo.plots.pictures(model, examples, tmp_path)
    assert (tmp_path / "imputations.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("complete", "message"),
    [
        (np.zeros((3, C)), r"Received: 3 complete rows for 4"),
        (X, r"judged by hidden cells of columns of numbers. Received: 4 rows without"),
    ],
)
def test_an_imputation_needs_hidden_cells_to_be_judged(complete, message):
    with pytest.raises(ValueError, match=message):
        hidden_cells(linear(), X, complete)


def a_table_of_numbers_and_texts(**kinds):
    frame = a_table(40)
    frame["wage"] = 100 + 3 * frame["age"]
    frame.loc[::7, "wage"] = np.nan
    return frame, zoo.Table.of(frame, kinds)


def test_cells_are_hidden_where_numbers_were_seen():
    frame, table = a_table_of_numbers_and_texts()
    hidden, number = hide_cells(table, frame, share=0.25, seed=1)
    # 40 ages and 34 wages were seen; what is 0 or 1 alone is a class.
    assert number == round(0.25 * (40 + 34))
    assert int(hidden.isna().sum().sum()) == number + 6
    np.testing.assert_array_equal(hidden[["job", "ill"]], frame[["job", "ill"]])
    assert hidden.where(hidden.notna()).equals(frame.where(hidden.notna()))
    again, _ = hide_cells(table, frame, share=0.25, seed=1)
    other, _ = hide_cells(table, frame, share=0.25, seed=2)
    assert again.equals(hidden) and not other.equals(hidden)
    rows, number = hide_cells(zoo.observations.Vector(C, missing=True), X, share=0.001)
    assert number == 1 and np.isnan(rows).sum() == GAPS.sum() + 1
    mixed_rows = np.array([[0.5, 2.0], [np.nan, 1.0]], np.float32)
    rows, number = hide_cells(zoo.observations.Rows(["real", ("class", 3)]), mixed_rows, share=1.0)
    np.testing.assert_array_equal(rows, [[np.nan, 2.0], [np.nan, 1.0]])
    texts = frame[["job"]]
    assert hide_cells(zoo.Table.of(texts), texts)[1] == 0


@pytest.mark.parametrize("kind", ["real", "modes", "positive"])
def test_cells_of_a_table_are_in_standard_deviations_of_their_column(kind):
    frame, table = a_table_of_numbers_and_texts(age=kind)
    posterior, likelihood = layers.DiagonalNormal(2), layers.Columns.of(table)
    model = zoo.VAE(
        mlp(posterior.num_params),
        mlp(likelihood.num_params),
        posterior,
        likelihood,
        observation=table,
    )
    model.compile(run_eagerly=True)
    hidden, number = hide_cells(table, frame, seed=1)
    cells = hidden_cells(model, hidden, frame, num_samples=8)
    assert len(cells.truth) == number
    filled = model.impute(hidden, 8).imputed
    expected = {"truth": [], "imputed": []}
    for row, column in np.argwhere(hidden.isna() & frame.notna()):
        name = frame.columns[column]
        loc, scale = frame[name].mean(), frame[name].std(ddof=0)
        expected["truth"].append((frame[name][row] - loc) / scale)
        expected["imputed"].append((filled[name][row] - loc) / scale)
    np.testing.assert_allclose(np.sort(cells.truth), np.sort(expected["truth"]), rtol=1e-5)
    np.testing.assert_allclose(np.sort(cells.imputed), np.sort(expected["imputed"]), rtol=1e-5)


# -- Objectives


def reference(model, trace, x):
    """log p(x_observed|z) + log p(z) - log q(z) of the linear model: [S, B]."""
    z = np.asarray(trace["z"].z, np.float64)
    observed = ~np.isnan(x)
    of_x = stats.norm(z @ LOADINGS + BIAS, SCALE).logpdf(np.where(observed, x, 0.0))
    q = model.encode(x)
    of_z = stats.norm.logpdf(z) - stats.norm(np.asarray(q.loc), np.asarray(q.stddev())).logpdf(z)
    return (of_x * observed).sum(-1) + of_z.sum(-1)


def losses(model, x, noise):
    batch = model.as_data(x)
    loss, trace = model.objective.loss(model, batch, noise)
    return np.asarray(loss), trace


def test_miwae_bounds_what_was_seen():
    model = linear(objective=zoo.objectives.MIWAE(7))
    loss, trace = losses(model, X, RowNoise.of_seed(0, len(X)))
    expected = special.logsumexp(reference(model, trace, X), axis=0) - np.log(7)
    np.testing.assert_allclose(loss, -expected, rtol=1e-5, atol=1e-5)
    assert loss[3] == pytest.approx(0.0, abs=1e-6)  # nothing was seen


def not_miwae(likelihood=None, **kwargs):
    posterior = layers.DiagonalNormal(2)
    decoder = keras.layers.Dense(C)
    likelihood = layers.Normal(C, scale=SCALE) if likelihood is None else likelihood
    model = zoo.NotMIWAE(
        zeros(posterior.num_params),
        decoder if likelihood.num_params == C else keras.layers.Dense(likelihood.num_params),
        posterior,
        likelihood,
        **{"observation": zoo.observations.Vector(C, missing=True), **kwargs},
    )
    return model


def test_not_miwae_bounds_what_was_seen_and_which():
    model = not_miwae(missing_model=layers.SelfMasking("high"), objective=zoo.objectives.MIWAE(7))
    model.decoder.set_weights([LOADINGS, BIAS])
    raw_slope, threshold = GENERATOR.normal(size=(2, C)).astype(np.float32)
    model.missing_model.set_weights([raw_slope, threshold])
    loss, trace = losses(model, X, RowNoise.of_seed(0, len(X)))
    filled = np.where(GAPS, np.asarray(trace["missing"].z), np.nan_to_num(X))
    logits = -np.logaddexp(0, raw_slope) * (filled - threshold)
    of_mask = stats.bernoulli(special.expit(logits)).logpmf(~GAPS + np.zeros_like(filled)).sum(-1)
    weights = reference(model, trace, X) + of_mask
    expected = special.logsumexp(weights, axis=0) - np.log(7)
    np.testing.assert_allclose(loss, -expected, rtol=1e-4, atol=1e-4)
    # Gradients reach the missing model and, through the values drawn, the decoder.
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(
            model.objective.loss(model, model.as_data(X), RowNoise.of_seed(0, 4))[0]
        )
    assert all(np.abs(g).max() > 0 for g in tape.gradient(loss, model.trainable_weights))
    # Values are filled by the same weights.
    model.compile("adam", run_eagerly=True)
    filled = model.impute(X, 7)
    shares = special.softmax(weights, axis=0)
    expected = np.where(GAPS, (shares[..., None] * np.asarray(trace["missing"].z)).sum(0), X)
    np.testing.assert_allclose(filled.imputed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_not_miwae_goes_the_way_of_every_other(tmp_path):
    model = mixed(
        ["normal", "student_t", "log_normal"],
        zoo.NotMIWAE,
        missing_model=layers.SelfMasking(),
        objective=zoo.objectives.MIWAE(3),
    )
    rows = rows_of(model)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=True)
    history = model.fit(rows, batch_size=4, epochs=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.impute(rows, 8)[:3], loaded.impute(rows, 8)[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    numbers = zoo.evaluate(model, rows, num_samples=8, verbose=0)
    assert numbers["active_units"]["of"] == 2
    findings = check(export(model, tmp_path / "served"))
    assert [finding for finding in findings if finding.problem is not None] == []


def test_gradients_through_a_student_t_are_finite_at_every_uniform_number():
    """A uniform number of 0 comes by once in 17 million draws."""
    from zoo.layers import independent_columns

    class OfZeros(RowNoise):
        def uniform(self, stream, shape, num_samples=None, first_sample=0):
            return tf.zeros([len(self.rows), *shape])

    freedom = tf.Variable([[4.0]])
    with tf.GradientTape() as tape:
        student = independent_columns.tfd.StudentT(freedom, 0.0, 1.0)
        drawn = independent_columns.draw_kind(student, (1,), OfZeros(0, 0, tf.range(1)), 2, None, 0)
    assert drawn.numpy().item() == 0.0 and np.isfinite(tape.gradient(drawn, freedom)).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"missing_model": 3}, r"`missing_model` must be a network, .* missing_model=3"),
        (
            {"observation": zoo.observations.Vector(C)},
            r"may have gaps: pass .* Received: a model of Vector without",
        ),
        (
            {"likelihood": layers.Columns(["normal"] * 4 + [("categorical", 3)])},
            r"averaged, which classes cannot be. Received: Columns with columns of classes",
        ),
        (
            {"likelihood": layers.Columns(["normal"] * 4 + ["bernoulli"])},
            r"MIWAE differentiates through the draw of missing",
        ),
    ],
)
def test_what_not_miwae_is_not_for_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        not_miwae(**{"missing_model": layers.SelfMasking(), **kwargs})


def test_an_unknown_kind_of_masking_is_refused():
    with pytest.raises(ValueError, match=r"`hidden` must be .* Received: hidden='tall'"):
        layers.SelfMasking("tall")


@pytest.mark.slow
def test_not_miwae_fills_what_hides_itself_better_than_miwae():
    """Ipsen et al. 2021, table 1, in small: of half of the columns, values above the mean are
    hidden."""
    generator = np.random.default_rng(0)
    complete = generator.normal(size=(1000, 2)) @ generator.normal(size=(2, 6))
    complete += 0.3 * generator.normal(size=complete.shape)
    complete = (complete / complete.std(axis=0)).astype(np.float32)
    rows = complete.copy()
    rows[:, :3][complete[:, :3] > 0] = np.nan
    errors = {}
    for model, others in (
        (zoo.VAE, {"objective": zoo.objectives.MIWAE()}),
        (zoo.NotMIWAE, {"missing_model": layers.SelfMasking("high")}),
    ):
        keras.utils.set_random_seed(0)
        posterior, likelihood = layers.DiagonalNormal(2), layers.Normal(6, scale="shared")
        built = model(
            networks.MLP((64,), posterior.num_params, "tanh"),
            keras.layers.Dense(6),
            posterior,
            likelihood,
            observation=zoo.observations.Vector(6, missing=True),
            **others,
        )
        built.compile(keras.optimizers.Adam(3e-3), jit_compile=True)
        built.fit(rows, batch_size=50, epochs=150, verbose=0)
        imputed = np.asarray(built.impute(rows).imputed)
        errors[model] = np.sqrt(np.mean((imputed - complete)[np.isnan(rows)] ** 2))
    assert errors[zoo.NotMIWAE] < 0.7 * errors[zoo.VAE], errors
