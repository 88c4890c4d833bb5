"""The report: one page that needs nothing else, with a decoder that computes in it what Python
computes."""

import base64
import io
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import cli, layers, networks
from zoo.report import SCRIPTS, explorer, report
from zoo.report import layers as page_layers
from zoo.runs import training


def mlp(*sizes, **options):
    return networks.MLP(sizes[:-1], sizes[-1], **options)


def class_and_style(make_vae):
    posterior = layers.DiagonalNormal(3)
    return zoo.ClassStyleVAE(
        mlp(8, 10), mlp(8, 6), mlp(8, 16), posterior, layers.Bernoulli(IMAGE_SHAPE)
    )


def convolutional(make_vae):
    posterior, likelihood = layers.DiagonalNormal(3), layers.Normal((13, 10, 2), scale="per_pixel")
    encoder = networks.ConvEncoder(posterior.num_params, filters=(4, 5), hidden_units=7)
    decoder = networks.ConvDecoder(
        (13, 10, 2), likelihood.num_params, filters=(6, 5), hidden_units=(7, 8)
    )
    return zoo.VAE(encoder, decoder, posterior, likelihood)


def with_label(make_vae):
    posterior, likelihood = layers.DiagonalNormal(3), layers.Bernoulli(IMAGE_SHAPE)
    return zoo.CVAE(mlp(8, 6), mlp(8, 16, activation="tanh"), posterior, likelihood, num_classes=4)


def colours(make_vae):
    return make_vae(likelihood=layers.Laplace((4, 5, 3), scale="per_pixel"))


MODELS = {
    "dense": lambda make_vae: make_vae(),
    "classes": class_and_style,
    "colours": colours,
    "convolutional": convolutional,
    "label": with_label,
}


@pytest.mark.parametrize("kind", MODELS)
def test_program_decodes_as_the_model_does(kind, make_vae):
    keras.utils.set_random_seed(1)
    model = MODELS[kind](make_vae)
    program = json.loads(json.dumps(explorer.program(model)))
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    if kind == "label":
        expected, label = model.decode(z, np.full(5, 2, np.int32)).mean(), 2
    elif kind == "classes":
        expected, label = (
            model.decode({"z": z, "y": np.tile(np.eye(10, dtype=np.float32)[7], (5, 1))}).mean(),
            7,
        )
    else:
        expected, label = model.decode(z).mean(), 0
    np.testing.assert_allclose(explorer.decode(program, z, label), expected, atol=1e-5)
    assert sorted(program["order"]) == [0, 1, 2]
    assert explorer.program(model, [2, 0, 1])["order"] == [2, 0, 1]


def test_what_the_page_cannot_decode_is_named(make_vae, monkeypatch):
    posteriors = [layers.DiagonalNormal(4), layers.DiagonalNormal(2)]
    two_layers = zoo.HierarchicalVAE(
        [mlp(8, 8), mlp(8, 4)],
        [mlp(8, 16), mlp(8, 8)],
        posteriors,
        layers.Bernoulli(IMAGE_SHAPE),
        [layers.DiagonalNormal(4)],
    )
    gelu = zoo.VAE(
        mlp(8, 6),
        mlp(8, 16, activation="gelu"),
        layers.DiagonalNormal(3),
        layers.Bernoulli(IMAGE_SHAPE),
    )
    of_vectors = zoo.VAE(
        mlp(8, 6), mlp(8, 5), layers.DiagonalNormal(3), layers.Normal(5, scale=1.0)
    )
    for model, message in (
        (two_layers, "HierarchicalVAE decodes from the latents z1, which sliders cannot say"),
        (make_vae(condition_shape=(2,)), "VAE decodes from what it is given"),
        (
            make_vae(likelihood=layers.ContinuousBernoulli(IMAGE_SHAPE)),
            "not of ContinuousBernoulli",
        ),
        (gelu, "The page knows the activations linear, relu, .*, not gelu"),
        (of_vectors, "The page decodes images, and this is a model of vectors"),
    ):
        with pytest.raises(ValueError, match=message):
            explorer.program(model)
    monkeypatch.setattr(page_layers, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="MB of a page, more than"):
        explorer.program(make_vae())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return training.train(
        "vae_digits",
        {"epochs": "2", "hidden_units": "16"},
        out=tmp_path_factory.mktemp("runs") / "run",
        verbose=0,
    )


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return report(run, "vae_digits", path=tmp_path_factory.mktemp("report") / "page.html")


def test_page_needs_nothing_beside_it(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "@import" not in text
    assert "fetch(" not in text
    assert text.count('class="explorer"') == 2 and text.count("data:image/png;base64,") >= 9
    for words in (
        "not yet measured on the test split",
        "-log p(x) 22.33 nats",
        "validation: elbo",
        "mutual_information",
        "hidden_units=[16]",
        "the decoders on this page run in it",
        "<figcaption>Test images (above), and what the model gives back of them (below).",
    ):
        assert words in text, words
    assert text.count("<figcaption>") == text.count("<figure>")


@pytest.mark.slow
def test_training_curves_are_those_of_the_run_or_lie_beside_the_stored_model(run, models, tmp_path):
    assert (
        report(run, "vae_digits", path=tmp_path / "page.html")
        .read_text(encoding="utf-8")
        .count('alt="Training curves')
        == 2
    )
    (models / "vae_digits" / "curves.png").unlink()
    assert (
        report("vae_digits", path=tmp_path / "page.html")
        .read_text(encoding="utf-8")
        .count('alt="Training curves')
        == 0
    )


def test_absent_data_are_told(tmp_path, monkeypatch):
    def absent(*arguments, **options):
        raise ValueError("Data set 'digits' is not here.")

    monkeypatch.setattr("zoo.data.load", absent)
    text = report("vae_digits", path=tmp_path / "page.html").read_text(encoding="utf-8")
    assert "left out: Data set &#x27;digits&#x27; is not here." in text
    assert text.count("data:image/png;base64,") == 1 and 'class="explorer"' in text


def test_command_and_its_mistakes(run, tmp_path, capsys):
    assert cli.main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert f"Report: {tmp_path}/page.html" in capsys.readouterr().out
    assert cli.main(["report", "a", "b", "c"]) == 2
    assert (
        "A report is about one model, or two side by side. Received: 3." in capsys.readouterr().err
    )


def test_every_target_and_the_file_are_looked_at_before_a_model_is_read(tmp_path, monkeypatch):
    from zoo.store import pretrained

    monkeypatch.setattr(pretrained, "open_model", lambda target: pytest.fail("read"))
    for targets, path, message in (
        (("vae_digits", "vae_mnits"), "page.html", "No recipe is named 'vae_mnits'"),
        (("vae_digits",), ".", "`path` must be a file. Received: path="),
    ):
        with pytest.raises(ValueError, match=message):
            report(*targets, path=tmp_path / path)
    assert list(tmp_path.iterdir()) == []


MOVE = """
const [explorer, dim, value] = [window.explorers[arguments[0]], arguments[1], arguments[2]];
const slider = explorer.sliders.find((each) => Number(each.dataset.dim) === dim);
slider.value = value;
slider.dispatchEvent(new Event("input"));
return [Array.from(explorer.decode()), explorer.canvas.toDataURL()];
"""


def test_a_slider_changes_the_picture_as_python_decodes(page, browser):
    browser.get(page.as_uri())
    model = zoo.load("vae_digits")
    z, seen = np.zeros((1, 8), np.float32), set()
    for dim, value in ((2, 1.5), (5, -2.0), (2, 0.0)):
        z[0, dim] = value
        decoded, canvas = browser.execute_script(MOVE, 1, dim, value)
        np.testing.assert_allclose(
            np.reshape(decoded, (8, 8, 1)), model.decode(z).mean()[0], atol=1e-3
        )
        seen.add(canvas)
    assert len(seen) == 3
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_narrow_page_is_no_wider_than_its_window(page, browser):
    browser.get(page.as_uri())
    sizes = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 400
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def open_page_of(model, browser, directory):
    program = json.dumps(explorer.program(model))
    files = [Path(explorer.__file__).with_name(name) for name in SCRIPTS]
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    body = (
        '<div class="explorer"><canvas></canvas><p class="note"></p><div '
        'class="sliders"></div><select></select>'
    )
    body += (
        '<button class="random"></button><button class="reset"></button><script '
        f'type="application/json">{program}</script></div>'
    )
    (directory / "page.html").write_text(f"{body}<script>{script}</script>")
    browser.get((directory / "page.html").as_uri())


def test_convolutions_and_classes_run_in_the_page(make_vae, browser, tmp_path):
    keras.utils.set_random_seed(1)
    for build in (convolutional, with_label):
        model = build(make_vae)
        open_page_of(model, browser, tmp_path)
        z = np.float32([[0.5, -1.0, 2.0]])
        label = model.num_classes - 1 if build is with_label else 0
        decoded = browser.execute_script(
            "return Array.from(window.explorers[0].decode(arguments[0], arguments[1]))",
            z[0].tolist(),
            label,
        )
        expected = model.decode(z, *([np.int32([label])] if build is with_label else [])).mean()[0]
        np.testing.assert_allclose(
            np.reshape(decoded, model.observation.shape), expected, atol=1e-3
        )


def test_a_page_draws_colours(make_vae, browser, tmp_path):
    keras.utils.set_random_seed(1)
    model = colours(make_vae)
    model.decoder.stack[-1].bias.assign(tf.fill([4 * 5 * 3 * 2], 0.5))
    open_page_of(model, browser, tmp_path)
    _, canvas = browser.execute_script(MOVE, 0, 1, 1.5)
    expected = 255 * model.decode(np.float32([[0, 1.5, 0]])).mean()[0].numpy()
    with Image.open(io.BytesIO(base64.b64decode(canvas.partition(",")[2]))) as picture:
        drawn = np.asarray(picture.convert("RGB"))
    np.testing.assert_allclose(drawn, np.clip(expected, 0, 255), atol=0.51)
