"""Plain Keras models whose outputs are distributions: what `predict`, metrics, losses and layers
that follow make of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import layers
from zoo.losses import NegativeLogLikelihood

tfd = tfp.distributions
RNG = np.random.default_rng(0)
X, Y = RNG.random((40, 3)).astype(np.float32), RNG.random((40, 1)).astype(np.float32)
EXECUTIONS = {
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
}


def regression(functional=False):
    keras.utils.set_random_seed(0)
    if not functional:
        return keras.Sequential([keras.layers.Dense(1), layers.Normal(1, scale="shared")])
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Normal(1, scale="shared")(keras.layers.Dense(1)(inputs)))


@pytest.mark.parametrize(
    ("execution", "functional"), [("graph", True), ("xla", False), ("eager", False)]
)
def test_predict_gives_the_mean_and_metrics_are_of_the_mean(execution, functional, tmp_path):
    model = regression(functional)
    metrics = ["mse", keras.metrics.R2Score(name="r2")]
    model.compile("adam", loss=NegativeLogLikelihood(), metrics=metrics, **EXECUTIONS[execution])
    model.fit(X, Y, batch_size=20, validation_data=(X, Y), verbose=0)
    distribution = model(X)
    mean = distribution.mean().numpy()
    for batch_size in (16, 40):  # several batches, the last one short, and one batch
        np.testing.assert_allclose(
            model.predict(X, batch_size=batch_size, verbose=0), mean, atol=1e-6
        )
    np.testing.assert_allclose(model.predict_on_batch(X), mean, atol=1e-6)
    results = model.evaluate(X, Y, batch_size=20, verbose=0, return_dict=True)
    error = mean - Y
    r2 = 1 - np.sum(error**2) / np.sum((Y - Y.mean()) ** 2)
    expected = {"mse": np.mean(error**2), "r2": r2, "loss": -np.mean(distribution.log_prob(Y))}
    assert results == pytest.approx(expected, rel=1e-4)
    if execution == "graph":
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
        assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("execution", ["eager", "xla"])
def test_a_loss_of_outcome_and_distribution_gets_the_distribution(execution):
    """The loss that tfp.layers taught. It trains as `NegativeLogLikelihood` does."""
    losses = []
    for loss in (lambda y, distribution: -distribution.log_prob(y), NegativeLogLikelihood()):
        model = regression()
        model.compile("sgd", loss=loss, **EXECUTIONS[execution])
        losses.append(
            model.fit(X, Y, batch_size=20, epochs=2, shuffle=False, verbose=0).history["loss"]
        )
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_losses_of_tensors_are_of_the_mean():
    model = keras.Sequential([keras.layers.Dense(1), layers.Normal(1)])
    model.compile("sgd", loss="mse", run_eagerly=True)
    expected = np.mean((model(X).mean().numpy() - Y) ** 2)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("structure", [list, dict])
def test_several_outputs_each_have_their_loss(structure):
    inputs = keras.Input((3,))
    outputs = {
        "size": layers.Normal(1, name="size")(keras.layers.Dense(1)(inputs)),
        "kind": layers.Bernoulli(2, name="kind")(keras.layers.Dense(2)(inputs)),
        "plain": keras.layers.Dense(1, name="plain")(inputs),
    }
    targets = {"size": Y, "kind": RNG.integers(0, 2, (40, 2)).astype(np.float32), "plain": Y}
    losses = {"size": NegativeLogLikelihood(), "kind": NegativeLogLikelihood(), "plain": "mse"}

    def shaped(by_name):
        return by_name if structure is dict else list(by_name.values())

    model = keras.Model(inputs, shaped(outputs))
    model.compile(
        "sgd",
        loss=shaped(losses),
        metrics=shaped({"size": ["mae"], "kind": ["mse"], "plain": ["mae"]}),
    )
    model.fit(X, shaped(targets), batch_size=16, verbose=0)
    size, kind, plain = (model(X)[key] for key in (outputs if structure is dict else range(3)))
    results = model.evaluate(X, shaped(targets), batch_size=40, verbose=0, return_dict=True)
    terms = (
        -np.mean(size.log_prob(Y)),
        -np.mean(kind.log_prob(targets["kind"])),
        np.mean((plain - Y) ** 2),
    )
    assert results["loss"] == pytest.approx(sum(terms), rel=1e-5)
    assert (results["size_loss"], results["kind_loss"], results["plain_loss"]) == pytest.approx(
        terms, rel=1e-5
    )
    assert results["size_mae"] == pytest.approx(np.mean(np.abs(size.mean() - Y)), rel=1e-5)
    predictions = model.predict(X, batch_size=16, verbose=0)
    assert type(predictions) is structure
    np.testing.assert_allclose(
        predictions["kind" if structure is dict else 1], kind.mean(), atol=1e-6
    )


def test_a_layer_after_a_likelihood_takes_the_mean():
    model = keras.Sequential(
        [keras.layers.Dense(1), layers.Normal(1), keras.layers.Rescaling(10.0)]
    )
    np.testing.assert_allclose(
        model(X), 10 * keras.Sequential(model.layers[:2])(X).mean(), rtol=1e-6
    )
    assert model.predict(X, verbose=0).shape == (40, 1)


@pytest.mark.parametrize(
    "posterior",
    [layers.DiagonalNormal(2), layers.FullCovarianceNormal(2), layers.Categorical(2)],
    ids=lambda layer: layer.name,
)
def test_a_layer_after_a_posterior_is_refused_with_the_cure(posterior):
    """Its mean would make a model that trains without noise and without a KL."""
    encoder = keras.Sequential([keras.layers.Dense(posterior.num_params), posterior])
    with pytest.raises(
        TypeError,
        match=r"Received: the distribution itself, \w+. Use `zoo.layers.Sample\(posterior, "
        r"prior\)`",
    ):
        keras.Sequential([*encoder.layers, keras.layers.Dense(1)])(X)
    # As the last layer it has a mean.
    np.testing.assert_allclose(encoder.predict(X, verbose=0), encoder(X).mean(), atol=1e-6)
    assert keras.ops.convert_to_tensor(encoder(X)).shape == (40, 2)


def test_what_a_layer_returns_is_a_distribution_of_tfp_in_every_other_way():
    distribution = layers.DiagonalNormal(2)(np.zeros((3, 4), np.float32))
    assert isinstance(distribution, tfd.MultivariateNormalDiag)
    assert type(distribution).__name__ == "MultivariateNormalDiag"
    assert distribution.shape == (3, 2)
    assert (
        float(
            tfd.kl_divergence(distribution, tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2)))[0]
        )
        == 0
    )
    np.testing.assert_array_equal(np.asarray(distribution), np.zeros((3, 2)))
    assert distribution.copy(loc=tf.ones([3, 2])).mean().numpy().min() == 1
    # Distributions that the user makes stay as they are.
    plain = tf.function(lambda: tfd.MultivariateNormalDiag(tf.zeros([3, 2]), tf.ones(2)))()
    assert not tf.is_tensor(plain) and tf.is_tensor(distribution)
    assert tf.is_tensor(tf.function(lambda d: d)(distribution))


class Counts(layers.DistributionLayer):
    """A layer of a user's own, of a family that nothing here knows."""

    @staticmethod
    def params_size(event_shape):
        (size,) = event_shape
        return size

    def distribution(self, params):
        return tfd.Independent(tfd.Poisson(log_rate=params), 1)


def test_layers_of_ones_own_have_it_too():
    model = keras.Sequential([keras.layers.Dense(1), Counts(1)])
    model.compile("sgd", loss=NegativeLogLikelihood(), metrics=["mse"])
    model.fit(X, np.round(3 * Y), verbose=0)
    np.testing.assert_allclose(
        model.predict(X, batch_size=16, verbose=0), model(X).mean(), rtol=1e-5
    )


def test_outcomes_without_the_last_dimension_of_one_are_taken_and_other_shapes_refused():
    model = regression()
    model.compile("sgd", loss=NegativeLogLikelihood(), run_eagerly=True)
    assert model.evaluate(X, Y[:, 0], verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0))
    with pytest.raises(
        ValueError,
        match=r"Outcomes must have the shape \[B, 1\] of the model's distribution. Received: y "
        r"of shape \(32, 2\)",
    ):
        model.evaluate(X, np.zeros((40, 2), np.float32), verbose=0)


def test_wrong_uses_are_told():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", loss=NegativeLogLikelihood(), run_eagerly=True)
    with pytest.raises(
        TypeError, match="takes a model that returns a distribution. Received: EagerTensor"
    ):
        model.evaluate(X, Y, verbose=0)
    with pytest.raises(
        ValueError,
        match=r"takes no `activity_regularizer`.*Sample.*Received: activity_regularizer='l2'",
    ):
        layers.DiagonalNormal(2, activity_regularizer="l2")
