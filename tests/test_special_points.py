"""Densities and their gradients where branches meet: logit 0, outcomes 0 and 1, a bin's edge on the
location, components that coincide."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.test_likelihoods_8bit import log_probs_by_scipy
from zoo import layers
from zoo.layers.logistic_mixture import log_prob_of_level
from zoo.layers.pixels import DiscretizedLogisticLevel

tfd = tfp.distributions
LOGITS = np.float32([-30, -1, -0.1, -1e-6, -0.0, 0.0, 1e-6, 0.1, 1, 30])
X = np.float32([0.0, 0.5, 1.0])


def value_and_gradients(function, *arguments, jit_compile=False):
    """A function of tensors, and the gradient of its sum for each argument."""

    def run(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(*arguments)
        return value, tape.gradient(value, arguments)

    return tf.function(run, jit_compile=jit_compile)(*map(tf.constant, arguments))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_bernoulli_has_its_gradient_at_every_logit(jit_compile):
    x, logits = (grid.reshape(-1, 1) for grid in np.meshgrid(X, LOGITS))
    value, (by_logit, by_x) = value_and_gradients(
        lambda logits, x: layers.Bernoulli(1)(logits).log_prob(x),
        logits,
        x,
        jit_compile=jit_compile,
    )
    l64 = logits.astype(np.float64)
    np.testing.assert_allclose(value, (x * l64 - np.logaddexp(0, l64))[:, 0], rtol=1e-5, atol=1e-6)
    # X - p: at logit 0, x - 1/2.
    np.testing.assert_allclose(by_logit, x - 1 / (1 + np.exp(-l64)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(by_x, logits)


def mean_of_continuous_bernoulli(logits):
    """1 / (1 - e^-l) - 1 / l in float64, by its series where that cancels."""
    small = np.abs(logits) < 1e-3
    safe = np.where(small, 1.0, logits)
    return np.where(small, 0.5 + logits / 12, -1 / np.expm1(-safe) - 1 / safe)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_continuous_bernoulli_has_its_gradient_at_every_logit(jit_compile):
    x, logits = (grid.reshape(-1, 1) for grid in np.meshgrid(X, LOGITS))
    _, (by_logit, by_x) = value_and_gradients(
        lambda logits, x: layers.ContinuousBernoulli(1)(logits).log_prob(x),
        logits,
        x,
        jit_compile=jit_compile,
    )
    np.testing.assert_allclose(
        by_logit, x - mean_of_continuous_bernoulli(logits.astype(np.float64)), rtol=1e-4, atol=2e-6
    )
    np.testing.assert_array_equal(by_x, logits)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_discretized_logistic_has_its_gradient_where_an_edge_of_the_bin_is_the_location(
    jit_compile,
):
    half = np.float32(0.5 / 255)
    level = np.array([0, 1, 1, 1, 254, 254, 255])
    x = np.float32(level / 255)
    loc = x + half * np.float32([0, -1, 0, 1, -1, 1, 0])
    scale = np.ones_like(loc)
    assert np.any(x - loc == half)  # exactly on the lower edge
    _, (by_loc, by_scale) = value_and_gradients(
        lambda loc, scale: DiscretizedLogisticLevel(loc, scale).log_prob(x),
        loc,
        scale,
        jit_compile=jit_compile,
    )
    h = 1e-5
    loc, scale = loc.astype(np.float64), scale.astype(np.float64)
    expected = (
        log_probs_by_scipy(loc + h, scale, level) - log_probs_by_scipy(loc - h, scale, level)
    ) / (2 * h)
    np.testing.assert_allclose(by_loc, expected, rtol=1e-4, atol=1e-4)
    expected = (
        log_probs_by_scipy(loc, scale + h, level) - log_probs_by_scipy(loc, scale - h, level)
    ) / (2 * h)
    np.testing.assert_allclose(by_scale, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_level_of_a_mixture_has_its_gradient_at_its_middle_and_at_its_edges(jit_compile):
    half = np.float32(0.5 / 255)
    level = np.array([0, 0, 0, 1, 1, 1, 254, 255, 255, 255])
    # x - loc: where |x - loc| and the distance from an edge have a corner, at either end and inside
    distance = half * np.float32([-1, 0, 1, -1, 0, 1, 1, -1, 0, 1])
    side = np.float32((level == 255).astype(int) - (level == 0))
    for log_scale in np.log(np.float32([1e-4, 0.5 / 255, 1.0])):
        log_scales = np.full_like(distance, log_scale)
        value, (by_distance, by_scale) = value_and_gradients(
            lambda distance, log_scale: log_prob_of_level(distance, log_scale, side),
            distance,
            log_scales,
            jit_compile=jit_compile,
        )
        x, scale = level / 255, np.exp(np.float64(log_scale))

        def at(distance, scale, x=x):
            return log_probs_by_scipy(x - distance, scale, level)

        d64, h = distance.astype(np.float64), 1e-5 * scale
        np.testing.assert_allclose(value, at(d64, scale), rtol=1e-4, atol=1e-5)
        expected = (at(d64 + h, scale) - at(d64 - h, scale)) / (2 * h)
        np.testing.assert_allclose(by_distance, expected, rtol=1e-3, atol=1e-3 / scale)
        expected = (at(d64, scale * 1.00001) - at(d64, scale / 1.00001)) / 2e-5
        np.testing.assert_allclose(by_scale, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_mean_of_a_discretized_logistic_has_its_gradient_at_black_and_at_white(jit_compile):
    loc, scale = np.float32([-0.1, 0, 0.5, 1, 1.1]), np.float32([0.1, 0.2, 0.3, 0.4, 0.5])
    _, (by_loc, _) = value_and_gradients(
        lambda loc, scale: DiscretizedLogisticLevel(loc, scale).mean(),
        loc,
        scale,
        jit_compile=jit_compile,
    )
    # The integral over [0, 1] of P(logistic > t): its slope is the probability of [0, 1].
    expected = 1 / (1 + np.exp(-loc / scale)) - 1 / (1 + np.exp((1 - loc) / scale))
    np.testing.assert_allclose(by_loc, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        layers.DiagonalNormal(2),
        layers.FullCovarianceNormal(2),
        layers.Categorical(3),
        layers.Normal(2, scale=0.5),
        layers.Normal(2, scale="per_pixel"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_densities_have_their_gradients_at_parameters_of_zero(layer):
    """Against differences of the same density in float32: smooth families, for which 1e-2 is
    small."""
    x = (
        tf.constant([[1.0, 0.0, 0.0]])
        if isinstance(layer, layers.Categorical)
        else tf.constant([[0.0, 1.0]])
    )
    zero = np.zeros((1, layer.num_params), np.float32)
    _, (gradient,) = value_and_gradients(lambda params: layer(params).log_prob(x), zero)
    for i, step in enumerate(1e-2 * np.eye(layer.num_params, dtype=np.float32)):
        difference = (
            float(layer(zero + step).log_prob(x)[0] - layer(zero - step).log_prob(x)[0]) / 2e-2
        )
        assert abs(float(gradient[0, i]) - difference) < 2e-3


def test_a_mixture_of_equal_components_has_the_gradient_of_one():
    z = tf.constant([[0.0, 1.0]])

    def mixture(loc):
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.zeros([2])), tfd.MultivariateNormalDiag(loc, tf.ones([2, 2]))
        ).log_prob(z)

    _, (gradient,) = value_and_gradients(mixture, np.zeros((2, 2), np.float32))
    np.testing.assert_allclose(gradient, [[0, 0.5], [0, 0.5]], atol=1e-6)
