"""Gradient estimators: unbiased against exact gradients, and every one of their arguments at
work."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import layers, networks, objectives
from zoo.models import BetaVAE, ClassStyleVAE
from zoo.random import RowNoise

NUM_ESTIMATES = 3000


def linear_gaussian(objective):
    """p(z) = N(0, 1), p(x|z) = N(w z + b, 0.5^2), and a Gaussian q that is not the true posterior;
    one latent dimension."""
    keras.utils.set_random_seed(3)
    posterior = layers.DiagonalNormal(1)
    return zoo.VAE(
        keras.layers.Dense(2),
        keras.layers.Dense(4),
        posterior,
        layers.Normal(4, scale=0.5),
        objective=objective,
    )


def categorical(objective):
    """A latent of three classes: every expectation is a sum."""
    keras.utils.set_random_seed(3)
    posterior = layers.Categorical(3)
    return zoo.VAE(
        keras.layers.Dense(3),
        keras.layers.Dense(4),
        posterior,
        layers.Normal(4, 0.5),
        layers.UniformCategorical(3),
        objective=objective,
    )


X = np.random.default_rng(0).random((3, 4)).astype(np.float32)


def flat_gradient(loss_of, model):
    """Gradient of a scalar by the weights of both programs, in one vector."""
    weights = [weight.value for weight in (*model.encoder.weights, *model.decoder.weights)]
    with tf.GradientTape() as tape:
        loss = loss_of()
    gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
    return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)


def estimates(model):
    """Mean of many gradient estimates and its standard error, each [number of weights]."""

    def one(step):
        noise = RowNoise(0, step, tf.range(len(X)))
        return flat_gradient(
            lambda: tf.reduce_mean(
                model.objective.loss(model, {model.key: tf.constant(X)}, noise)[0]
            ),
            model,
        )

    @tf.function(jit_compile=True)
    def run():
        return tf.map_fn(one, tf.range(NUM_ESTIMATES), fn_output_signature=tf.float32)

    samples = run().numpy().astype(np.float64)
    return samples.mean(axis=0), samples.std(axis=0) / np.sqrt(NUM_ESTIMATES)


def exact_gradient(model, num_samples):
    """Of minus the bound of `num_samples` samples: by Gauss-Hermite quadrature over the noise, or
    by the sum over classes."""
    x = tf.constant(X)

    def minus_bound():
        q = model.encode(x)
        if isinstance(model.posterior_layer, layers.Categorical):
            outcomes = tf.tile(tf.eye(3)[:, None], [1, len(X), 1])  # [3, B, 3]
            probabilities = tf.transpose(q.probs_parameter())  # [3, B]
        else:
            nodes, weights = np.polynomial.hermite_e.hermegauss(40)
            # [40, B, 1] and [40, B].
            outcomes = q.loc + q.stddev() * tf.constant(nodes, tf.float32)[:, None, None]
            shares = tf.constant(weights / weights.sum(), tf.float32)
            probabilities = shares[:, None] * tf.ones([1, len(X)])
        log_weights = (
            model.decode(outcomes).log_prob(x)
            + model.prior().log_prob(outcomes)
            - q.log_prob(outcomes)
        )
        if num_samples == 1:
            bound = tf.reduce_sum(probabilities * log_weights, axis=0)
        else:
            high, low = log_weights[:, None], log_weights[None]
            pairs = low + tf.nn.softplus(high - low)  # log(w_i + w_j)
            bound = tf.reduce_sum(
                probabilities[:, None] * probabilities[None] * (pairs - np.log(2.0)), axis=[0, 1]
            )
        return -tf.reduce_mean(bound)

    return flat_gradient(minus_bound, model).numpy()


@pytest.mark.parametrize(
    ("make", "objective", "num_samples"),
    [
        (linear_gaussian, objectives.ELBO(), 1),
        (linear_gaussian, objectives.PathDerivative(), 1),
        (linear_gaussian, objectives.ImportanceWeighted(2), 2),
        (linear_gaussian, objectives.DoublyReparameterized(2), 2),
        (linear_gaussian, objectives.ScoreFunction(), 1),
        (linear_gaussian, objectives.VIMCO(2), 2),
        (categorical, objectives.ScoreFunction(), 1),
        (categorical, objectives.ScoreFunction(2, baseline=keras.layers.Dense(1)), 1),
        (categorical, objectives.VIMCO(2), 2),
    ],
    ids=lambda value: type(value).__name__
    if isinstance(value, objectives.Objective)
    else getattr(value, "__name__", str(value)),
)
def test_estimates_are_unbiased(make, objective, num_samples):
    model = make(objective)
    mean, error = estimates(model)
    exact = exact_gradient(model, num_samples)
    assert np.abs(exact).max() > 0.1
    # Four standard errors a component, of at most 23 components; 1e-4 for float32.
    assert np.all(np.abs(mean - exact) < 4 * error + 1e-4), np.max(np.abs(mean - exact) / error)


def test_path_derivative_has_no_variance_at_the_true_posterior():
    """Roeder et al. 2017: with q = p(z|x) every estimate of the inference gradient is zero; the
    ELBO's own is not."""
    path, elbo = (
        linear_gaussian(objective) for objective in (objectives.PathDerivative(), objectives.ELBO())
    )
    # Decoder: w z + b; the posterior has precision 1 + w^2 / s^2.
    w = path.decoder.get_weights()[0][0]
    variance = 1 / (1 + w @ w / 0.25)
    for model in (path, elbo):
        kernel = np.stack([variance * w / 0.25, np.zeros(4)], axis=1)
        model.encoder.set_weights(
            [
                kernel.astype(np.float32),
                np.array([0, np.arctanh(np.log(variance) / 2 / 8) * 8], np.float32),
            ]
        )
    spread = []
    for model in (path, elbo):
        noise = RowNoise(0, 0, tf.range(len(X)))
        gradient = flat_gradient(
            lambda: tf.reduce_mean(
                model.objective.loss(model, {model.key: tf.constant(X)}, noise)[0]
            ),
            model,
        )
        spread.append(np.abs(gradient[: model.encoder.count_params()]).max())
    assert spread[0] < 1e-4 < 1e-2 < spread[1]


# -- Every argument of every objective

SMALL = {"num_samples": (2, 3)}
REGULARIZED = {"regularizer": (objectives.KL(), objectives.WeightedKL(3.0))}
ARGUMENTS = {
    objectives.ELBO: {**SMALL, **REGULARIZED},
    objectives.FreeBits: {"nats": (0.0, 5.0), **SMALL},
    objectives.ImportanceWeighted: SMALL,
    objectives.PathDerivative: SMALL,
    objectives.DoublyReparameterized: SMALL,
    objectives.ScoreFunction: {
        "baseline": (None, keras.layers.Dense(1, bias_initializer="ones")),
        **SMALL,
        **REGULARIZED,
    },
    objectives.VIMCO: SMALL,
    objectives.Enumeration: REGULARIZED,
    objectives.Relaxation: {"temperature": (0.2, 2.0), **REGULARIZED},
}


def class_style(objective):
    keras.utils.set_random_seed(0)
    mlp = networks.MLP
    return ClassStyleVAE(
        mlp((4,), 3),
        mlp((4,), 4),
        mlp((4,), 4),
        layers.DiagonalNormal(2),
        layers.Normal(4, 0.5),
        num_classes=3,
        objective=objective,
    )


def test_every_argument_of_every_objective_changes_the_gradient():
    defined = [
        value
        for value in vars(objectives).values()
        if inspect.isclass(value) and issubclass(value, objectives.Objective)
    ]
    # `MIWAE` is the importance-weighted bound of x with gaps: tests/test_imputation.py.
    assert set(defined) == {*ARGUMENTS, objectives.Objective, objectives.MIWAE}
    batch, noise = {"vector": tf.constant(X)}, RowNoise(0, 0, tf.range(len(X)))
    for cls, arguments in ARGUMENTS.items():
        signature = inspect.signature(cls).parameters
        plain = {"regularizer"} if cls.needs_plain_kl else set()
        assert (
            set(arguments)
            == {
                name
                for name, parameter in signature.items()
                if parameter.kind is not parameter.VAR_KEYWORD
            }
            - plain
        ), cls
        make = class_style if issubclass(cls, objectives.Enumeration) else linear_gaussian
        for name, values in arguments.items():
            models = [make(cls(**{name: value})) for value in values]
            gradients = [
                flat_gradient(
                    lambda: tf.reduce_mean(model.objective.loss(model, batch, noise)[0]), model
                )
                for model in models
            ]
            assert np.any(np.abs(gradients[0] - gradients[1]) > 1e-4), (cls, name)
            configs = [model.objective.get_config() for model in models]
            assert configs[0][name] != configs[1][name]
            again = cls.from_config(configs[1])
            assert again.get_config() == configs[1]


def test_value_is_minus_the_bound_whatever_the_gradient():
    batch, noise = {"vector": tf.constant(X)}, RowNoise(0, 0, tf.range(len(X)))
    importance = [
        linear_gaussian(objective(3))
        for objective in (
            objectives.ImportanceWeighted,
            objectives.DoublyReparameterized,
            objectives.VIMCO,
        )
    ]
    losses = [model.objective.loss(model, batch, noise)[0] for model in importance]
    for loss in losses[1:]:
        np.testing.assert_allclose(loss, losses[0], rtol=1e-5)
    elbo, score = (
        linear_gaussian(objective(3)) for objective in (objectives.ELBO, objectives.ScoreFunction)
    )
    np.testing.assert_allclose(
        score.objective.loss(score, batch, noise)[0],
        elbo.objective.loss(elbo, batch, noise)[0],
        rtol=1e-4,
    )
    summed, relaxed = class_style(objectives.Enumeration()), class_style(objectives.Relaxation(0.3))
    np.testing.assert_allclose(
        relaxed.objective.loss(relaxed, batch, noise)[0],
        summed.objective.loss(summed, batch, noise)[0],
        rtol=1e-5,
    )


def test_free_bits_are_free_up_to_their_level(make_vae, images):
    """Below the level of every dimension the regularizer is constant; at zero it is the KL."""
    batch, noise = (
        {"image": tf.constant(images / 255.0, tf.float32)},
        RowNoise(0, 0, tf.range(len(images))),
    )
    free, none = (
        make_vae(objective=objectives.FreeBits(50.0)),
        make_vae(objective=objectives.FreeBits(0.0)),
    )
    for model, expected in ((free, 3 * 50.0), (none, None)):
        loss, out = model.objective.loss(model, batch, noise)
        rate = tf.reduce_mean(loss + out.likelihood.log_prob(batch["image"])[0])
        np.testing.assert_allclose(
            rate, tf.reduce_mean(model.kl(out)) if expected is None else expected, rtol=1e-5
        )


def test_objectives_are_refused_where_they_are_not_defined(make_vae):
    with pytest.raises(
        ValueError,
        match="ELBO differentiates through the draw of z, which OneHotCategorical does not allow",
    ):
        categorical(objectives.ELBO())
    with pytest.raises(
        ValueError,
        match="ImportanceWeighted bounds log p.x., and BetaVAE has a regularizer of its own",
    ):
        make_vae(model=BetaVAE, objective=objectives.ImportanceWeighted(2))
    with pytest.raises(
        ValueError,
        match="FreeBits needs the KL of each latent dimension.*Received: .* z, "
        "MultivariateNormalTriL",
    ):
        make_vae(posterior=layers.FullCovarianceNormal(2), objective=objectives.FreeBits())
    with pytest.raises(
        ValueError, match="Enumeration needs a class to sum over, which VAE does not have"
    ):
        make_vae(objective=objectives.Enumeration())
    with pytest.raises(ValueError, match="ELBO differentiates through the draw"):
        class_style(objectives.ELBO())
    with pytest.raises(
        ValueError, match=r"`num_samples` must be an integer of at least 2. Received: num_samples=1"
    ):
        objectives.VIMCO(1)
    with pytest.raises(
        ValueError, match="`num_samples` must be a positive integer. Received: num_samples=0"
    ):
        objectives.ImportanceWeighted(0)
    with pytest.raises(ValueError, match="Received: nats=-1"):
        objectives.FreeBits(-1)
    with pytest.raises(ValueError, match="Received: temperature=0"):
        objectives.Relaxation(0)
    with pytest.raises(
        ValueError, match=r"`baseline` must give one number.*Received: an output of shape \(1, 2\)"
    ):
        make_vae(objective=objectives.ScoreFunction(baseline=networks.MLP((3,), 2)))
