import logging

import keras
import numpy as np
import pytest
from scipy import stats

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import layers, networks
from zoo.evaluation import latents
from zoo.random import EVALUATION_STEP, RowNoise, Stream


@pytest.fixture(scope="module")
def model(make_vae, images):
    # Sixteen pixels are worth few nats.
    model = make_vae(pixels="as_given", model=zoo.BetaVAE, beta=0.02)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(images, batch_size=10, epochs=30, verbose=0)
    return model


def test_numbers_are_those_of_a_float64_computation(model, images):
    received = latents.LatentReader(model, images, num_examples=30, seed=4)()
    q = model.encode(images[:30])
    loc, scale = q.loc.numpy().astype(np.float64), q.stddev().numpy().astype(np.float64)
    z = (
        loc
        + scale * RowNoise(4, EVALUATION_STEP, np.arange(30)).normal(Stream.LATENT, (3,)).numpy()
    )
    densities = stats.norm.pdf(z[:, None], loc, scale).prod(axis=-1)  # q(z_i | x_j)
    information = np.mean(np.log(np.diagonal(densities)) - np.log(densities.mean(axis=1)))
    kl_per_dim = 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).mean(axis=0)
    assert received["active_units"] == (loc.var(axis=0) > 0.01).sum() > 0
    assert received["latent_dim"] == 3
    np.testing.assert_allclose(received["kl_per_dim"], kl_per_dim, rtol=1e-4)
    assert received["kl"] == pytest.approx(kl_per_dim.sum(), rel=1e-4)
    assert received["mutual_information"] == pytest.approx(information, rel=1e-4)
    assert received["marginal_kl"] == pytest.approx(kl_per_dim.sum() - information, rel=1e-3)
    assert 0 < received["mutual_information"] <= np.log(30) + 1e-6
    assert received["prior_distance"] > 0


def test_a_posterior_that_is_the_prior_holds_nothing(make_vae, images):
    model = make_vae()
    # Q(z|x) = N(0, I).
    model.encoder.stack[-1].kernel.assign(np.zeros_like(model.encoder.stack[-1].kernel))
    model.compile()
    numbers = latents.LatentReader(model, images)()
    assert numbers["active_units"] == 0
    for name in ("kl", "mutual_information", "marginal_kl"):
        assert numbers[name] == pytest.approx(0.0, abs=1e-5)
    message = latents.collapse(numbers)
    assert "Posterior collapse: 0 of 3 latent dimensions are active" in message
    assert "KL(q || p) is 0.000 nats" in message
    assert "zoo.objectives.FreeBits" in message and "zoo.schedules.Linear" in message
    assert "0 of 3 latent dimensions are active" in latents.table(numbers)
    assert latents.collapse_of(model, images) == message


def test_monitor_logs_every_epoch_and_names_a_collapse_once(make_vae, images, caplog):
    model = make_vae(model=zoo.BetaVAE, beta=1000.0)  # nothing is worth its nats
    model.compile(keras.optimizers.Adam(3e-2))
    with caplog.at_level(logging.WARNING, "zoo"):
        history = model.fit(
            images,
            batch_size=10,
            epochs=40,
            callbacks=[latents.LatentMonitor(images, num_examples=20)],
            verbose=0,
        ).history
    assert len(history["latent_active_units"]) == len(history["latent_mutual_information"]) == 40
    assert history["latent_active_units"][-1] == 0
    assert sum("Posterior collapse" in record.message for record in caplog.records) >= 1
    assert sum("Posterior collapse" in record.message for record in caplog.records) < 5


def test_a_healthy_model_is_left_alone(model, images):
    numbers = latents.LatentReader(model, images)()
    assert latents.collapse(numbers) is None and latents.collapse_of(model, images) is None
    assert "KL by dimension, nats:" in latents.table(numbers)


def test_active_dimensions_are_no_collapse_however_few_nats_they_cost():
    assert latents.collapse({"active_units": 2, "latent_dim": 2, "kl": 0.09}) is None
    assert "0 of 2 latent dimensions are active" in latents.collapse(
        {"active_units": 0, "latent_dim": 2, "kl": 0.5}
    )


def test_full_covariance_and_conditions_are_read(make_vae, images):
    model = make_vae(posterior=layers.FullCovarianceNormal(3), condition_shape=(2,))
    model.compile()
    numbers = latents.LatentReader(
        model, {"image": images, "condition": np.ones((40, 2), np.float32)}, num_examples=10
    )()
    assert "kl_per_dim" not in numbers and np.isfinite(numbers["mutual_information"])


def test_what_cannot_be_read_is_refused(model, images):
    autoencoder = zoo.Autoencoder(
        networks.MLP((8,), 2), networks.MLP((8,), 16), layers.Bernoulli(IMAGE_SHAPE)
    )
    with pytest.raises(
        ValueError, match="Only a model with one latent vector z can be read. Received: Autoencoder"
    ):
        latents.LatentReader(autoencoder, images)
    with pytest.raises(ValueError, match="At least two images are needed. Received: 1"):
        latents.LatentReader(model, images[:1])


def test_what_is_read_is_told_by_what_the_model_is_of():
    likelihood, posterior = layers.Poisson(6), layers.DiagonalNormal(2)
    model = zoo.VAE(networks.MLP((4,), 4), networks.MLP((4,), 6), posterior, likelihood)
    counts = np.random.default_rng(0).poisson(3.0, (5, 6))
    numbers = latents.LatentReader(model, counts)()
    assert latents.most_information(numbers) == "5 cells can show 1.61 at most"
    assert "nats of information about the cell (5 cells can" in latents.table(numbers)
    with pytest.raises(ValueError, match="At least two cells are needed. Received: 1"):
        latents.LatentReader(model, counts[:1])
