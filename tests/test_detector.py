"""Detectors of anomalies: scores by closed form, thresholds that keep their word, scikit-learn's
conventions, and what is kept and served."""

import math
import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import zoo
from tests.small_models import a_table
from zoo.detection import conformal
from zoo.evaluation import anomalies
from zoo.models.anomaly_model import column_nats
from zoo.random import RowNoise

SCALE = 0.5


def linear_vae(seed):
    """A VAE of three columns whose posterior is exact, and the density that it is of.

    p(z) = N(0, I), p(x|z) = N(W z + b, s^2 I); the columns of W are orthogonal, so that the
    posterior N(A (x - b), P) with P = (I + W^T W / s^2)^-1 and A = P W^T / s^2 is diagonal.
    """
    generator = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(generator.normal(size=(3, 2)))
    W, b = directions * [1.5, 0.7], generator.normal(size=3)
    P = np.diag(1.0 / (1.0 + np.sum(W**2, axis=0) / SCALE**2))
    A = P @ W.T / SCALE**2
    posterior = zoo.layers.DiagonalNormal(2)
    likelihood = zoo.layers.Columns(["normal"] * 3)
    model = zoo.VAE(
        encoder=keras.layers.Dense(posterior.num_params),
        decoder=keras.layers.Dense(likelihood.num_params),
        posterior=posterior,
        likelihood=likelihood,
        observation=zoo.observations.Vector(3),
    )

    def raw(scale):  # as `bounded_scale` reads it
        return 8.0 * np.arctanh(np.log(scale) / 8.0)

    raw_scales = raw(np.sqrt(np.diag(P)))
    model.encoder.set_weights(
        [np.concatenate([A.T, np.zeros((3, 2))], axis=1), np.concatenate([-A @ b, raw_scales])]
    )
    # A column's location and raw scale lie side by side.
    kernel, bias = np.zeros((2, 3, 2)), np.stack([b, np.full(3, raw(SCALE))], axis=-1)
    kernel[:, :, 0] = W.T
    model.decoder.set_weights([kernel.reshape(2, 6), bias.reshape(6)])
    density = stats.multivariate_normal(b, W @ W.T + SCALE**2 * np.eye(3))
    return model, density, (W, b, P, A)


def expected_columns(seed):
    """E_q[-log p(x_j|z)] of the rows `X3` under `linear_vae(seed)`: nats [6, 3]."""
    _, _, (W, b, P, A) = linear_vae(seed)
    mean = (X3 - b) @ A.T  # of the posterior
    spread = np.diag(W @ P @ W.T)
    return 0.5 * math.log(2 * math.pi * SCALE**2) + ((X3 - b - mean @ W.T) ** 2 + spread) / (
        2 * SCALE**2
    )


X3 = np.random.default_rng(5).normal(size=(6, 3)).astype(np.float32) * 2


# -- The score


def test_score_of_a_linear_model_is_its_density():
    member, density, _ = linear_vae(0)
    model = zoo.AnomalyModel([member])
    np.testing.assert_allclose(model.log_prob(X3, 8), density.logpdf(X3), rtol=1e-4, atol=1e-4)


def test_score_of_two_members_is_the_density_of_their_mixture():
    (one, p, _), (other, q, _) = linear_vae(0), linear_vae(1)
    model = zoo.AnomalyModel([one, other])
    expected = np.logaddexp(p.logpdf(X3), q.logpdf(X3)) - math.log(2)
    np.testing.assert_allclose(model.log_prob(X3, 8), expected, rtol=1e-4, atol=1e-4)
    served = model.importance_weighted_log_prob(X3, RowNoise.of_seed(0, len(X3)), 8)
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-4)


def test_contributions_of_a_linear_model_are_those_of_its_formula():
    model, density, (_, b, P, A) = linear_vae(0)
    num_samples = 4000
    score, columns = column_nats(
        model, model.as_data(X3), RowNoise.of_seed(0, len(X3)), num_samples
    )
    np.testing.assert_allclose(score, -density.logpdf(X3), rtol=1e-4, atol=1e-4)
    mean = (X3 - b) @ A.T  # of the posterior
    # Of a column's nats the standard deviation over z is below 4, so that 4 of the mean's standard
    # errors are 4 * 4 / sqrt(4000).
    np.testing.assert_allclose(columns, expected_columns(0), atol=0.26)
    rest = 0.5 * np.sum(mean**2 + np.diag(P) - 1 - np.log(np.diag(P)), axis=1)  # KL(q || p)
    np.testing.assert_allclose(score - tf.reduce_sum(columns, axis=1), rest, atol=0.4)


def test_contributions_to_the_score_of_a_mixture_are_by_the_members_shares():
    (one, p, _), (other, q, _) = linear_vae(0), linear_vae(1)
    densities = np.stack([p.pdf(X3), q.pdf(X3)])
    shares = densities / densities.sum(axis=0)
    columns = np.stack([expected_columns(0), expected_columns(1)])
    nats, names = anomalies.contributions(zoo.AnomalyModel([one, other]), X3, num_samples=4000)
    np.testing.assert_allclose(nats, np.einsum("mn,mnc->nc", shares, columns), atol=0.26)
    assert names == ["column 0", "column 1", "column 2"]
    alone, _ = anomalies.contributions(one, X3, num_samples=4000)
    np.testing.assert_allclose(alone, expected_columns(0), atol=0.26)


def test_a_column_of_a_table_that_holds_several_numbers_is_one():
    frame = a_table(30)
    table = zoo.Table.of(frame, {"age": "modes"})
    assert len(table.names) > len(table.modelled)
    posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Columns.of(table)
    model = zoo.VAE(
        zoo.networks.MLP((4,), posterior.num_params),
        zoo.networks.MLP((4,), likelihood.num_params),
        posterior,
        likelihood,
        observation=table,
    )
    nats, names = anomalies.contributions(model, frame, seed=3)
    assert names == ["age", "job", "ill"]
    noise = RowNoise(3, 0, tf.range(30))
    _, held = column_nats(model, model.as_data(frame), noise, anomalies.COLUMN_SAMPLES)
    np.testing.assert_allclose(nats[:, 0], held[:, 0] + held[:, 1], rtol=1e-5)
    np.testing.assert_allclose(nats[:, 1:], held[:, 2:], rtol=1e-5)


def test_columns_are_told_apart_by_their_likelihood_alone(make_vae, images):
    assert not anomalies.tells_columns(make_vae())
    with pytest.raises(ValueError, match="`zoo.layers.Columns`. Received: VAE with Bernoulli"):
        anomalies.contributions(make_vae(), images)


# -- Thresholds


def test_conformal_p_values_are_uniform_over_their_places():
    generator = np.random.default_rng(0)
    n, repeats = 19, 4000
    draws = generator.normal(size=(repeats, n + 1))
    p = np.array([conformal.p_values(row[:n], row[n:])[0] for row in draws])
    counts = np.bincount(np.round(p * (n + 1)).astype(int), minlength=n + 2)[1:]
    # Each of 20 places has 200 of 4,000 in expectation, with a standard deviation of 13.8.
    assert abs(counts - repeats / (n + 1)).max() < 4 * 13.8


def test_a_score_is_above_the_threshold_where_its_p_value_is_at_most_the_rate():
    generator = np.random.default_rng(1)
    for n in (5, 19, 20, 38, 39, 99, 200):
        for rate in (0.01, 0.05, 0.1, 0.3):
            calibration = np.round(generator.normal(size=n), 1)  # with ties
            scores = np.round(generator.normal(size=200), 1)
            above = scores > conformal.threshold(calibration, rate)
            p = conformal.p_values(calibration, scores)
            np.testing.assert_array_equal(above, p <= rate + 1e-9)


def test_calibration_takes_as_many_rows_as_meet_the_rate_on_average():
    assert conformal.calibration_size(500, 0.2, 399, 0.05) == 99
    assert conformal.calibration_size(10_000, 0.2, 399, 0.05) == 399
    assert conformal.calibration_size(150, 0.2, 399, 0.05) == 19
    assert conformal.calibration_size(40, 0.2, 399, 0.05) == 8  # no alarm can be given


# -- The detector


def normal_rows(num_rows, seed=0):
    """Four columns that depend on each other."""
    generator = np.random.default_rng(seed)
    z = generator.normal(size=(num_rows, 2))
    loadings = np.array([[1.0, 2.0, 0.0, 30.0], [0.0, 1.0, -1.0, 0.0]])
    return z @ loadings + 0.2 * generator.normal(size=(num_rows, 4)) + [0, 0, 5, 100]


@pytest.fixture(scope="module")
def detector():
    return zoo.Detector(steps=100, seed=1).fit(normal_rows(400))


def test_odd_rows_are_found_and_the_odd_column_is_told(detector):
    rows = normal_rows(20, seed=3)
    odd = rows.copy()
    odd[:, 2] += 8.0
    assert (detector.predict(odd) == -1).all()
    assert (detector.anomaly_score(odd) > detector.anomaly_score(rows)).all()
    more = detector.contributions(odd) - detector.contributions(rows)
    assert more.shape == (20, 4) and (more.argmax(axis=1) == 2).mean() > 0.8


def test_scores_threshold_and_p_values_say_the_same(detector):
    rows = np.concatenate([normal_rows(100, seed=4), normal_rows(20, seed=5) + 3.0])
    scores = detector.score_samples(rows)
    np.testing.assert_array_equal(detector.anomaly_score(rows), -scores)
    np.testing.assert_array_equal(detector.decision_function(rows), scores - detector.offset_)
    assert detector.offset_ == -detector.threshold_
    calls = detector.predict(rows)
    np.testing.assert_array_equal(calls == -1, detector.anomaly_score(rows) > detector.threshold_)
    np.testing.assert_array_equal(calls == -1, detector.p_values(rows) <= 0.05 + 1e-9)
    assert len(detector.calibration_scores_) == 79


def test_false_alarms_come_at_the_wanted_rate(detector):
    alarms = detector.predict(normal_rows(4000, seed=6)) == -1
    # With n = 79 calibration rows the rate is a Beta(4, 76) draw: mean 0.05, deviation 0.024.
    assert abs(alarms.mean() - 0.05) < 4 * 0.024


def test_a_row_has_one_score_wherever_it_stands(detector):
    rows = normal_rows(300, seed=7)
    scores = detector.score_samples(rows)
    np.testing.assert_allclose(detector.score_samples(rows[::-1]), scores[::-1], rtol=1e-5)
    np.testing.assert_allclose(detector.score_samples(rows[17:18]), scores[17:18], rtol=1e-5)


@pytest.mark.slow
def test_equal_seeds_give_equal_scores_and_other_seeds_others(detector):
    rows, train = normal_rows(30, seed=8), normal_rows(400)
    scores = detector.score_samples(rows)
    other = zoo.Detector(steps=100, seed=2).fit(train)
    assert not np.allclose(other.score_samples(rows), scores)
    # Fitted again by a program that is compiled already.
    other.set_params(seed=1).fit(train)
    np.testing.assert_array_equal(other.score_samples(rows), scores)


def test_a_pickle_scores_as_the_detector_does(detector):
    rows = normal_rows(10, seed=9)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_allclose(again.score_samples(rows), detector.score_samples(rows), rtol=1e-5)


@pytest.mark.slow
def test_of_few_rows_all_are_trained_on_and_all_calibrate():
    detector = zoo.Detector(steps=10, num_members=1, num_samples=4).fit(normal_rows(60))
    assert len(detector.calibration_scores_) == 60
    assert np.isfinite(detector.threshold_)


def test_too_few_rows_for_any_alarm_say_so(caplog):
    detector = zoo.Detector(steps=2, num_members=1, num_samples=2).fit(normal_rows(12))
    assert detector.threshold_ == math.inf
    assert "12 rows are too few for a false-alarm rate of 0.05" in caplog.text
    assert (detector.predict(normal_rows(5) + 1e3) == 1).all()


def test_rows_with_gaps_are_scored_by_what_was_seen():
    rows = normal_rows(250)
    rows[::5, 1] = np.nan
    rows[:, 3] = 7.0  # a constant
    detector = zoo.Detector(steps=10, num_members=1, num_samples=4).fit(rows)
    asked = normal_rows(3, seed=2)
    asked[:, 3] = 7.0
    asked[1, 1] = np.nan
    assert np.isfinite(detector.score_samples(asked)).all()
    columns = detector.contributions(asked)
    assert columns[1, 1] == 0.0 and columns[0, 1] != 0.0
    moved = asked.copy()
    moved[:, 3] = 9.0
    assert (detector.anomaly_score(moved) > detector.anomaly_score(asked)).all()


@pytest.mark.parametrize(
    ("arguments", "rows", "message"),
    [
        ({}, np.full((5, 2), np.nan), "A column must hold a number.*Received: column 0"),
        ({}, np.array([[1.0, np.inf]] * 5), "Input X contains infinity"),
        ({}, np.ones((1, 3)), "1 sample.*minimum of 2 is required"),
        ({"false_alarm_rate": 1.5}, np.ones((5, 2)), "false_alarm_rate=1.5"),
        ({"num_members": 0}, np.ones((5, 2)), "num_members=0"),
        ({"steps": 0}, np.ones((5, 2)), "steps=0"),
        ({"seed": -1}, np.ones((5, 2)), "seed=-1"),
        ({"model": "vae"}, np.ones((5, 2)), "model='vae'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, rows, message):
    with pytest.raises(ValueError, match=message):
        zoo.Detector(**arguments).fit(rows)


def test_rows_that_do_not_fit_the_detector_are_refused(detector):
    with pytest.raises(ValueError, match="X has 3 features, but Detector is expecting 4"):
        detector.score_samples(np.ones((2, 3)))
    gaps = normal_rows(3)
    gaps[0, 0] = np.nan
    with pytest.raises(ValueError, match="Received: 1 rows with NaN"):
        detector.score_samples(gaps)


@pytest.mark.slow
def test_a_model_of_ones_own_is_trained_in_copies(make_vae, images):
    model = make_vae()
    model.compile("adam", jit_compile=False)
    before = model.get_weights()
    detector = zoo.Detector(model, steps=4, num_members=1, num_samples=2, batch_size=8)
    detector.fit(images[:24])
    assert detector.score_samples(images[:3] > 127).shape == (3,)
    for kept, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, was)


@pytest.mark.slow
def test_scikit_learns_estimator_checks_pass():
    """All of them; one is skipped, of arrays of other packages, unless SCIPY_ARRAY_API is set."""
    estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")
    detector = zoo.Detector(steps=2, num_members=1, num_samples=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own, of checks that it skips
        found = estimator_checks.check_estimator(detector, on_fail=None, on_skip=None)
    problems = {
        check["check_name"]: check["exception"] for check in found if check["status"] == "failed"
    }
    assert not problems and len(found) > 40


# -- What is kept and served


def test_the_model_of_a_detector_answers_as_it_does(detector, tmp_path):
    rows = normal_rows(50, seed=11)
    model = detector.as_model()
    answer = model.anomaly(rows, RowNoise.of_seed(0, 50))
    assert model.threshold == pytest.approx(detector.threshold_, rel=1e-6)
    # Other samples, and more of them: a tenth of a nat or two.
    np.testing.assert_allclose(answer["score"], detector.anomaly_score(rows), atol=1.0)
    expected = conformal.p_values(detector.calibration_scores_, answer["score"])
    np.testing.assert_allclose(answer["p_value"], expected, atol=1e-5)
    np.testing.assert_array_equal(answer["is_anomaly"], answer["score"] > model.threshold)
    # In the units of the rows.
    np.testing.assert_allclose(
        np.mean(model.reconstruct(rows), axis=0), rows.mean(axis=0), rtol=0.5, atol=2.0
    )
    detector.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    again = loaded.anomaly(rows, RowNoise.of_seed(0, 50))
    np.testing.assert_allclose(again["score"], answer["score"], rtol=1e-5)
    np.testing.assert_allclose(again["p_value"], answer["p_value"], atol=1e-6)


@pytest.mark.slow
def test_an_exported_detector_answers_by_rows(detector, tmp_path):
    from zoo.serving import check, export

    directory = export(detector.as_model(), tmp_path / "detector")
    assert [finding for finding in check(directory) if finding.problem is not None] == []
    served = tf.saved_model.load(str(directory)).signatures["anomaly"]
    rows = normal_rows(5).astype(np.float32)
    seed = np.stack([np.zeros(5), np.arange(5)], axis=-1).astype(np.int32)
    answer = served(vector=tf.constant(rows), seed=tf.constant(seed))
    assert set(answer) == {"score", "p_value", "is_anomaly"}
    expected = detector.as_model().anomaly(rows, RowNoise.of_seed(0, 5))
    np.testing.assert_allclose(answer["score"], expected["score"], rtol=1e-4, atol=1e-4)


def test_calibration_rows_are_as_many_as_were_said(make_vae, images):
    model = zoo.AnomalyModel([make_vae()], num_calibration=9)
    with pytest.raises(ValueError, match=r"must be 9 calibration rows. Received:.*\(5,\)"):
        model.calibrate(images[:5])
    model.calibrate(images[:9])
    np.testing.assert_array_equal(np.sort(model.scores(images[:9])), model.calibration)
    assert np.all(np.diff(model.calibration) >= 0) and np.all(model.calibration > 0)
    assert "anomaly" in model.answers()
    assert "anomaly" not in zoo.AnomalyModel([make_vae()]).answers()


def test_members_that_do_not_fit_are_refused(make_vae):
    with pytest.raises(ValueError, match=r"members=\[\]"):
        zoo.AnomalyModel([])
    with pytest.raises(ValueError, match="Received: str"):
        zoo.AnomalyModel(["vae"])
    with pytest.raises(ValueError, match="VAE over .* beside VAE over"):
        zoo.AnomalyModel([make_vae(), linear_vae(0)[0]])
    with pytest.raises(ValueError, match="false_alarm_rate=0"):
        zoo.AnomalyModel([make_vae()], false_alarm_rate=0)


def test_a_scaled_vector_is_seen_by_one_scale_and_given_by_another():
    observation = zoo.observations.ScaledVector([1.0, 2.0], [2.0, 4.0], missing=True)
    data = observation.as_tensors(np.array([[3.0, np.nan]], np.float32))
    np.testing.assert_allclose(data["vector"], [[1.0, 0.0]])
    np.testing.assert_allclose(data["observed"], [[1.0, 0.0]])
    prepared = observation.prepare({"vector": tf.constant([[3.0, np.nan]])}, None)
    np.testing.assert_allclose(prepared["vector"], data["vector"])
    np.testing.assert_allclose(observation.to_user(tf.constant([[1.0, 0.5]])), [[3.0, 4.0]])
    with pytest.raises(ValueError, match="1 and 2 numbers"):
        zoo.observations.ScaledVector([1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"scale=\[0.0\]"):
        zoo.observations.ScaledVector([1.0], [0.0])


# -- Numbers and pictures


def test_numbers_of_a_detector_are_those_of_pairs(make_vae):
    generator = np.random.default_rng(0)
    scores, truth = generator.normal(size=60), np.arange(60) % 3 == 0
    found = anomalies.numbers(make_vae(), scores, truth)
    pairs = scores[truth][:, None] > scores[~truth][None]
    assert found["auroc"]["value"] == pytest.approx(pairs.mean())
    order = truth[np.argsort(-scores)]
    precision = np.cumsum(order) / np.arange(1, 61)
    assert found["average_precision"]["value"] == pytest.approx(precision[order].mean())
    with pytest.raises(ValueError, match="0 anomalies among 60 rows"):
        anomalies.numbers(make_vae(), scores, np.zeros(60))


def test_one_class_of_a_data_set_is_normal():
    train = zoo.data.load("digits@4", "train")
    assert set(train["label"]) == {4} and "anomaly" not in train
    test = zoo.data.load("digits@4", "test")
    np.testing.assert_array_equal(test["anomaly"], test["label"] != 4)
    with pytest.raises(ValueError, match="Received: 11"):
        zoo.data.load("digits@11", "train")


def test_evaluation_of_a_detector_tells_normal_from_odd():
    test = {name: array[:60] for name, array in zoo.data.load("digits@4", "test").items()}
    posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((8, 8, 1))
    member = zoo.VAE(
        encoder=zoo.networks.MLP((8,), posterior.num_params),
        decoder=zoo.networks.MLP((8,), likelihood.num_params),
        posterior=posterior,
        likelihood=likelihood,
    )
    model = zoo.AnomalyModel([member], num_calibration=19, false_alarm_rate=0.1)
    train = zoo.data.load("digits@4", "train")["image"]
    model.start_at_mean(train)
    model.calibrate(train[:19])
    numbers = zoo.evaluate(model, test, num_samples=4, verbose=0)
    # The mean digit alone tells fours from others.
    assert numbers["auroc"]["value"] > 0.7
    num_normal = int((test["anomaly"] == 0).sum())
    assert numbers["nll"]["num_examples"] == numbers["false_alarm_rate"]["num_examples"] - (
        60 - num_normal
    )
    assert numbers["false_alarm_rate"]["threshold"] == model.threshold
    assert numbers["false_alarm_rate"]["asked"] == 0.1


def test_pictures_of_a_detector_are_drawn(tmp_path):
    generator = np.random.default_rng(0)
    scores, truth = generator.normal(size=50), np.arange(50) < 10
    zoo.plots.scores(scores, truth, 1.0, path=tmp_path / "scores.png")
    zoo.plots.scores(scores, path=tmp_path / "alone.png")
    far = zoo.plots.scores(scores, truth, 9.0, noun="image")
    assert far.axes[0].get_xlim()[1] > 9.0
    assert far.axes[1].get_xlabel() == "false alarms, share of normal images"
    (label,) = zoo.plots.scores(scores, noun="image").axes[0].get_legend().get_texts()
    assert label.get_text() == "images (50)"
    nats = generator.normal(size=(20, 3))
    zoo.plots.contributions(nats, nats, ["a", "b", "c"], path=tmp_path / "columns.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 0 for name in ("scores", "columns"))
    with pytest.raises(ValueError, match="anomaly=ndarray of shape"):
        zoo.plots.scores(scores, truth[:5])
    with pytest.raises(ValueError, match="and 2 names"):
        zoo.plots.contributions(nats, names=["a", "b"])
