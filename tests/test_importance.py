"""Importance sampling from the prior and from q, against exact log p(x) and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests.test_vae import LinearGaussian
from zoo import layers, networks, plots
from zoo.evaluation import importance
from zoo.evaluation.importance import importance_curve, table
from zoo.models import Autoencoder
from zoo.random import EVALUATION_STEP, RowNoise, Stream

X = np.random.default_rng(0).random((7, 6)).astype(np.float32)


@pytest.fixture
def linear():
    """A linear-Gaussian model whose q(z|x) has the true posterior's mean and 1.3 times its
    scale."""
    # Orthogonal: p(z|x) is diagonal.
    w = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 2)))[0].T * [
        [2.0],
        [1.0],
    ]
    b, s2 = np.full(6, 0.5), 0.3**2
    variance = 1 / (1 + np.sum(w**2, axis=1) / s2)
    posterior = layers.DiagonalNormal(2)
    model = LinearGaussian(
        keras.layers.Dense(4), keras.layers.Dense(6), posterior, layers.Normal(6, scale=0.3)
    )
    model.decoder.set_weights([w, b])
    to_mean = w.T * variance / s2
    log_scale = np.log(1.3 * np.sqrt(variance))
    model.encoder.set_weights(
        [
            np.hstack([to_mean, np.zeros((6, 2))]),
            np.hstack([-b @ to_mean, 8 * np.arctanh(log_scale / 8)]),
        ]
    )
    _, loc, covariance = model.exact(X)
    q = model.encode(X)
    np.testing.assert_allclose(q.mean(), loc, atol=1e-5)
    np.testing.assert_allclose(q.stddev()[0], 1.3 * np.sqrt(np.diag(covariance)), rtol=1e-5)
    return model


def of(rows, proposal, key):
    return [row[key] for row in rows if row["proposal"] == proposal]


def test_both_proposals_approach_the_exact_log_probability(linear):
    exact = linear.exact(X)[0].mean()
    rows = importance_curve(linear, X, num_samples=(1, 100, 20_000))
    assert [(row["proposal"], row["num_samples"]) for row in rows] == [
        (p, n) for p in ("prior", "posterior") for n in (1, 100, 20_000)
    ]
    for proposal in ("prior", "posterior"):
        first, _, last = of(rows, proposal, "log_prob")
        # Five standard errors of log p^, sqrt(1 / ESS - 1 / S) of an image by the delta method;
        # independent over 7 images.
        error = np.sqrt((1 / of(rows, proposal, "effective_sample_size")[-1] - 1 / 20_000) / 7)
        assert abs(last - exact) < 5 * error + 1e-4
        assert first < last
    prior, posterior = (
        of(rows, proposal, "effective_sample_size") for proposal in ("prior", "posterior")
    )
    assert prior[0] == pytest.approx(1) and posterior[0] == pytest.approx(1)
    assert posterior[1] > 5 * prior[1] and posterior[2] > 5 * prior[2]
    # With q = N(m, (1.3 s)^2) in 2 dimensions, ESS / S = 1 / E_q[(p / q)^2] = (sqrt(2 * 1.69 - 1) /
    # 1.69)^2.
    assert posterior[2] / 20_000 == pytest.approx((2 * 1.69 - 1) / 1.69**2, rel=0.02)


def test_samples_are_nested_and_those_of_a_float64_computation(make_vae, images, monkeypatch):
    model = make_vae()
    model.compile()
    monkeypatch.setattr(importance, "BATCH_SIZE", 16)  # 40 images: the last batch is filled up
    # Chunks of 7 samples: they do not end where the counts do.
    monkeypatch.setattr(importance, "HELD", 16 * 7)
    rows = importance_curve(model, images, num_samples=(1, 10, 40), seed=3)
    noise = RowNoise(3, EVALUATION_STEP, tf.range(40))
    x = model.prepare({"image": tf.constant(images)}, noise)["image"]
    eps = noise.normal(Stream.LATENT, (3,), 40)
    q = model.encode(x)
    z = {"prior": eps, "posterior": q.loc + q.stddev() * eps}
    for proposal in ("prior", "posterior"):
        log_weights = model.decode(z[proposal]).log_prob(x).numpy().astype(np.float64)
        if proposal == "posterior":
            log_weights += (
                model.prior().log_prob(z[proposal]).numpy() - q.log_prob(z[proposal]).numpy()
            )
        for row, count in zip(
            [row for row in rows if row["proposal"] == proposal], (1, 10, 40), strict=True
        ):
            first = log_weights[:count]
            log_sum = special.logsumexp(first, axis=0)
            log_prob = log_sum - np.log(count)
            assert row["log_prob"] == pytest.approx(log_prob.mean(), abs=1e-4)
            assert row["stderr_images"] == pytest.approx(
                log_prob.std(ddof=1) / np.sqrt(40), rel=1e-3
            )
            effective = np.median(np.exp(2 * log_sum - special.logsumexp(2 * first, axis=0)))
            assert row["effective_sample_size"] == pytest.approx(effective, rel=1e-3)
            assert (row["num_samples"], row["num_examples"]) == (count, 40)


def test_wrong_arguments_are_told(make_vae, images):
    model = make_vae()
    with pytest.raises(
        ValueError,
        match=r"`proposals` must be some of 'prior', 'posterior'. Received: "
        r"proposals=\('encoder',\)",
    ):
        importance_curve(model, images, proposals=("encoder",))
    with pytest.raises(ValueError, match=r"Received: proposals=\(\)"):
        importance_curve(model, images, proposals=())
    for wrong in ((10, 1), (0, 1), (1, 1), (1.5,), (True,), ()):
        with pytest.raises(
            ValueError,
            match="`num_samples` must be increasing positive integers. Received: num_samples=",
        ) as raised:
            importance_curve(model, images, num_samples=wrong)
        assert repr(wrong) in str(raised.value)
    with pytest.raises(ValueError, match=r"Received: images of shape \(2, 2, 1\)"):
        importance_curve(model, images[:, :2, :2])
    autoencoder = Autoencoder(
        networks.MLP((4,), 2), networks.MLP((4,), 16), layers.Bernoulli((4, 4, 1))
    )
    with pytest.raises(
        ValueError,
        match="Only a model with a bound on log p.x. has weights to sum. Received: "
        "model=Autoencoder",
    ):
        importance_curve(autoencoder, images)


def test_table_and_picture_show_every_row(tmp_path):
    rows = [
        {
            "proposal": proposal,
            "num_samples": 10**power,
            "log_prob": -90.0 - power,
            "stderr_images": None if power else 1.25,
            "effective_sample_size": 1.0 + power,
            "num_examples": 5,
        }
        for proposal in ("prior", "posterior")
        for power in (0, 5)
    ]
    lines = table(rows).splitlines()
    assert len(lines) == 5 and "nats" in lines[0]
    assert lines[1].split() == ["p(z)", "1", "-90.00", "1.25", "1.0"]
    assert lines[4].split() == [
        "q(z|x)",
        "100,000",
        "-95.00",
        "-",
        "6.0",
    ]
    assert "+- over rows" in table(rows, "row")
    figure = plots.importance_curve(rows, noun="row")
    assert figure.axes[0].get_title().endswith(" rows")
    assert figure.axes[1].get_xlabel() == "samples of z per row"
    estimates, sizes = figure.axes
    assert (
        estimates.get_xscale(),
        estimates.get_yscale(),
        sizes.get_xscale(),
        sizes.get_yscale(),
    ) == ("log", "linear", "log", "log")
    assert "nats" in estimates.get_ylabel() and len(estimates.get_legend().get_texts()) == 2
    np.testing.assert_array_equal(sizes.lines[0].get_ydata(), [1, 6])
    plots.importance_curve(rows[:2], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
