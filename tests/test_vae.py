"""The VAE against closed forms, and through every door that Keras has."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks
from zoo.inference.handlers import Given
from zoo.objectives import ELBO
from zoo.random import RowNoise

tfd = tfp.distributions


class LinearGaussian(zoo.VAE):
    """p(z) = N(0, I), p(x|z) = N(W z + b, s^2 I), with any Gaussian q: the model whose every
    quantity is known (Tipping & Bishop 1999)."""

    def exact(self, x):
        """log p(x) [B], and the mean [B, D] and covariance [D, D] of p(z|x), in float64."""
        w, b = (np.asarray(v, np.float64) for v in self.decoder.get_weights())
        w, s2 = w.T, float(self.likelihood_layer.scale) ** 2  # [P, D]
        x = np.asarray(x, np.float64).reshape(len(x), -1)
        log_prob = stats.multivariate_normal(b, w @ w.T + s2 * np.eye(len(b))).logpdf(x)
        covariance = np.linalg.inv(w.T @ w / s2 + np.eye(w.shape[1]))
        return log_prob, (x - b) @ w @ covariance / s2, covariance


@pytest.fixture
def linear():
    def make(posterior):
        keras.utils.set_random_seed(1)
        model = LinearGaussian(
            encoder=networks.MLP((8,), posterior.num_params, "tanh"),
            decoder=keras.layers.Dense(6),
            posterior=posterior,
            likelihood=layers.Normal(6, scale=0.7),
        )
        x = np.random.default_rng(0).random((7, 6)).astype(np.float32)
        return model, x

    return make


def gaussian_kl(loc_q, cov_q, loc_p, cov_p):
    """KL(N_q || N_p) in float64, by hand."""
    inverse = np.linalg.inv(cov_p)
    difference = loc_p - loc_q
    logs = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    return 0.5 * (np.trace(inverse @ cov_q) + difference @ inverse @ difference - len(loc_q) + logs)


def test_kl_of_gaussians_is_the_closed_form(make_vae, images):
    for posterior in (layers.DiagonalNormal(3), layers.FullCovarianceNormal(3)):
        model = make_vae(posterior=posterior)
        assert model.has_analytic_kl
        out = model(images)
        kl = model.kl(out)
        covariance = out.posterior.covariance().numpy().astype(np.float64)
        for row in range(5):
            expected = gaussian_kl(
                out.posterior.loc.numpy()[row].astype(np.float64),
                covariance[row],
                np.zeros(3),
                np.eye(3),
            )
            np.testing.assert_allclose(kl[row], expected, rtol=1e-4, atol=1e-6)


def test_kl_is_zero_when_posterior_equals_prior(make_vae, images):
    model = make_vae()
    last = model.encoder.stack[-1]
    last.kernel.assign(tf.zeros_like(last.kernel))  # loc = 0 and log scale = 0, whatever the image
    np.testing.assert_allclose(model.kl(model(images)), np.zeros(len(images)), atol=1e-6)


class WithoutClosedForm(layers.DiagonalNormal):
    """A posterior whose KL TFP does not know."""

    def distribution(self, params):
        q = super().distribution(params)
        return tfd.Blockwise([q])  # the same distribution under another name


@zoo.random.draw.register(tfd.Blockwise)
def _(distribution, *arguments, **keywords):
    return zoo.random.draw(distribution.distributions[0], *arguments, **keywords)


def test_monte_carlo_kl_stands_in_where_there_is_no_closed_form(make_vae, images):
    analytic, monte_carlo = make_vae(), make_vae(posterior=WithoutClosedForm(3))
    assert (analytic.kl_name, monte_carlo.kl_name) == ("kl", "kl_monte_carlo")
    assert "kl_monte_carlo" in monte_carlo.term_names and "kl" not in monte_carlo.term_names
    noise = RowNoise.of_seed(0, len(images))
    expected = analytic.kl(analytic(images)).numpy()
    out = monte_carlo(images, noise=noise, num_samples=4000)
    samples = (out.posterior.log_prob(out.z) - out.prior.log_prob(out.z)).numpy()
    # Within 5 standard errors of the mean of 4,000 samples, in each of 40 images.
    assert np.all(
        np.abs(monte_carlo.kl(out) - expected) < 5 * samples.std(0) / np.sqrt(4000) + 1e-4
    )


@pytest.mark.parametrize(
    "posterior",
    [layers.DiagonalNormal(2), layers.FullCovarianceNormal(2)],
    ids=["diagonal", "full covariance"],
)
def test_gap_of_the_bound_is_the_kl_to_the_true_posterior_for_any_q(linear, posterior):
    model, x = linear(posterior)
    log_prob, locs, covariance = model.exact(x)
    out = model(x, num_samples=20000)
    log_weights = out.log_weights.numpy().astype(np.float64)  # [S, B]
    for row in range(len(x)):
        gap = gaussian_kl(
            out.posterior.loc.numpy()[row].astype(np.float64),
            out.posterior.covariance().numpy()[row].astype(np.float64),
            locs[row],
            covariance,
        )
        assert gap > 1e-3
        error = log_weights[:, row].std() / np.sqrt(len(log_weights))
        assert abs(log_weights[:, row].mean() - (log_prob[row] - gap)) < 4 * error


def test_importance_sampling_reaches_the_exact_log_probability(linear):
    model, x = linear(layers.DiagonalNormal(2))
    log_prob, _, _ = model.exact(x)
    sums, _ = model.importance_sums(
        {model.key: tf.constant(x)}, RowNoise.of_seed(0, len(x)), 20000, chunk=5000
    )
    # The standard error of log p^ is sqrt(1 / ESS - 1 / S), by the delta method; five of them.
    error = np.sqrt(1 / sums.effective_sample_size().numpy() - 1 / 20000)
    assert np.all(np.abs(model.log_prob(x, num_samples=20000) - log_prob) < 5 * error + 1e-4)


def test_true_posterior_closes_the_gap(linear):
    """With q = p(z|x) every sample weighs log p(x): the bound is exact and has no variance."""
    model, x = linear(layers.FullCovarianceNormal(2))
    log_prob, locs, covariance = model.exact(x)
    posterior = tfd.MultivariateNormalTriL(
        locs.astype(np.float32), np.linalg.cholesky(covariance).astype(np.float32)[None]
    )
    z = zoo.random.draw(posterior, RowNoise.of_seed(0, len(x)), num_samples=3)
    out = model.run(Given({"z": z}), model.as_data(x))
    out["z"].posterior = posterior
    np.testing.assert_allclose(out.log_weights, np.broadcast_to(log_prob, (3, len(x))), rtol=1e-4)


def test_training_a_linear_vae_finds_probabilistic_pca():
    """Its optimum is pPCA's maximum likelihood (Tipping & Bishop 1999, eq. 7), here for a fixed
    noise scale; a diagonal q reaches it."""
    generator = np.random.default_rng(0)
    scale = 0.1
    x = (
        0.5
        + 0.12 * generator.normal(size=(2000, 2)) @ generator.normal(size=(2, 6))
        + scale * generator.normal(size=(2000, 6))
    )
    x = np.clip(x, 0, 1).astype(np.float32)
    keras.utils.set_random_seed(0)
    posterior = layers.DiagonalNormal(2)
    model = zoo.VAE(
        keras.layers.Dense(posterior.num_params),
        keras.layers.Dense(6),
        posterior,
        layers.Normal(6, scale=scale),
    )
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 1200)))
    model.fit(x, batch_size=500, epochs=300, verbose=0)
    elbo = model.evaluate(x, verbose=0, return_dict=True)["elbo"]
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    w = vectors[:, -2:] * np.sqrt(values[-2:] - scale**2)
    best = stats.multivariate_normal(x.mean(0), w @ w.T + scale**2 * np.eye(6)).logpdf(x).mean()
    # One sample of z an image leaves a standard error of about sqrt(D / 2 N) = 0.02 nats; the rest
    # is what 1,200 steps leave open.
    assert best - 0.2 < elbo < best + 0.08


@pytest.mark.parametrize(
    "posterior",
    [layers.DiagonalNormal(3), layers.FullCovarianceNormal(3)],
    ids=["diagonal", "full covariance"],
)
@pytest.mark.parametrize(
    "likelihood",
    [
        layers.Bernoulli(IMAGE_SHAPE),
        layers.ContinuousBernoulli(IMAGE_SHAPE),
        layers.Normal(IMAGE_SHAPE, "shared"),
        layers.Normal(IMAGE_SHAPE, "per_pixel"),
    ],
    ids=["bernoulli", "continuous bernoulli", "normal shared", "normal per pixel"],
)
def test_every_weight_gets_a_gradient_and_eager_graph_and_xla_agree(
    make_vae, images, posterior, likelihood
):
    posterior, likelihood = (
        type(layer).from_config(layer.get_config()) for layer in (posterior, likelihood)
    )
    model = make_vae(posterior=posterior, likelihood=likelihood, objective=ELBO(2))
    assert model.observation.pixels == (
        "binarize" if isinstance(likelihood, layers.Bernoulli) else "as_given"
    )
    assert len(model.trainable_weights) == 8 + (
        1 if getattr(likelihood, "scale", None) == "shared" else 0
    )

    def step():
        noise = RowNoise(0, 5, tf.range(len(images)))
        with tf.GradientTape() as tape:
            terms = model.loss_terms(
                model.prepare({"image": tf.constant(images)}, noise), noise, training=True
            )
            loss = tf.reduce_mean(terms["loss"])
        return terms, tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    terms, gradients = step()
    for gradient in gradients:
        assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
    for jit_compile in (False, True):
        other_terms, other_gradients = tf.function(step, jit_compile=jit_compile)()
        for name, values in terms.items():
            np.testing.assert_allclose(other_terms[name], values, rtol=1e-4, atol=1e-4)
        for a, b in zip(gradients, other_gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_more_samples_average_the_same_bound(make_vae, images):
    one, many = make_vae(), make_vae(objective=ELBO(300))
    for model in (one, many):
        model.compile()
    a, b = (model.evaluate(images, verbose=0, return_dict=True) for model in (one, many))
    assert a["kl"] == pytest.approx(b["kl"], rel=1e-5)
    assert a["elbo"] != b["elbo"]
    assert a["elbo"] == pytest.approx(b["elbo"], rel=0.05)


def test_dynamic_binarization_draws_anew_and_meets_the_grey_level(make_vae):
    model = make_vae()
    grey = np.full((2000, *IMAGE_SHAPE), 51, np.uint8)  # 0.2
    batch = {"image": tf.constant(grey)}
    first, second = (
        model.prepare(batch, RowNoise(0, step, tf.range(2000)))["image"].numpy() for step in (0, 1)
    )
    assert set(np.unique(first)) == {0.0, 1.0}
    assert np.any(first != second)
    assert abs(first.mean() - 0.2) < 4 * np.sqrt(0.16 / first.size)
    binary = np.where(np.arange(16).reshape(1, *IMAGE_SHAPE) % 2, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(
        model.prepare({"image": tf.constant(binary)}, RowNoise(0, 0, tf.range(1)))["image"],
        binary / 255,
    )


def test_decode_takes_any_number_of_sample_dimensions(make_vae):
    model = make_vae(latent_dim=2)
    z = np.random.default_rng(0).normal(size=(2, 3, 5, 2)).astype(np.float32)
    likelihood = model.decode(z)
    assert likelihood.batch_shape == (2, 3, 5)
    np.testing.assert_allclose(likelihood.mean()[1, 2], model.decode(z[1, 2]).mean(), rtol=1e-5)


class TestConditional:
    CONDITION = np.eye(3, dtype=np.float32)[np.arange(40) % 3]

    def test_condition_reaches_both_programs_and_every_door(self, make_vae, images, tmp_path):
        model = make_vae(condition_shape=(3,))
        data = {"image": images, "condition": self.CONDITION}
        model.compile(keras.optimizers.Adam(0.01))
        history = model.fit(data, batch_size=16, epochs=5, validation_data=data, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        stream = tf.data.Dataset.from_tensor_slices(data).batch(16)
        np.testing.assert_allclose(
            model.evaluate(stream, verbose=0), model.evaluate(data, verbose=0), rtol=1e-5
        )

        other = np.roll(self.CONDITION, 1, axis=1)
        z = np.zeros((40, 3), np.float32)
        assert np.any(model.encode(images, self.CONDITION).loc != model.encode(images, other).loc)
        assert np.any(model.decode(z, self.CONDITION).mean() != model.decode(z, other).mean())
        samples = model.decode(np.stack([z, z]), self.CONDITION).mean()
        np.testing.assert_allclose(samples[1], model.decode(z, self.CONDITION).mean(), rtol=1e-5)
        assert model.sample(40, condition=self.CONDITION).shape == (40, *IMAGE_SHAPE)
        assert model.log_prob(images > 127, 8, self.CONDITION).shape == (40,)
        assert model.predict(data, verbose=0).shape == (40, *IMAGE_SHAPE)

        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(
            loaded.reconstruct(images, self.CONDITION), model.reconstruct(images, self.CONDITION)
        )

    def test_wrong_conditions_are_told(self, make_vae, images):
        model = make_vae(condition_shape=(3,))
        model.compile()
        with pytest.raises(
            ValueError, match=r"needs a condition of shape \(3,\) for each example. Received: none"
        ):
            model.fit(images)
        with pytest.raises(
            ValueError,
            match=r"`condition` must have the shape \[40, 3\]. Received: shape \(39, 3\)",
        ):
            model.fit({"image": images, "condition": self.CONDITION[:39]})
        with pytest.raises(ValueError, match=r"Received: shape \(40, 2\)"):
            model.encode(images, self.CONDITION[:, :2])
        with pytest.raises(
            ValueError,
            match=r"VAE takes no condition here. Received: a condition of shape \(40, 3\)",
        ):
            make_vae().reconstruct(images, self.CONDITION)


def test_predict_gives_reconstructions(make_vae, images):
    model = make_vae()
    model.compile()
    expected = model.reconstruct(images)
    assert expected.shape == (40, *IMAGE_SHAPE) and np.all((expected >= 0) & (expected <= 1))
    for x in (
        images,
        {"image": images},
        tf.data.Dataset.from_tensor_slices(images).batch(16),
        images / np.float32(255),
    ):
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_samples_are_a_function_of_seed_and_row(make_vae):
    model = make_vae()
    five, nine = model.sample(5, seed=3), model.sample(9, seed=3)
    assert five.shape == (5, *IMAGE_SHAPE) and set(np.unique(five)) <= {0.0, 1.0}
    np.testing.assert_array_equal(five, nine[:5])
    assert np.any(five != model.sample(5, seed=4))
    rows = model.generate(RowNoise(tf.constant([3, 3]), 0, tf.constant([4, 0])))
    np.testing.assert_array_equal(rows["sample"], tf.gather(five, [4, 0]))


def test_log_prob_is_the_same_in_chunks_and_at_once(make_vae, images):
    model = make_vae()
    x = (images > 60).astype(np.float32)
    at_once = model.importance_weighted_log_prob(x, RowNoise.of_seed(0, 40), 50)
    np.testing.assert_allclose(model.log_prob(x, 50), at_once, rtol=1e-5)
    score = model.score(x, RowNoise.of_seed(0, 40))
    np.testing.assert_allclose(score["elbo"], score["log_likelihood"] - score["kl"], rtol=1e-5)
    # With one sample the bound is log p(x, z) - log q(z): the score with the KL of that sample in
    # place of its mean.
    assert model.log_prob(x, 1).numpy().mean() == pytest.approx(
        score["elbo"].numpy().mean(), rel=0.05
    )


@pytest.mark.parametrize(
    "posterior",
    [
        pytest.param(layers.DiagonalNormal(3), id="diagonal"),
        pytest.param(layers.FullCovarianceNormal(3), id="full covariance", marks=pytest.mark.slow),
    ],
)
def test_saving_keeps_everything(make_vae, images, tmp_path, posterior):
    model = make_vae(posterior=posterior, objective=ELBO(2), pixels="as_given", seed=7)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False, steps_per_execution=2)
    model.fit(images, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert json.loads(json.dumps(loaded.get_config())) == json.loads(json.dumps(model.get_config()))
    assert (loaded.execution, loaded.get_compile_config()["steps_per_execution"]) == ("tf-loop", 2)
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))
    assert loaded.evaluate(images, verbose=0) == model.evaluate(images, verbose=0)
    # It trains on as if it had never been away: optimizer, step and noise included.
    histories = [m.fit(images, batch_size=16, epochs=1, verbose=0).history for m in (model, loaded)]
    assert histories[0] == histories[1]

    model.save_weights(tmp_path / "model.weights.h5")
    fresh = make_vae(posterior=type(posterior).from_config(posterior.get_config()), init_seed=5)
    assert np.any(fresh.reconstruct(images) != model.reconstruct(images))
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh.reconstruct(images), model.reconstruct(images))


def test_saved_files_hold_no_code(make_vae, tmp_path):
    import zipfile

    make_vae().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json").decode()
    assert "lambda" not in config.lower() and "pickle" not in config.lower()


def test_convolutional_vae_trains_and_decodes(images):
    posterior, likelihood = layers.DiagonalNormal(2), layers.Bernoulli(IMAGE_SHAPE)
    model = zoo.VAE(
        networks.ConvEncoder(posterior.num_params, filters=(4, 4), hidden_units=16),
        networks.ConvDecoder(IMAGE_SHAPE, likelihood.num_params, filters=(4, 4), hidden_units=16),
        posterior,
        likelihood,
    )
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(images, batch_size=16, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.decode(np.zeros((2, 3, 2), np.float32)).batch_shape == (2, 3)


def test_keras_functional_models_serve_as_networks(images):
    posterior, likelihood = layers.DiagonalNormal(2), layers.Bernoulli(IMAGE_SHAPE)
    image, z = keras.Input(IMAGE_SHAPE), keras.Input((2,))
    encoder = keras.Model(
        image, keras.layers.Dense(posterior.num_params)(keras.layers.Flatten()(image))
    )
    decoder = keras.Model(z, keras.layers.Dense(likelihood.num_params)(z))
    model = zoo.VAE(encoder, decoder, posterior, likelihood)
    model.compile()
    assert np.isfinite(model.fit(images, verbose=0).history["loss"][0])


def test_wrong_arguments_are_told(make_vae):
    posterior, likelihood = layers.DiagonalNormal(3), layers.Bernoulli(IMAGE_SHAPE)
    with pytest.raises(ValueError, match="Received: num_samples=0"):
        ELBO(0)
    with pytest.raises(
        ValueError, match=r"'binarize', 'dequantize', 'as_given'\. Received: pixels='static'"
    ):
        make_vae(pixels="static")
    with pytest.raises(
        ValueError,
        match=r"`objective` must be one of `zoo.objectives`.* Received: objective='elbo'",
    ):
        make_vae(objective="elbo")
    with pytest.raises(
        ValueError, match=r"`z` must have the shape \[..., 3\]. Received: shape \(2, 4\)"
    ):
        make_vae().decode(np.zeros((2, 4)))
    with pytest.raises(
        ValueError, match=r"`num_rows` must be a positive integer. Received: num_rows=-1"
    ):
        make_vae().sample(-1)
    with pytest.raises(
        ValueError, match=r"`num_samples` must be a positive integer. Received: num_samples=0"
    ):
        make_vae().log_prob(np.zeros((2, *IMAGE_SHAPE), np.uint8), num_samples=0)
    with pytest.raises(
        ValueError,
        match=r"needs 6 parameters in the last dimension. Received: parameters of shape \(1, 5\)",
    ):
        zoo.VAE(networks.MLP((4,), 5), networks.MLP((4,), 16), posterior, likelihood)
    with pytest.raises(
        ValueError, match=r"Bernoulli for outcomes of shape \(4, 4, 1\) needs 16 parameters"
    ):
        zoo.VAE(networks.MLP((4,), 6), networks.MLP((4,), 15), posterior, likelihood)
    with pytest.raises(ValueError, match=r"Received: images of shape \(5, 4, 1\)"):
        make_vae().encode(np.zeros((2, 5, 4, 1), np.uint8))
