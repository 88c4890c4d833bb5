"""Kinds of models beside the VAE of images: other regularizers, updates, observations, latents and
states, through the same paths."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import zoo
from tests.conftest import IMAGE_SHAPE
from tests.small_models import NOISE, X, mlp, parts
from zoo import layers, observations, plots
from zoo.engine import execution
from zoo.engine.checkpoints import Checkpoint
from zoo.evaluation import evaluate
from zoo.models import architecture
from zoo.random import RowNoise, draw
from zoo.runs import training
from zoo.runs.run import Run
from zoo.serving import check, export

IMAGES = np.random.default_rng(0).integers(0, 256, (21, *IMAGE_SHAPE)).astype(np.uint8)
VECTORS = np.random.default_rng(1).normal(3.0, 2.0, (21, 5)).astype(np.float32)
WITH_GAPS = np.where(np.random.default_rng(2).random(VECTORS.shape) < 0.3, np.nan, VECTORS)
COLOURS = np.random.default_rng(4).integers(0, 256, (21, 4, 4, 3)).astype(np.uint8)
COUNTS = np.random.default_rng(3).negative_binomial(2, 0.1, (21, 6))
MODES = {"xla": {"jit_compile": True}, "loop": {"jit_compile": False}}


def vectors(missing=True):
    posterior, likelihood = layers.DiagonalNormal(2), layers.Normal(5, scale="shared")
    keras.utils.set_random_seed(0)
    return zoo.VAE(
        mlp(4), mlp(5), posterior, likelihood, observation=observations.Vector(5, missing=missing)
    )


def counts():
    keras.utils.set_random_seed(0)
    return zoo.VAE(mlp(4), mlp(6), layers.DiagonalNormal(2), layers.NegativeBinomial(6))


def colours(likelihood):
    keras.utils.set_random_seed(0)
    model = zoo.VAE(mlp(4), mlp(likelihood.num_params), layers.DiagonalNormal(2), likelihood)
    model.start_at_data(COLOURS)
    return model


def conv(channels):
    return keras.Sequential(
        [
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(channels, 1),
        ]
    )


@keras.saving.register_keras_serializable(package="tests")
class Beside(keras.layers.Layer):
    """A convolution of maps and of those beside them."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.network = channels, conv(channels)

    def build(self, x_shape, condition_shape=None):
        self.network.build((*x_shape[:-1], x_shape[-1] + condition_shape[-1]))

    def call(self, x, condition=None):
        return self.network(keras.ops.concatenate([x, condition], axis=-1))

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def ladder(groups=2):
    keras.utils.set_random_seed(0)
    return zoo.LadderVAE(
        features=[conv(3) for _ in range(groups)],
        posteriors=[Beside(4) for _ in range(groups)],
        priors=[conv(4) for _ in range(groups)],
        states=[Beside(3) for _ in range(groups)],
        latents=[layers.DiagonalNormal((4, 4, 2)) for _ in range(groups)],
        decoder=keras.Sequential([conv(1), keras.layers.Flatten()]),
        likelihood=layers.Bernoulli(IMAGE_SHAPE),
        state_shape=(4, 4, 3),
    )


def quantized():
    keras.utils.set_random_seed(0)
    return zoo.VQVAE(
        mlp(6), mlp(16), layers.VectorQuantizer(5, 2, decay=0.9), layers.Bernoulli(IMAGE_SHAPE)
    )


KINDS = {
    "beta-TCVAE": (lambda: zoo.BetaTCVAE(*parts()), IMAGES),
    "FactorVAE": (lambda: zoo.FactorVAE(*parts(), discriminator=mlp(2)), IMAGES),
    "vectors": (vectors, WITH_GAPS),
    "counts": (counts, COUNTS),
    "ladder": (ladder, IMAGES),
    "quantizer": (quantized, IMAGES),
    "colours": (lambda: colours(layers.DiscretizedLogisticMixture((4, 4, 3), 2)), COLOURS),
    "levels": (lambda: colours(layers.CategoricalLevels((4, 4, 3))), COLOURS),
}
QUICK = ("FactorVAE", "vectors", "counts")


def compiled(make, **mode):
    model = make()
    others = {update.name: keras.optimizers.Adam(0.01) for update in model.updates[1:]}
    model.compile(keras.optimizers.Adam(0.01), optimizers=others, **mode)
    return model


def assert_same(model, other, **tolerance):
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), **tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_the_way_of_the_vae(kind, tmp_path):
    make, data = KINDS[kind]
    model = compiled(make, jit_compile=False)
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(data, batch_size=8, epochs=2, validation_data=data, verbose=0).history
    assert set(history) >= set(model.term_names) and np.isfinite(list(history.values())).all()
    moved = [np.any(w.numpy() != b) for w, b in zip(model.trainable_weights, before, strict=True)]
    assert np.mean(moved) > 0.7  # a bias before a BatchNormalization has no gradient
    # Saved and loaded, it goes on to the same bits: step, optimizers and moving averages.
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(data, batch_size=8, epochs=1, verbose=0)
    assert_same(model, loaded, rtol=0, atol=0)
    np.testing.assert_allclose(
        model.predict(data, batch_size=7, verbose=0), model.reconstruct(data), rtol=1e-5, atol=1e-5
    )
    numbers = evaluate(model, data, num_samples=8, verbose=0)
    assert np.isfinite([number["value"] for number in numbers.values()]).all()
    assert [
        finding
        for finding in check(export(model, tmp_path / "served"))
        if finding.problem is not None
    ] == []
    if model.key == "image":
        plots.pictures(model, {"image": data}, tmp_path)
        assert (tmp_path / "reconstructions.png").is_file()


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[] if k in QUICK else pytest.mark.slow) for k in KINDS]
)
def test_every_kind_trains_the_same_in_all_modes_and_resumes(kind, tmp_path):
    make, data = KINDS[kind]
    models = [compiled(make, **mode) for mode in ({"run_eagerly": True}, *MODES.values())]
    for model in models:
        model.fit(data, batch_size=8, epochs=2, verbose=0)
    for model in models[1:]:
        assert_same(model, models[0], rtol=1e-3, atol=1e-4)
    stopped, again = compiled(make, jit_compile=False), compiled(make, jit_compile=False)
    stopped.fit(data, batch_size=8, epochs=1, callbacks=[Checkpoint(tmp_path)], verbose=0)
    epoch, step = Checkpoint(tmp_path).restore(again)
    again.fit(data, batch_size=8, epochs=2, initial_epoch=epoch, initial_step=step, verbose=0)
    assert_same(again, models[2], rtol=0, atol=0)


RECIPE = '''"""An adversary, on digits."""

import zoo


def recipe(*, epochs: int = 3) -> zoo.Recipe:
    def model():
        posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.Bernoulli((8, 8, 1))
        parts = [zoo.networks.MLP((6,), part.num_params) for part in (posterior, likelihood)]
        return zoo.FactorVAE(*parts, posterior, likelihood, discriminator=zoo.networks.MLP((6,), 2))

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(0.01)

    dataset = zoo.Dataset(
        name="digits", train="train[:100]", validation="train[100:130]", test="test[:20]"
    )
    others = {"discriminator": optimizer}
    return zoo.Recipe(
        family="FactorVAE",
        model=model,
        optimizer=optimizer,
        optimizers=others,
        dataset=dataset,
        epochs=epochs,
        batch_size=30,
    )
'''


def test_a_run_with_an_adversary_goes_on_to_the_same_bits_and_opens(tmp_path, monkeypatch):
    # Compiling takes longer than these few steps.
    monkeypatch.setattr(execution, "execution_mode", lambda *arguments: "eager")
    (tmp_path / "adversary.py").write_text(RECIPE, encoding="utf-8")
    whole = Run.open(
        training.train(tmp_path / "adversary.py", out=tmp_path / "whole", verbose=0)
    ).load_model()
    save, saved = Checkpoint._save, []

    def save_and_stop(self, **state):
        save(self, **state)
        saved.append(state)
        if len(saved) == 6:  # within the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "_save", save_and_stop)
        training.train(
            tmp_path / "adversary.py", out=tmp_path / "stopped", checkpoint_minutes=0, verbose=0
        )
    again = Run.open(
        training.train(tmp_path / "adversary.py", out=tmp_path / "stopped", resume=True, verbose=0)
    ).load_model()
    assert_same(again, whole, rtol=0, atol=0)
    again.fit(np.zeros((4, 8, 8, 1), np.uint8), verbose=0)  # opened, it trains on


# -- Each against what it is defined by


def test_parts_of_the_kl_are_those_of_minibatch_weighted_sampling():
    model = zoo.BetaTCVAE(*parts(), beta=6.0, num_examples=100)
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=False)
    trace = model(X, noise=NOISE)
    z, loc, scale = (
        np.asarray(v, np.float64)
        for v in (trace.z[0], trace.posterior.loc, trace.posterior.stddev())
    )
    log_q = stats.norm(loc, scale).logpdf(z[:, None])  # [i, j, D]: log q(z_i | x_j)
    log_q_z = special.logsumexp(log_q.sum(-1), axis=1) - np.log(100 * len(X))
    log_q_each = (special.logsumexp(log_q, axis=1) - np.log(100 * len(X))).sum(-1)
    own = log_q[np.arange(len(X)), np.arange(len(X))].sum(-1)
    expected = (own - log_q_z, log_q_z - log_q_each, log_q_each - stats.norm.logpdf(z).sum(-1))
    for name, values in zip(
        ("mutual_information", "total_correlation", "dimension_kl"), expected, strict=True
    ):
        np.testing.assert_allclose(terms[name], values, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        terms["loss"],
        expected[0] + 6 * expected[1] + expected[2] - terms["log_likelihood"],
        rtol=1e-3,
    )


def test_a_discriminator_moves_by_its_own_loss_and_the_vae_by_its_own():
    data = {"image": tf.constant(X)}
    model = zoo.FactorVAE(*parts(), discriminator=mlp(2), gamma=10.0)
    model.compile(
        keras.optimizers.SGD(0.0),
        optimizers={"discriminator": keras.optimizers.SGD(0.5)},
        jit_compile=False,
    )
    vae = [weight.numpy() for weight in model.updates[0].weights]
    adversary = [weight.numpy() for weight in model.discriminator.weights]
    terms = model.loss_terms(data, NOISE, training=True)
    np.testing.assert_allclose(
        terms["loss"],
        terms["kl"] - terms["log_likelihood"] + 10 * terms["total_correlation"],
        rtol=1e-4,
    )
    logits = np.asarray(model.discriminator(model(X, noise=NOISE).z[0]), np.float64)
    np.testing.assert_allclose(
        terms["total_correlation"], logits[:, 0] - logits[:, 1], rtol=1e-3, atol=1e-5
    )
    losses = model.fit(X, batch_size=7, epochs=30, verbose=0).history["discriminator_loss"]
    assert losses[-1] < losses[0]
    assert all(
        np.array_equal(w.numpy(), b) for w, b in zip(model.updates[0].weights, vae, strict=True)
    )
    assert any(
        np.any(w.numpy() != b) for w, b in zip(model.discriminator.weights, adversary, strict=True)
    )


def test_bound_of_vectors_with_gaps_is_that_of_the_marginal():
    """p(x) = N(b, W W^T + s^2 I): of what was seen, the same with those rows and columns alone."""
    model = zoo.VAE(
        keras.layers.Dense(4),
        keras.layers.Dense(5),
        layers.DiagonalNormal(2),
        layers.Normal(5, 0.7),
        observation=observations.Vector(5, missing=True),
    )
    # Q = N(0, I): an untrained q that is not would need many more samples.
    model.encoder.kernel.assign(tf.zeros([10, 4]))
    kernel, bias = (np.asarray(w, np.float64) for w in model.decoder.get_weights())
    data = WITH_GAPS[:6] / 10
    received = model.log_prob(data, num_samples=20000).numpy()
    for row, value in zip(data, received, strict=True):
        seen = ~np.isnan(row)
        covariance = (kernel.T @ kernel + 0.49 * np.eye(5))[np.ix_(seen, seen)]
        assert value == pytest.approx(
            stats.multivariate_normal(bias[seen], covariance).logpdf(row[seen]), abs=0.1
        )
    with pytest.raises(
        ValueError,
        match=r"Received: \d+ vectors with NaN. Where NaN means .*Vector\(5, missing=True\)",
    ):
        vectors(missing=False).encode(WITH_GAPS)


def test_a_model_of_data_in_any_range_starts_at_their_mean_and_scale():
    model = vectors(missing=False)
    model.start_at_data(1000.0 + 50.0 * VECTORS)
    x = model.decode(np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(x.mean()[0], 1000.0 + 50.0 * VECTORS.mean(0), rtol=0.05)
    np.testing.assert_allclose(
        x.distribution.scale, 50.0 * np.sqrt(VECTORS.var(0).mean()), rtol=0.01
    )


def test_counts_are_those_of_scipy():
    layer = layers.NegativeBinomial(6)
    logits, library = (
        np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32),
        np.array([10, 300, 5000, 40], np.float32),
    )
    layer(logits)
    layer.raw_dispersion.assign(np.linspace(-1, 1, 6))
    theta = np.exp(8 * np.tanh(np.linspace(-1, 1, 6) / 8))
    mean = library[:, None] * special.softmax(logits.astype(np.float64), axis=-1)
    expected = stats.nbinom(theta, theta / (theta + mean))
    x = COUNTS[:4].astype(np.float32)
    for mode in (lambda f: f, tf.function(jit_compile=True)):
        p = mode(lambda: layer(logits, library=tf.constant(library)).log_prob(x))()
        np.testing.assert_allclose(p, expected.logpmf(x).sum(-1), rtol=1e-3)
    draws = tf.function(
        lambda: draw(
            layer(logits, library=tf.constant(library)), RowNoise.of_seed(0, 4), num_samples=2000
        ),
        jit_compile=True,
    )()
    np.testing.assert_array_equal(draws, np.round(draws))
    error = expected.std() / np.sqrt(2000)
    assert np.all(np.abs(np.mean(draws, axis=0) - expected.mean()) < 5 * error)
    # The share of draws at or below the median, within five standard errors of a share.
    median = expected.median()
    assert np.all(
        np.abs((np.asarray(draws) <= median).mean(0) - expected.cdf(median))
        < 5 * 0.5 / np.sqrt(2000)
    )


def test_each_network_of_a_ladder_runs_once_a_pass_and_its_statistics_move():
    model = ladder(5)
    assert list(model.latents) == ["z1", "z2", "z3", "z4", "z5"] and model.has_analytic_kl
    moving = [w for w in model.non_trainable_weights if "moving_variance" in w.path]
    before = [w.numpy() for w in moving]
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    model.fit(IMAGES, batch_size=21, epochs=1, verbose=0)
    assert all(np.any(w.numpy() != b) for w, b in zip(moving, before, strict=True))
    trace = model(X, noise=NOISE, num_samples=3)
    assert trace["z5"].z.shape == (3, 7, 4, 4, 2) and trace.log_weights.shape == (3, 7)


def test_a_codebook_is_the_moving_average_of_what_it_codes():
    layer = layers.VectorQuantizer(3, 2, decay=0.9)
    x = np.random.default_rng(0).normal(size=(8, 4, 2)).astype(np.float32)
    counts, sums = layer.counts.numpy(), layer.sums.numpy()
    codes = np.argmin(((x[..., None, :] - sums / counts[:, None]) ** 2).sum(-1), axis=-1)
    quantized, received, _ = layer(x, training=True)
    np.testing.assert_array_equal(received, codes)
    np.testing.assert_allclose(quantized, (sums / counts[:, None])[codes], rtol=1e-5)
    chosen = np.eye(3)[codes].reshape(-1, 3)
    np.testing.assert_allclose(layer.counts, 0.9 * counts + 0.1 * chosen.sum(0), rtol=1e-5)
    np.testing.assert_allclose(
        layer.sums, 0.9 * sums + 0.1 * chosen.T @ x.reshape(-1, 2), rtol=1e-4, atol=1e-5
    )


def test_what_a_subclass_encodes_and_decodes_is_what_is_trained():
    class Halved(zoo.VAE):
        def encode(self, x, condition=None, *, training=None):
            return layers.DiagonalNormal(2)(
                0.0 * self.posterior_layer(self.encoder(self.as_data(x)["image"])).loc[:, :1]
                + tf.ones([1, 4])
            )

        def decode(self, z, condition=None, *, training=None, **companions):
            return super().decode(0.5 * z, condition, training=training, **companions)

    model = Halved(*parts())
    trace = model(X, noise=NOISE)
    np.testing.assert_allclose(trace.posterior.loc, np.ones((7, 2)))
    np.testing.assert_allclose(
        trace.likelihood.mean(), zoo.VAE.decode(model, 0.5 * trace.z).mean(), rtol=1e-5
    )
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=True)
    np.testing.assert_allclose(terms["log_likelihood"], trace.log_likelihood[0], rtol=1e-5)


# -- What they refuse


def test_what_does_not_fit_is_told_in_one_line():
    posterior, likelihood = layers.DiagonalNormal(2), layers.Bernoulli(IMAGE_SHAPE)

    def vae(**arguments):
        return zoo.VAE(mlp(4), mlp(16), posterior, likelihood, **arguments)

    with pytest.raises(
        ValueError, match=r"`observation` must have the shape \(4, 4, 1\).* Received: \(5,\)"
    ):
        vae(observation=observations.Vector(5))
    with pytest.raises(
        ValueError, match="NegativeBinomial is over an observation Counts. Received: Vector"
    ):
        zoo.VAE(
            mlp(4),
            mlp(6),
            posterior,
            layers.NegativeBinomial(6),
            observation=observations.Vector(6),
        )
    with pytest.raises(
        ValueError,
        match="`pixels` is for images. Received: pixels='binarize', and a likelihood over cells",
    ):
        zoo.VAE(mlp(4), mlp(6), posterior, layers.NegativeBinomial(6), pixels="binarize")
    with pytest.raises(
        ValueError, match="FactorVAE takes `optimizers` for 'discriminator'. Received: none"
    ):
        zoo.FactorVAE(*parts(), discriminator=mlp(2)).compile("adam")
    with pytest.raises(
        ValueError, match=r"VAE takes no `optimizers` beside `optimizer`. Received: \['adversary'\]"
    ):
        vae().compile("adam", optimizers={"adversary": "adam"})
    with pytest.raises(
        ValueError,
        match="The loss is a function of the number of examples, which a stream does not tell",
    ):
        model = zoo.BetaTCVAE(*parts())
        model.compile(run_eagerly=True)
        model.fit(
            tf.data.Dataset.from_tensor_slices(IMAGES).batch(7).repeat(),
            steps_per_epoch=2,
            verbose=0,
        )
    with pytest.raises(
        ValueError, match="Counts must be whole numbers.* Received: fractions, such as .*.5"
    ):
        counts().encode(COUNTS + 0.5)
    with pytest.raises(ValueError, match="Counts must be whole numbers.* Received: int64 in .-1"):
        counts().encode(COUNTS - COUNTS.min() - 1)


class Twice(zoo.VAE):
    def program(self, latent, data, training=None):
        latent("z", prior=self.prior, posterior=lambda: self.encode(data["image"]))
        return super().program(latent, data, training)


class Unnamed(zoo.VAE):
    def guide(self, latent, data, training=None):
        for name in ("z", "w"):
            latent(name, posterior=lambda: self.encode(data["image"]))


class Unguided(zoo.VAE):
    def guide(self, latent, data, training=None):
        latent("w", posterior=lambda: self.encode(data["image"]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Twice, "Each latent is named once in a pass. Received: 'z' a second time"),
        (Unnamed, "The program must name each latent that the guide draws. Received: none for 'w'"),
        (
            Unguided,
            "The guide must draw each latent that the program names. Received: none for 'z'",
        ),
    ],
)
def test_programs_that_do_not_name_their_latents_are_told(model, message):
    with pytest.raises(ValueError, match=message):
        model(*parts())


def test_what_older_versions_of_keras_do_not_know_is_left_out_where_it_says_nothing():
    config = {"units": 3, "renorm": False, "kernel_initializer": {"input_axes": None, "seed": None}}
    assert architecture.for_any_version({"layers": [config]}) == {
        "layers": [{"units": 3, "kernel_initializer": {"seed": None}}]
    }
    assert architecture.for_any_version([{"renorm": True}]) == [{"renorm": True}]
