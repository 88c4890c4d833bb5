import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from tests.contracts import EXTREMES, check_distribution_layer, check_scale_is_safe
from zoo import layers
from zoo.losses import NegativeLogLikelihood

tfd = tfp.distributions

LAYERS = {
    "diagonal": layers.DiagonalNormal(3),
    "full covariance": layers.FullCovarianceNormal(3),
    "bernoulli": layers.Bernoulli((2, 2, 1)),
    "continuous bernoulli": layers.ContinuousBernoulli((2, 2, 1)),
    "normal, fixed": layers.Normal((2, 2, 1), scale=0.5),
    "normal, shared": layers.Normal((2, 2, 1), scale="shared"),
    "normal, per pixel": layers.Normal((2, 2, 1), scale="per_pixel"),
    "laplace, fixed": layers.Laplace((2, 2, 1), scale=0.5),
    "laplace, shared": layers.Laplace((2, 2, 1), scale="shared"),
    "laplace, per pixel": layers.Laplace((2, 2, 1), scale="per_pixel"),
    "discretized logistic, shared": layers.DiscretizedLogistic((2, 2, 1), scale="shared"),
    "discretized logistic, per pixel": layers.DiscretizedLogistic((2, 2, 1), scale="per_pixel"),
    "logistic mixture, grey": layers.DiscretizedLogisticMixture((2, 2, 1), num_components=3),
    "logistic mixture, colours": layers.DiscretizedLogisticMixture((2, 2, 3), num_components=2),
    "categorical levels": layers.CategoricalLevels((2, 2, 1)),
}


QUICK = (
    "diagonal",
    "bernoulli",
    "normal, per pixel",
    "discretized logistic, shared",
    "logistic mixture, colours",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in LAYERS]
)
def test_contract(name, tmp_path):
    layer = type(LAYERS[name]).from_config(LAYERS[name].get_config())
    params = np.random.default_rng(0).normal(size=(6, layer.num_params)).astype(np.float32)
    check_distribution_layer(layer, params, tmp_path)


def test_parameter_counts():
    assert layers.DiagonalNormal.params_size(5) == 10
    assert layers.FullCovarianceNormal.params_size(5) == 5 + 15
    assert (
        layers.Bernoulli.params_size((8, 8, 3))
        == layers.ContinuousBernoulli.params_size((8, 8, 3))
        == 192
    )
    assert layers.Normal.params_size((8, 8, 3)) == 192
    assert layers.StandardNormal.params_size(5) == 0
    assert layers.Normal.params_size((8, 8, 3), "per_pixel") == 384


def test_densities_are_those_of_scipy():
    generator = np.random.default_rng(0)
    params = generator.normal(size=(4, 6)).astype(np.float32)
    loc, scale = params[:, :3], np.exp(8 * np.tanh(params[:, 3:] / 8))
    z = generator.normal(size=(4, 3)).astype(np.float32)
    expected = stats.norm(loc, scale).logpdf(z).sum(-1)
    np.testing.assert_allclose(layers.DiagonalNormal(3)(params).log_prob(z), expected, rtol=1e-5)

    logits = generator.normal(size=(4, 3)).astype(np.float32)
    bits = generator.integers(0, 2, (4, 3)).astype(np.float32)
    expected = stats.bernoulli(1 / (1 + np.exp(-logits.astype(np.float64)))).logpmf(bits).sum(-1)
    np.testing.assert_allclose(layers.Bernoulli(3)(logits).log_prob(bits), expected, rtol=1e-5)

    per_pixel = layers.Normal(2, scale="per_pixel")(params[:, :4])
    loc, raw = params[:, :4].reshape(4, 2, 2)[..., 0], params[:, :4].reshape(4, 2, 2)[..., 1]
    expected = stats.norm(loc, np.exp(8 * np.tanh(raw / 8))).logpdf(z[:, :2]).sum(-1)
    np.testing.assert_allclose(per_pixel.log_prob(z[:, :2]), expected, rtol=1e-5)


def test_full_covariance_is_a_multivariate_normal_of_its_triangle():
    params = np.random.default_rng(0).normal(size=(3, 9)).astype(np.float32)
    distribution = layers.FullCovarianceNormal(3)(params)
    tril = distribution.scale_tril.numpy()
    assert np.all(np.triu(tril, 1) == 0)
    bound = np.exp(8.0)
    np.testing.assert_allclose(
        tril[0][np.tril_indices(3, -1)], bound * np.tanh(params[0, 6:] / bound), rtol=1e-5
    )
    for row in range(3):
        expected = stats.multivariate_normal(params[row, :3], tril[row] @ tril[row].T).logpdf(
            np.ones(3)
        )
        np.testing.assert_allclose(
            distribution.log_prob(np.ones(3, np.float32))[row], expected, rtol=1e-4
        )


def test_bernoulli_is_the_one_of_tfp_for_grey_outcomes_and_large_logits():
    logits = tf.constant([[-80.0, -5.0, 0.0, 0.3, 5.0, 80.0]])
    x = tf.constant([[0.0, 0.2, 0.5, 1.0, 0.7, 1.0]])
    # The cross-entropy x log p + (1 - x) log(1 - p) of grey levels: TFP's own density, summed over
    # the two outcomes.
    reference = tfd.Bernoulli(logits)
    expected = tf.reduce_sum(
        x * reference.log_prob(1.0) + (1 - x) * reference.log_prob(0.0), axis=-1
    )
    np.testing.assert_allclose(layers.Bernoulli(6)(logits).log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize("logit", [-30.0, -4.0, -0.2, -0.05, 0.0, 0.05, 0.2, 4.0, 30.0])
def test_continuous_bernoulli_is_a_density_with_its_mean(logit):
    layer = layers.ContinuousBernoulli(1)
    x = np.linspace(0, 1, 20001, dtype=np.float32)[:, None]
    distribution = layer(tf.fill([1, 1], logit))
    density = np.exp(distribution.log_prob(x).numpy().astype(np.float64))
    np.testing.assert_allclose(np.trapezoid(density, x[:, 0]), 1.0, rtol=1e-4)
    np.testing.assert_allclose(
        np.trapezoid(density * x[:, 0], x[:, 0]), distribution.mean()[0, 0], rtol=1e-3
    )
    u = np.linspace(0.01, 0.99, 9, dtype=np.float32)
    quantiles = distribution.distribution.quantile(u[:, None, None]).numpy()[:, 0, 0]
    closed = u if logit == 0 else np.log1p(u * np.expm1(np.float64(logit))) / logit
    np.testing.assert_allclose(quantiles, closed, atol=2e-5)


@pytest.mark.parametrize("value", EXTREMES)
def test_continuous_bernoulli_keeps_gradients_finite(value):
    layer = layers.ContinuousBernoulli(2)
    params = tf.constant([[value, value]])
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = layer(params).log_prob(tf.constant([[0.0, 1.0]]))
    assert np.all(np.isfinite(tape.gradient(log_prob, params)))


def test_scales_never_leave_their_bounds():
    check_scale_is_safe(layers.DiagonalNormal(2), lambda q: q.stddev())
    check_scale_is_safe(layers.FullCovarianceNormal(2), lambda q: q.scale_tril)
    check_scale_is_safe(layers.Normal(2, scale="per_pixel"), lambda p: p.stddev())
    check_scale_is_safe(layers.Laplace(2, scale="per_pixel"), lambda p: p.stddev())
    shared = layers.Normal(2, scale="shared")
    shared(tf.zeros([1, 2]))
    for value in EXTREMES:
        shared.raw_scale.assign(value)
        assert np.all(np.isfinite(shared(tf.zeros([1, 2])).stddev()))
        assert np.all(shared(tf.zeros([1, 2])).stddev() > 0)


def test_bounded_scale_is_the_exponential_near_zero():
    raw = np.linspace(-1, 1, 21, dtype=np.float32)
    np.testing.assert_allclose(layers.base.bounded_scale(raw), np.exp(raw), rtol=6e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_number_of_parameters_is_told(name):
    layer = type(LAYERS[name]).from_config(LAYERS[name].get_config())
    with pytest.raises(
        ValueError,
        match=rf"needs {layer.num_params} parameters in the last dimension.*shape \(2, "
        rf"{layer.num_params + 1}\)",
    ):
        layer(tf.zeros([2, layer.num_params + 1]))


def test_wrong_arguments_are_told():
    with pytest.raises(
        ValueError, match=r"positive number, 'shared' or 'per_pixel'. Received: scale=-1.0"
    ):
        layers.Normal(2, scale=-1.0)
    with pytest.raises(ValueError, match="Received: scale='both'"):
        layers.Normal(2, scale="both")
    with pytest.raises(ValueError, match=r"Received: latent_dim=\(0,\)"):
        layers.DiagonalNormal(0)


def test_parameters_of_a_mean_image_give_that_mean():
    mean = np.float32([0.002, 0.1, 0.5, 0.500001, 0.77, 0.998]).reshape(2, 3, 1)
    for cls in (layers.Bernoulli, layers.ContinuousBernoulli, layers.Normal, layers.Laplace):
        layer = cls(mean.shape)
        params = layer.params_of_mean(mean)
        assert params.shape == (layer.num_params,) and params.dtype == tf.float32
        np.testing.assert_allclose(layer(params[None]).mean()[0], mean, rtol=2e-5)
    for scale in ("shared", "per_pixel"):
        layer = layers.DiscretizedLogistic(mean.shape, scale)
        np.testing.assert_array_equal(
            layer(layer.params_of_mean(mean)[None]).distribution.loc[0], mean
        )


def test_parameters_of_black_and_white_pixels_are_finite():
    for cls in (layers.Bernoulli, layers.ContinuousBernoulli):
        params = cls(2).params_of_mean(np.float64([0, 1]))
        np.testing.assert_allclose(cls(2)(params[None]).mean()[0], [1e-3, 1 - 1e-3], rtol=1e-4)


def test_a_likelihood_without_parameters_of_a_mean_says_what_to_define():
    class Mine(layers.likelihoods.Likelihood):
        pass

    with pytest.raises(
        TypeError,
        match="Mine must say which parameters belong to a mean.*Define `params_of_mean",
    ):
        Mine(2).params_of_mean(np.zeros(2))


def functional_vae(latent_dim=2, image_shape=(4, 4, 1)):
    inputs = keras.Input(image_shape)
    h = keras.layers.Dense(16, "relu")(keras.layers.Flatten()(inputs))
    posterior = layers.DiagonalNormal(latent_dim)
    z = layers.Sample(posterior, layers.StandardNormal(latent_dim))(
        keras.layers.Dense(posterior.num_params)(h)
    )
    h = keras.layers.Dense(16, "relu")(z)
    likelihood = layers.Bernoulli(image_shape)
    return keras.Model(inputs, likelihood(keras.layers.Dense(likelihood.num_params)(h)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_functional_vae_trains_saves_and_adds_the_kl_once(jit_compile, images, tmp_path):
    keras.utils.set_random_seed(0)
    model = functional_vae()
    x = (images > 60).astype(np.float32)
    model.compile(
        keras.optimizers.Adam(0.01), loss=NegativeLogLikelihood(), jit_compile=jit_compile
    )
    history = model.fit(x, x, epochs=5, batch_size=16, validation_data=(x, x), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]

    likelihood = model(x)
    posterior_layer = next(
        layer for layer in model.layers if isinstance(layer, layers.Sample)
    ).posterior
    to_params = keras.Model(model.input, model.layers[3].output)
    posterior = posterior_layer(to_params(x))
    variance, loc = posterior.stddev().numpy() ** 2, posterior.loc.numpy()
    # By hand, appendix B of Kingma & Welling.
    kl = 0.5 * (variance + loc**2 - 1 - np.log(variance)).sum(-1)
    expected = np.mean(kl - likelihood.log_prob(x).numpy())
    np.testing.assert_allclose(model.evaluate(x, x, batch_size=40, verbose=0), expected, rtol=1e-5)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x).log_prob(x), likelihood.log_prob(x))


def test_regression_with_uncertainty_finds_both_mean_and_spread():
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, (512, 1)).astype(np.float32)
    y = (2 * x + 0.3 * generator.normal(size=x.shape)).astype(np.float32)
    model = keras.Sequential([keras.layers.Dense(1), layers.Normal(1, scale="shared")])
    model.compile(keras.optimizers.Adam(0.05), loss=NegativeLogLikelihood())
    model.fit(x, y, epochs=40, batch_size=64, verbose=0)
    predictive = model(np.float32([[0.5]]))
    np.testing.assert_allclose(predictive.mean(), [[1.0]], atol=0.1)
    # The spread's standard error is 0.3 / sqrt(2 * 512) = 0.009; five of them and some optimization
    # noise.
    np.testing.assert_allclose(predictive.stddev(), [[0.3]], atol=0.06)


def test_loss_weighs_examples():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), layers.Normal(1)])
    model.compile("sgd", loss=NegativeLogLikelihood())
    x = y = np.ones((4, 1), np.float32)
    weights = np.float32([0, 0, 2, 2])
    np.testing.assert_allclose(
        model.evaluate(x, y, sample_weight=weights, verbose=0),
        model.evaluate(x, y, verbose=0),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        model.evaluate(x, y, sample_weight=0.5 * weights, verbose=0),
        0.5 * model.evaluate(x, y, verbose=0),
        rtol=1e-6,
    )
