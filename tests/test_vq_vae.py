"""The vector-quantized autoencoder: grids of codes, the bound, tokens and back."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.small_models import NOISE, X, mlp
from zoo import layers
from zoo.random import RowNoise

CODEBOOK = (5, 2)


def of_maps(quantizer=None, **arguments):
    """Codes on a grid of 2 x 2 places."""
    keras.utils.set_random_seed(0)
    encoder = keras.layers.Conv2D(2, 2, strides=2)
    decoder = keras.Sequential([keras.layers.Conv2DTranspose(1, 2, 2), keras.layers.Flatten()])
    quantizer = layers.VectorQuantizer(*CODEBOOK) if quantizer is None else quantizer
    return zoo.VQVAE(encoder, decoder, quantizer, layers.Bernoulli((4, 4, 1)), **arguments)


def flat(output_size=8, **arguments):
    keras.utils.set_random_seed(0)
    quantizer, likelihood = layers.VectorQuantizer(*CODEBOOK), layers.Bernoulli((4, 4, 1))
    return zoo.VQVAE(mlp(output_size), mlp(16), quantizer, likelihood, **arguments)


def test_the_grid_is_that_of_the_encoders_map_or_the_one_that_is_told():
    assert of_maps().codes_shape == of_maps(grid=(2, 2)).codes_shape == (2, 2)
    assert flat().codes_shape == (4,) and flat(grid=(2, 2)).codes_shape == (2, 2)
    residual = layers.ResidualQuantizer(layers.VectorQuantizer(*CODEBOOK), depth=3)
    assert of_maps(residual).codes_shape == (2, 2, 3)


@pytest.mark.parametrize("make", [of_maps, flat])
def test_tokens_and_back_are_the_reconstruction(make):
    model = make()
    codes = model.tokenize(X)
    assert codes.dtype == tf.int32 and codes.shape == (7, *model.codes_shape)
    np.testing.assert_allclose(model.detokenize(codes), model.reconstruct(X), rtol=1e-6)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.tokenize(X), codes)


def test_the_bound_has_the_length_of_the_codes():
    model = of_maps()
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=False)
    log_likelihood = model(X).log_prob(X)
    np.testing.assert_allclose(terms["kl"], np.full(7, 4 * math.log(5)), rtol=1e-6)
    np.testing.assert_allclose(terms["elbo"], log_likelihood - 4 * math.log(5), rtol=1e-5)
    vectors = model.encoder(X)
    nearest = model.quantizer.vectors(model.encode(X))
    commitment = np.sum((vectors - nearest) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(terms["loss"], 0.25 * commitment - terms["elbo"], rtol=1e-4)


def test_the_bound_is_below_the_sum_over_all_codes():
    quantizer = layers.VectorQuantizer(3, 2)
    model = of_maps(quantizer)
    every = np.stack(np.meshgrid(*[np.arange(3)] * 4), -1).reshape(-1, 2, 2).astype(np.int32)
    likelihoods = model.decode(every).log_prob(X[:, None])  # [7, 81]
    log_prob = np.logaddexp.reduce(likelihoods, axis=1) - 4 * math.log(3)
    terms = model.loss_terms({"image": tf.constant(X)}, NOISE, training=False)
    assert np.all(terms["elbo"] <= log_prob + 1e-4)


def test_a_codebook_starts_where_the_encoder_is():
    images = np.random.default_rng(0).random((50, 4, 4, 1)).astype(np.float32)
    model = of_maps()
    before = np.mean(
        model.loss_terms({"image": images}, RowNoise(0, 0, tf.range(50)), False)["commitment"]
    )
    model.start_codebook(images)
    after = np.mean(
        model.loss_terms({"image": images}, RowNoise(0, 0, tf.range(50)), False)["commitment"]
    )
    assert after < 0.2 * before
    assert len(np.unique(model.tokenize(images))) == 5


def test_in_a_graph_a_code_out_of_range_spoils_its_own_row():
    model = of_maps()
    codes = np.array(model.tokenize(X))
    codes[2, 0, 0], codes[4, 1, 1] = 5, -1
    means = tf.function(lambda codes: model.decode(codes).mean())(tf.constant(codes)).numpy()
    spoiled = np.isnan(means).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(np.flatnonzero(spoiled), [2, 4])
    assert np.isfinite(means[~spoiled]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: zoo.VQVAE(mlp(4), mlp(16), mlp(2), layers.Bernoulli((4, 4, 1))),
            "`quantizer` must be a layer of `zoo.layers.quantizers`.* Received: quantizer=<MLP",
        ),
        (lambda: flat(7), r"vectors of the quantizer's 2 elements.* shape \(1, 7\)"),
        (lambda: flat(grid=(3, 2)), r"`grid` must be .*, \(4,\). Received: grid=\(3, 2\)"),
        (lambda: of_maps(grid=4), r"`grid` must be .*, \(2, 2\). Received: grid=\(4,\)"),
        (
            lambda: of_maps(layers.VectorQuantizer(5, 3)),
            r"vectors of the quantizer's 3 elements.* shape \(1, 2, 2, 2\)",
        ),
        (
            lambda: of_maps().detokenize(np.full((1, 2, 2), 5)),
            r"Codes must lie in 0 \.\.\. 4. Received: codes from 5 to 5",
        ),
        (
            lambda: of_maps().detokenize(np.full((1, 2, 2), -1)),
            r"Codes must lie in 0 \.\.\. 4. Received: codes from -1 to -1",
        ),
        (
            lambda: of_maps().detokenize(np.zeros((1, 4), np.int32)),
            r"`codes` must be integers of shape \[B, 2, 2\]. Received: .*shape \(1, 4\)",
        ),
        (
            lambda: of_maps().detokenize(np.zeros((1, 2, 2))),
            r"`codes` must be integers of shape \[B, 2, 2\]. Received: .*float64",
        ),
    ],
)
def test_what_does_not_fit_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- Two levels


def of_two_levels(prior=None, **arguments):
    keras.utils.set_random_seed(0)

    def conv(channels, stride):
        return keras.layers.Conv2D(channels, stride, strides=stride)

    return zoo.TwoLevelVQVAE(
        encoder=conv(3, 2),
        top_encoder=conv(2, 2),
        top_decoder=keras.layers.Conv2DTranspose(3, 2, 2),
        join=conv(2, 1),
        decoder=keras.Sequential([keras.layers.Conv2DTranspose(1, 2, 2), keras.layers.Flatten()]),
        quantizer=layers.VectorQuantizer(*CODEBOOK),
        top_quantizer=layers.VectorQuantizer(*CODEBOOK),
        likelihood=layers.Bernoulli((4, 4, 1)),
        prior=prior,
        **arguments,
    )


def test_codes_of_two_levels_are_the_tops_and_the_bottoms_in_a_row():
    model = of_two_levels()
    codes = model.tokenize(X)
    assert codes.shape == (7, 1 + 4) and model.codes_shape == (5,)
    top, bottom = model.levels_of(codes)
    assert top.shape == (7, 1, 1) and bottom.shape == (7, 2, 2)
    # As the paper's algorithm says, by hand.
    h = model.encoder(X)
    top_codes = model.top_quantizer.codes(model.top_encoder(h))
    above = model.top_decoder(model.top_quantizer.vectors(top_codes))
    bottom_codes = model.quantizer.codes(model.join(tf.concat([h, above], -1)))
    np.testing.assert_array_equal(top, top_codes)
    np.testing.assert_array_equal(bottom, bottom_codes)
    params = model.decoder(tf.concat([model.quantizer.vectors(bottom_codes), above], -1))
    np.testing.assert_allclose(
        model.reconstruct(X), tf.sigmoid(tf.reshape(params, [7, 4, 4, 1])), rtol=1e-5
    )
    np.testing.assert_allclose(model.detokenize(codes), model.reconstruct(X), rtol=1e-6)


def test_two_levels_train_start_and_are_kept(tmp_path):
    network = zoo.networks.CausalTransformer(5, width=8, num_layers=1, num_heads=2)
    model = of_two_levels(layers.AutoregressiveCodes(network))
    images = np.random.default_rng(0).random((50, 4, 4, 1)).astype(np.float32)
    model.start_codebook(images)
    assert len(np.unique(model.levels_of(model.tokenize(images))[0])) == 5
    model.compile(keras.optimizers.Adam(0.01))
    before = model.get_weights()
    history = model.fit(images, batch_size=25, epochs=15, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    moved = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.tokenize(X), model.tokenize(X))
    np.testing.assert_array_equal(loaded.sample(3, seed=1), model.sample(3, seed=1))


def test_levels_of_different_numbers_of_codes_are_refused():
    parts = of_two_levels().get_config()
    parts["quantizer"]["config"]["num_codes"] = 6
    with pytest.raises(ValueError, match="one number of codes. Received: 5, 6"):
        zoo.TwoLevelVQVAE.from_config(parts)
