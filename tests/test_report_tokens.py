"""The page's decoders of tokens, and of other likelihoods and networks: in NumPy as in Keras, in a
browser as in NumPy."""

import json

import keras
import numpy as np
import pytest

import zoo
from zoo import layers, networks
from zoo.report import SCRIPTS, _file, _tokens, explorer, tokens

GREY, COLOURS = (9, 10, 1), (9, 10, 3)
LIKELIHOODS = {
    "bernoulli": lambda: layers.Bernoulli(GREY),
    "logistic": lambda: layers.DiscretizedLogistic(GREY, scale="per_pixel"),
    "shared scale": lambda: layers.DiscretizedLogistic(GREY, scale="shared"),
    "fixed scale": lambda: layers.DiscretizedLogistic(GREY, scale=0.05),
    "normal": lambda: layers.Normal(GREY, scale="per_pixel"),
    "mixture": lambda: layers.DiscretizedLogisticMixture(COLOURS, num_components=3),
    "grey mixture": lambda: layers.DiscretizedLogisticMixture(GREY, num_components=2),
}
NETWORKS = {
    "residual": {"filters": (4, 6), "maps": True, "patch": 2},
    "bottleneck": {"filters": (8, 4), "maps": True, "bottleneck": True, "upsampling": "subpixel"},
}


def tokenizer(likelihood="mixture", network="residual", **arguments):
    keras.utils.set_random_seed(0)
    likelihood, options = LIKELIHOODS[likelihood](), NETWORKS[network] | arguments
    shape = likelihood.event_shape
    # The grid of the decoder's coarsest maps: images are cropped from what they grow to.
    factor = options.get("patch", 1) * 2
    grid = (-(-shape[0] // factor), -(-shape[1] // factor))
    model = zoo.VQVAE(
        networks.MLP((4,), grid[0] * grid[1] * 2),
        networks.ResidualDecoder(shape, likelihood.num_params, **options),
        layers.VectorQuantizer(5, 2),
        likelihood,
        grid=grid,
    )
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(0.3 * generator.normal(size=weight.shape))
    return model, generator.integers(0, 256, (3, *shape)).astype(np.uint8)


@pytest.mark.parametrize(
    ("likelihood", "network"),
    [*((likelihood, "residual") for likelihood in LIKELIHOODS), ("mixture", "bottleneck")],
)
def test_numpy_decodes_tokens_as_the_model_does(likelihood, network):
    model, images = tokenizer(likelihood, network)
    program = json.loads(json.dumps(tokens.program(model, images)))
    codes = np.random.default_rng(0).integers(0, 5, (4, *model.codes_shape)).astype(np.int32)
    np.testing.assert_allclose(
        tokens.decode(program, codes), model.detokenize(codes), atol=2e-5, err_msg=likelihood
    )
    np.testing.assert_array_equal(program["pictures"], np.reshape(model.tokenize(images), (3, -1)))


def test_sliders_move_a_residual_decoder_as_well():
    keras.utils.set_random_seed(0)
    posterior, likelihood = layers.DiagonalNormal(3), layers.DiscretizedLogistic(GREY)
    model = zoo.VAE(
        networks.MLP((4,), posterior.num_params),
        networks.ResidualDecoder(GREY, likelihood.num_params, (4, 6)),
        posterior,
        likelihood,
    )
    for weight in model.trainable_weights:
        weight.assign(0.3 * np.random.default_rng(1).normal(size=weight.shape))
    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    received = explorer.decode(explorer.program(model), z)
    np.testing.assert_allclose(received, model.decode(z).mean(), atol=2e-5)


def test_what_the_page_cannot_show_is_named():
    model, images = tokenizer(gated=True)
    with pytest.raises(ValueError, match="residual blocks without gates or normalization"):
        tokens.program(model, images)
    residual = layers.ResidualQuantizer(layers.VectorQuantizer(5, 2), depth=2)
    model = zoo.VQVAE(
        networks.MLP((4,), 4), networks.MLP((4,), 90), residual, layers.Bernoulli(GREY)
    )
    with pytest.raises(ValueError, match=r"one code .* at each place. The codes here are \(2, 2\)"):
        tokens.program(model, images)
    with pytest.raises(ValueError, match="shows tokens of images. This is a VAE"):
        tokens.program(zoo.load("vae_digits"), images)
    assert "No tokens: there are no test images here" in _tokens(model, None)


CHANGE = """
const [page, place, code] = [window.tokens[0], arguments[0], arguments[1]];
page.cells[place].click();
page.slider.value = code;
page.slider.dispatchEvent(new Event("input"));
return [Array.from(page.decode()), page.canvas.toDataURL(), page.cells[place].textContent];
"""


@pytest.mark.parametrize(
    ("likelihood", "network"),
    [("mixture", "residual"), ("logistic", "residual"), ("bernoulli", "bottleneck")],
)
def test_another_token_changes_the_picture_as_python_decodes(
    likelihood, network, browser, tmp_path
):
    model, images = tokenizer(likelihood, network)
    body = _tokens(model, {"image": images})
    scripts = "\n".join(map(_file, SCRIPTS))
    (tmp_path / "page.html").write_text(f"{body}<script>{scripts}</script>", encoding="utf-8")
    browser.get((tmp_path / "page.html").as_uri())
    codes, seen = np.array(model.tokenize(images[:1])), set()
    for place, code in ((0, 4), (3, 2), (0, 1)):
        codes.reshape(-1)[place] = code
        decoded, canvas, text = browser.execute_script(CHANGE, place, code)
        np.testing.assert_allclose(
            np.reshape(decoded, model.observation.shape), model.detokenize(codes)[0], atol=1e-3
        )
        assert text == str(code)
        seen.add(canvas)
    assert len(seen) == 3
    browser.execute_script("document.querySelector('.reset').click()")
    decoded = browser.execute_script("return Array.from(window.tokens[0].decode())")
    np.testing.assert_allclose(
        np.reshape(decoded, model.observation.shape), model.reconstruct(images[:1])[0], atol=1e-3
    )
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
