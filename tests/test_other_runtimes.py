"""Encoder and decoder in LiteRT and ONNX: every kind of model, and no file that does not answer."""

import importlib

import keras
import numpy as np
import pytest

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import cli, layers, networks
from zoo.serving import export_litert, export_onnx, other_runtimes

EXPORTS = {"tflite": export_litert, "onnx": export_onnx}


@pytest.fixture(params=EXPORTS)
def write(request):
    for module in {"tflite": ["ai_edge_litert"], "onnx": ["tf2onnx", "onnxruntime"]}[request.param]:
        pytest.importorskip(module, reason=f"needs the extra that brings {module}")
    return EXPORTS[request.param]


def convolutional(make_vae):
    keras.utils.set_random_seed(0)
    posterior, likelihood = layers.DiagonalNormal(3), layers.Bernoulli((16, 16, 1))
    return zoo.VAE(
        networks.ConvEncoder(posterior.num_params, filters=(4, 4), hidden_units=8),
        networks.ConvDecoder((16, 16, 1), likelihood.num_params, filters=(4, 4), hidden_units=8),
        posterior,
        likelihood,
    )


def two_layers(make_vae):
    posteriors, likelihood = (
        [layers.DiagonalNormal(4), layers.DiagonalNormal(2)],
        layers.Bernoulli(IMAGE_SHAPE),
    )
    prior = layers.DiagonalNormal(4)
    return zoo.HierarchicalVAE(
        [networks.MLP((8,), each.num_params) for each in posteriors],
        [networks.MLP((8,), likelihood.num_params), networks.MLP((8,), prior.num_params)],
        posteriors,
        likelihood,
        [prior],
    )


def class_and_style(make_vae):
    posterior, likelihood = layers.DiagonalNormal(3), layers.Bernoulli(IMAGE_SHAPE)
    parts = (networks.MLP((8,), size) for size in (10, posterior.num_params, likelihood.num_params))
    return zoo.ClassStyleVAE(*parts, posterior, likelihood)


def codes(quantizer, code_dim):
    def make(make_vae):
        likelihood = layers.Bernoulli(IMAGE_SHAPE)
        return zoo.VQVAE(
            networks.MLP((8,), 3 * code_dim), networks.MLP((8,), 16), quantizer(), likelihood
        )

    return make


MODELS = {
    "bernoulli": lambda make_vae: make_vae(),
    "continuous-bernoulli": lambda make_vae: make_vae(
        likelihood=layers.ContinuousBernoulli(IMAGE_SHAPE)
    ),
    "normal": lambda make_vae: make_vae(likelihood=layers.Normal(IMAGE_SHAPE)),
    "logistic": lambda make_vae: make_vae(likelihood=layers.DiscretizedLogistic(IMAGE_SHAPE)),
    "colours": lambda make_vae: make_vae(
        likelihood=layers.DiscretizedLogisticMixture((2, 2, 3), num_components=2)
    ),
    "full-covariance": lambda make_vae: make_vae(
        posterior=layers.FullCovarianceNormal(3), condition_shape=(2,)
    ),
    "convolutional": convolutional,
    "two-layers": two_layers,
    "class-and-style": class_and_style,
    "codes": codes(lambda: layers.VectorQuantizer(5, 2), 2),
    "residual-codes": codes(
        lambda: layers.ResidualQuantizer(layers.VectorQuantizer(5, 2), depth=2), 2
    ),
    "levels": codes(lambda: layers.FSQ((3, 4)), 2),
    "bits": codes(lambda: layers.LookupFree(4), 4),
}


@pytest.mark.parametrize("kind", MODELS)
def test_both_files_answer_as_the_model_does(kind, write, make_vae, tmp_path):
    encoder, decoder = write(MODELS[kind](make_vae), tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(
        [encoder.name, decoder.name]
    )
    assert encoder.stem == "encoder" and decoder.stem == "decoder"


def test_litert_file_is_asked_by_names(make_vae, tmp_path):
    interpreter = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="needs the extra 'litert'"
    )
    model = make_vae()
    encoder, decoder = export_litert(model, tmp_path)
    x = np.random.default_rng(0).random((7, *IMAGE_SHAPE)).astype(np.float32)
    answer = interpreter.Interpreter(str(encoder)).get_signature_runner("encode")(image=x)
    np.testing.assert_allclose(answer["loc"], model.encode(x).loc, rtol=1e-4, atol=1e-4)
    answer = interpreter.Interpreter(str(decoder)).get_signature_runner("decode")(z=answer["loc"])
    np.testing.assert_allclose(answer["reconstruction"], model.reconstruct(x), rtol=1e-4, atol=1e-4)


def test_onnx_file_is_asked_by_names(make_vae, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    pytest.importorskip("tf2onnx", reason="needs the extra 'onnx'")
    model = make_vae()
    encoder, decoder = (
        onnxruntime.InferenceSession(str(path)) for path in export_onnx(model, tmp_path)
    )
    x = np.random.default_rng(0).random((7, *IMAGE_SHAPE)).astype(np.float32)
    loc, scale = encoder.run(["loc", "scale"], {"image": x})
    np.testing.assert_allclose(scale, model.encode(x).stddev(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        decoder.run(["reconstruction"], {"z": loc})[0], model.reconstruct(x), rtol=1e-4, atol=1e-4
    )


def test_a_file_that_answers_otherwise_is_not_written(write, make_vae, tmp_path, monkeypatch):
    model, made_up_rows = make_vae(), other_runtimes.made_up_rows
    first = write(model, tmp_path)
    before = [path.read_bytes() for path in first]

    def changing(inputs, rows):
        bias = model.decoder.stack[-1].bias
        bias.assign(bias + 1.0)  # the Python model is another one than the file's by now
        return made_up_rows(inputs, rows)

    monkeypatch.setattr(other_runtimes, "made_up_rows", changing)
    with pytest.raises(
        RuntimeError,
        match=r"decoder\.(tflite|onnx) does not answer as the model does: 'reconstruction' "
        r"differs for 1 rows",
    ):
        write(model, tmp_path)
    assert [path.read_bytes() for path in first] == before and len(list(tmp_path.iterdir())) == 2


def test_a_file_that_does_not_load_is_not_written(make_vae, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx", reason="needs the extra 'onnx'")
    model = make_vae(likelihood=layers.ContinuousBernoulli(IMAGE_SHAPE))
    monkeypatch.setattr(other_runtimes, "HANDLERS", {})  # what tf2onnx writes by itself
    with pytest.raises(RuntimeError, match="encoder.onnx does not run in its own runtime"):
        export_onnx(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_models_without_latents_are_refused(write, tmp_path):
    model = zoo.CompletionNetwork(
        networks.MLP((8,), 16),
        layers.Bernoulli(IMAGE_SHAPE),
        visible=zoo.images.quadrants(IMAGE_SHAPE, 1),
    )
    with pytest.raises(
        ValueError,
        match="CompletionNetwork has no encoder and decoder to export: it answers reconstruct",
    ):
        write(model, tmp_path)


def test_missing_extras_are_named(make_vae, tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(
        ImportError,
        match=r"No module named 'ai_edge_litert.interpreter'. Install it with: pip install "
        r"'vae-zoo\[litert\]'",
    ):
        other_runtimes.export_litert(make_vae(), tmp_path)
    with pytest.raises(ImportError, match=r"pip install 'vae-zoo\[onnx\]'"):
        other_runtimes.export_onnx(make_vae(), tmp_path)


def test_command_writes_both_files(write, tmp_path, capsys):
    name = {export_litert: "litert", export_onnx: "onnx"}[write]
    assert cli.main(["export", "vae_digits", "--format", name, "--out", str(tmp_path)]) == 0
    suffix = {"litert": "tflite", "onnx": "onnx"}[name]
    assert (
        f"Exported: {tmp_path}/vae_digits/encoder.{suffix} and "
        f"{tmp_path}/vae_digits/decoder.{suffix}" in capsys.readouterr().out
    )
