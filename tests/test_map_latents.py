"""A VAE whose latents are a map [H, W, C], and networks that compute in 16 bits."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import zoo
from zoo.models import architecture
from zoo.random import RowNoise
from zoo.serving.saved_model import export

SHAPE, MAP = (8, 4, 3), (4, 2, 3)


def spatial(dtype=None):
    keras.utils.set_random_seed(0)
    posterior = zoo.layers.DiagonalNormal(MAP)
    likelihood = zoo.layers.DiscretizedLogisticMixture(SHAPE, 1)
    model = zoo.VAE(
        zoo.networks.ResidualEncoder(posterior.num_params, (4, 6), maps=True, dtype=dtype),
        zoo.networks.ResidualDecoder(SHAPE, likelihood.num_params, (4, 6), maps=True, dtype=dtype),
        posterior,
        likelihood,
        dtype=dtype,
    )
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (24, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def model(pictures):
    model = spatial()
    history = model.fit(pictures, batch_size=8, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    return model


def test_a_place_of_the_map_sees_its_part_of_the_picture(pictures):
    encoder = zoo.networks.ResidualEncoder(2 * 4 * 2 * 3, (4, 6), maps=True)
    posterior = zoo.layers.DiagonalNormal(MAP)
    tall = np.zeros((2, *SHAPE), np.float32)
    tall[1, 7, 3] = 1.0  # its last corner
    loc = posterior(encoder(tf.constant(tall))).mean()
    moved = np.abs(loc[1] - loc[0]).sum(-1)
    assert moved[3, 1] > 0 and moved[0, 0] == 0


def test_the_bound_of_a_map_is_that_of_its_elements(model, pictures):
    batch = model.prepare(model.standardize(pictures), RowNoise(0, 0, tf.range(len(pictures))))
    q = model.encode(pictures)
    assert q.event_shape == model.prior().event_shape == MAP
    z = q.sample(5, seed=1)
    assert model.decode(z).batch_shape == (5, len(pictures))
    kl = tfp.distributions.kl_divergence(q, model.prior())
    loc, scale = q.mean().numpy(), q.stddev().numpy()
    by_hand = 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum((1, 2, 3))
    np.testing.assert_allclose(kl, by_hand, rtol=1e-4, atol=1e-5)
    terms = model.loss_terms(batch, RowNoise(0, 0, tf.range(len(pictures))), training=False)
    np.testing.assert_allclose(terms["kl"], by_hand, rtol=1e-4, atol=1e-5)


def test_each_element_of_a_map_may_be_active(model, pictures):
    numbers = zoo.evaluate(model, pictures, num_samples=2, verbose=0)
    assert numbers["active_units"]["of"] == 4 * 2 * 3


def test_latents_of_another_shape_are_told(model):
    with pytest.raises(ValueError, match=r"must have the shape \[..., 4, 2, 3\]. Received: shape"):
        model.decode(np.zeros((2, 24), np.float32))


def test_a_map_is_served(model, pictures, tmp_path):
    loaded = tf.saved_model.load(str(export(model, tmp_path)))
    z = loaded.signatures["encode"](image=tf.constant(pictures[:2] / np.float32(255)))["loc"]
    assert z.shape == (2, *MAP)
    served = loaded.signatures["decode"](z=z)["reconstruction"]
    np.testing.assert_allclose(served, model.decode(z).mean(), atol=1e-5)


def test_a_map_is_saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(2), model.sample(2))


def test_what_was_trained_in_16_bits_computes_in_32(pictures):
    mixed = spatial("mixed_bfloat16")
    mixed.fit(pictures, batch_size=8, verbose=0)
    single = architecture.in_float32(mixed)
    assert "float16" not in architecture.as_text(single)
    assert json.loads(architecture.as_text(single)).keys() == {
        *json.loads(architecture.as_text(mixed))
    }
    for a, b in zip(mixed.weights, single.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    x = pictures[:4] / np.float32(255)
    assert mixed.encoder(x).dtype == tf.bfloat16 and single.encoder(x).dtype == tf.float32
    np.testing.assert_allclose(
        tf.cast(mixed.encoder(x), tf.float32), single.encoder(x), rtol=0.05, atol=0.05
    )
    assert architecture.in_float32(single) is single


def test_a_ladder_takes_a_precision_of_its_own():
    ladder = zoo.models.residual_ladder(
        zoo.layers.Bernoulli((7, 6, 1)), (1, 1), (4, 6), (1, 2), patch=2, dtype="mixed_bfloat16"
    )
    ladder.compile("adam", jit_compile=False)
    images = np.random.default_rng(0).integers(0, 256, (8, 7, 6, 1), np.uint8)
    losses = ladder.fit(images, batch_size=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    text = architecture.as_text(ladder)
    assert '"float32"' in text  # the layers of distributions alone
    assert {layer.compute_dtype for layer in (*ladder.priors, *ladder.states)} == {"bfloat16"}
