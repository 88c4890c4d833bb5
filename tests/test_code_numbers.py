"""What codes keep and what they cost, computed again in NumPy; use of codes; collapse by name."""

import math

import keras
import numpy as np
import pytest

import zoo
from zoo import layers, networks, plots
from zoo.evaluation import codes as code_numbers
from zoo.evaluation.likelihood import table
from zoo.models.code_use import CodesUsed, Perplexity

IMAGES = np.random.default_rng(0).integers(0, 256, (37, 12, 12, 1)).astype(np.uint8)


def model_of(quantizer=None, prior=None):
    keras.utils.set_random_seed(0)
    quantizer = layers.VectorQuantizer(5, 2) if quantizer is None else quantizer
    likelihood = layers.DiscretizedLogistic((12, 12, 1))
    model = zoo.VQVAE(
        keras.layers.Conv2D(2, 4, strides=4),
        keras.Sequential([keras.layers.Conv2DTranspose(2, 4, 4), keras.layers.Flatten()]),
        quantizer,
        likelihood,
        prior=prior,
    )
    model.start_codebook(IMAGES)
    model.compile("adam")
    return model


def test_numbers_are_those_of_numpy():
    prior = layers.AutoregressiveCodes(networks.GatedPixelCNN(5, 4, 2, 3))
    model = model_of(prior=prior)
    for weight in prior.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    numbers = zoo.evaluate(model, IMAGES, verbose=0)
    x = IMAGES / np.float32(255)
    codes = model.tokenize(x)
    likelihood = model.decode(codes)
    log_likelihood, log_prior = likelihood.log_prob(x).numpy(), prior(codes).numpy()
    mse = np.mean((x - likelihood.mean()) ** 2)
    counts = np.bincount(np.ravel(codes), minlength=5)
    shares = counts[counts > 0] / counts.sum()
    expected = {
        "nll": np.mean(-log_likelihood - log_prior),
        "elbo": np.mean(log_likelihood + log_prior),
        "kl": np.mean(-log_prior),
        "log_likelihood": np.mean(log_likelihood),
        "code_bits": np.mean(-log_prior) / math.log(2),
        "bits_per_dim": np.mean(-log_likelihood - log_prior) / math.log(2) / 144,
        "mse": mse,
        "psnr": -10 * math.log10(mse),
        "codes_used": len(shares),
        "perplexity": np.exp(-np.sum(shares * np.log(shares))),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(numbers[name]["value"], value, rtol=1e-4, err_msg=name)
    assert numbers.keys() - expected.keys() == {"ssim"}
    assert 0 < numbers["ssim"]["value"] < 1 and numbers["nll"]["is_bound"]
    assert f"{numbers['psnr']['value']:.3f} dB" in table(numbers)


def test_images_given_again_as_they_are_have_no_distortion():
    model = model_of()
    values = {
        "kl": np.zeros(3),
        "log_likelihood": np.zeros(3),
        "squared_error": np.zeros(3),
        "codes": np.array([[0, 1], [1, 1], [4, 4]]),
    }
    numbers = code_numbers.numbers(model, values)
    assert numbers["psnr"]["value"] == 120 and numbers["codes_used"]["value"] == 3
    entropy = -(1 / 6 * math.log(1 / 6) + 1 / 2 * math.log(1 / 2) + 1 / 3 * math.log(1 / 3))
    np.testing.assert_allclose(numbers["perplexity"]["value"], math.exp(entropy))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_epoch_tells_how_many_codes_it_has_seen(jit_compile):
    model = model_of()
    model.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    # A codebook that stays where it is.
    model.quantizer.decay = 1.0
    history = model.fit(IMAGES, batch_size=10, epochs=1, verbose=0, validation_data=IMAGES[:3])
    counts = np.bincount(np.ravel(model.tokenize(IMAGES)), minlength=5)
    shares = counts[counts > 0] / counts.sum()
    history = history.history
    assert history["codes_used"] == [len(shares)]
    np.testing.assert_allclose(
        history["perplexity"], np.exp(-np.sum(shares * np.log(shares))), rtol=1e-5
    )
    assert history["val_codes_used"] == [len(np.unique(model.tokenize(IMAGES[:3])))]


def test_weights_of_rows_weigh_their_codes():
    used, perplexity = CodesUsed(4, "used"), Perplexity(4, "perplexity")
    for metric in (used, perplexity):
        metric.update_state(np.array([[0, 1], [3, 3]], np.int32), np.array([1.0, 0.0], np.float32))
    assert used.result() == 2
    np.testing.assert_allclose(perplexity.result(), 2.0)


def test_collapse_is_named_with_its_cure():
    model = model_of()
    assert code_numbers.collapse_of(model, {"image": IMAGES}) is None
    lost = model_of(layers.VectorQuantizer(64, 2))
    lost.quantizer.sums.assign(1e3 + np.arange(128).reshape(64, 2))
    message = code_numbers.collapse_of(lost, {"image": IMAGES})
    assert message.startswith("Codebook collapse: 1 of 64 codes occur in 333 places.")
    assert "start_codebook" in message and "restart_below" in message and "FSQ" in message


def test_the_codebook_is_shown_code_by_code(tmp_path):
    model = model_of()
    figure = plots.codebook(model, path=tmp_path / "codebook.png")
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    for code in range(5):
        row, column = divmod(code, 4)
        tile = sheet[13 * row + 1 :, 13 * column + 1 :][:12, :12]  # a line between two
        image = model.detokenize(np.full((1, 3, 3), code, np.int32))[0]
        np.testing.assert_allclose(np.squeeze(tile), np.squeeze(image), atol=1e-6)
    assert np.all(sheet[13:, 13:] == 1)  # there is no sixth


def test_curves_show_the_use_of_codes():
    row = {"elbo": -2.0, "kl": 1.0, "log_likelihood": -1.0, "codes_used": 3.0, "perplexity": 2.0}
    history = [{"epoch": epoch, **row} for epoch in (1, 2)]
    figure = plots.curves(history)
    assert [axis.get_ylabel() for axis in figure.axes[-2:]] == ["codes", "codes"]
