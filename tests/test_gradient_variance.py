"""The benchmark of gradient noise, on models small enough to keep every gradient."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.test_estimators import X, flat_gradient, linear_gaussian
from zoo import objectives
from zoo.models import BetaVAE
from zoo.random import RowNoise


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import gradient_variance

    return gradient_variance


def collected(model, num_noises, seed):
    """Every gradient by itself: float64 [noises, weights] of the inference and of the generative
    program."""

    @tf.function
    def one(step):
        noise = RowNoise(seed, step, tf.range(len(X)))
        return flat_gradient(
            lambda: tf.reduce_mean(
                model.objective.loss(model, {model.key: tf.constant(X)}, noise)[0]
            ),
            model,
        )

    gradients = np.stack([one(tf.constant(step)) for step in range(num_noises)]).astype(np.float64)
    split = model.encoder.count_params()
    return {"inference": gradients[:, :split], "generative": gradients[:, split:]}


@pytest.mark.parametrize(
    "objective",
    [objectives.ScoreFunction(baseline=keras.layers.Dense(1)), objectives.DoublyReparameterized(3)],
    ids=lambda objective: type(objective).__name__,
)
def test_numbers_are_those_of_explicitly_collected_gradients(benchmark, objective):
    model = linear_gaussian(objective)
    measured = benchmark.measure(model, tf.constant(X), num_noises=40, seed=5)
    for group, gradients in collected(model, 40, seed=5).items():
        blocks = gradients.reshape(10, 4, -1)
        variances = blocks.var(axis=1, ddof=1).sum(axis=-1)
        assert measured[group]["variance"] == pytest.approx(variances.mean(), rel=1e-3)
        assert measured[group]["variance_stderr"] == pytest.approx(
            variances.std(ddof=1) / np.sqrt(10), rel=1e-3
        )
        means = blocks.mean(axis=1)
        between = np.mean([means[i] @ means[j] for i in range(10) for j in range(10) if i != j])
        assert measured[group]["signal_squared"] == pytest.approx(
            between, rel=1e-3, abs=1e-3 * (means**2).sum(-1).mean()
        )
        assert measured[group]["signal_squared_stderr"] > 0


def test_signal_is_that_of_the_expectation_and_not_of_the_noise(benchmark):
    """|mean of N estimates|^2 is too large by variance / N; the products of different blocks are
    not."""
    generator = np.random.default_rng(0)
    signal = np.array([0.3, 0.4])
    means = signal + generator.normal(size=(2000, 10, 2))
    values = [benchmark._mean_off_diagonal(m @ m.T) for m in means]
    assert np.mean(values) == pytest.approx(0.25, abs=4 * np.std(values) / np.sqrt(2000))
    errors = [benchmark._jackknife_stderr(m @ m.T) for m in means[:200]]
    # The jackknife errs on the large side.
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_another_objective_has_the_same_weights(benchmark):
    model = linear_gaussian(objectives.ELBO())
    other = benchmark.with_objective(
        model, objectives.ScoreFunction(baseline=keras.layers.Dense(1))
    )
    assert other.observation == model.observation
    assert isinstance(other.objective, objectives.ScoreFunction)
    for group, weights in benchmark.weights_by_group(model).items():
        assert [id(w) for w in weights] == [id(w) for w in benchmark.weights_by_group(other)[group]]
        assert len(weights) == 2


def test_other_models_are_refused(benchmark, make_vae):
    with pytest.raises(
        ValueError, match="compared on an unconditional `zoo.VAE`. Received: model=BetaVAE"
    ):
        benchmark.with_objective(make_vae(model=BetaVAE), objectives.ELBO())


def test_the_baseline_learns_and_the_model_stays(benchmark, make_vae, images):
    model = make_vae()
    weights = model.get_weights()
    image = model.prepare({"image": tf.constant(images)}, RowNoise(0, 0, tf.range(40)))["image"]
    quality = benchmark.baseline_quality(
        model, image, benchmark.train_baseline(model, images, batch_size=20, num_steps=300)
    )
    f = (
        model({"image": image}, noise=RowNoise(1, 0, tf.range(40)), num_samples=100)
        .likelihood.log_prob(image)
        .numpy()
    )
    assert quality["signal"] == pytest.approx(np.sqrt(np.mean(f**2)), rel=0.02)
    assert quality["within_an_image"] == pytest.approx(f.std(axis=0).mean(), rel=0.1)
    # Better than the best constant.
    assert quality["within_an_image"] < quality["after_baseline"] < 0.9 * f.std()
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_ratios_and_signal_to_noise_of_known_numbers(benchmark, tmp_path):
    def measured(variance, signal, error=0.1):
        values = {
            "variance": variance,
            "variance_stderr": 0.0,
            "signal_squared": signal,
            "signal_squared_stderr": error,
        }
        return {"inference": values, "generative": {**values, "signal_squared_stderr": 10.0}}

    bounds = {"ELBO": "a", "ScoreFunction": "a", "VIMCO": "b"}
    numbers = benchmark.numbers_of(
        {
            "ELBO": measured(4.0, 1.0),
            "ScoreFunction": measured(400.0, -7.0),
            "VIMCO": measured(2.0, 0.5),
        },
        bounds,
    )
    inference = {name: groups["inference"] for name, groups in numbers.items()}
    assert [n["ratio_to_elbo"] for n in inference.values()] == [1, 100, 0.5]
    # The ELBO's signal serves both of its estimators.
    assert [n["snr"] for n in inference.values()] == [
        0.5,
        0.05,
        0.5,
    ]
    assert all(groups["generative"]["snr"] is None for groups in numbers.values())
    text = benchmark.table(numbers, bounds)
    assert "100.00" in text and " of the b" in text and text.count(" -") >= 3
    benchmark.plot(numbers, bounds, "title", tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 1000
