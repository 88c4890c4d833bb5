import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import layers
from zoo.files import scratch_directory
from zoo.random import RowNoise
from zoo.serving import graph, saved_model
from zoo.serving.saved_model import export
from zoo.versions import versions


@pytest.fixture(scope="module")
def model(make_vae, images):
    model = make_vae()
    model.compile()
    model.fit(images, batch_size=10, epochs=2, verbose=0)
    return model


def signatures(directory):
    return tf.saved_model.load(str(directory)).signatures


def test_signatures_are_those_of_the_design(model, tmp_path):
    directory = export(model, tmp_path / "model")
    assert directory == tmp_path / "model" / "1"
    shapes = {
        name: (
            {
                key: (spec.dtype, spec.shape.as_list())
                for key, spec in function.structured_input_signature[1].items()
            },
            {
                key: (spec.dtype, spec.shape.as_list())
                for key, spec in function.structured_outputs.items()
            },
        )
        for name, function in signatures(directory).items()
    }
    image, z, seed = (tf.float32, [None, 4, 4, 1]), (tf.float32, [None, 3]), (tf.int32, [None, 2])
    scalar = (tf.float32, [None])
    assert shapes == {
        "serving_default": ({"image": image}, {"reconstruction": image}),
        "reconstruct": ({"image": image}, {"reconstruction": image}),
        "encode": ({"image": image}, {"loc": z, "scale": z}),
        "decode": ({"z": z}, {"reconstruction": image}),
        "sample": ({"seed": seed}, {"z": z, "reconstruction": image, "sample": image}),
        "score": (
            {"image": image, "seed": seed},
            {"elbo": scalar, "kl": scalar, "log_likelihood": scalar},
        ),
        "score_k64": ({"image": image, "seed": seed}, {"log_prob": scalar}),
    }


def test_answers_are_those_of_the_python_methods(model, images, tmp_path):
    served = signatures(export(model, tmp_path / "model"))
    x = (images[:5] > 60).astype(np.float32)
    seed = np.stack([np.full(5, 9), np.arange(5)], axis=-1).astype(np.int32)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(
        served["reconstruct"](image=x)["reconstruction"], model.reconstruct(x), **close
    )
    np.testing.assert_allclose(served["encode"](image=x)["loc"], model.encode(x).loc, **close)
    np.testing.assert_allclose(
        served["encode"](image=x)["scale"], model.encode(x).stddev(), **close
    )
    z = served["encode"](image=x)["loc"]
    np.testing.assert_allclose(
        served["decode"](z=z)["reconstruction"], model.decode(z).mean(), **close
    )
    np.testing.assert_array_equal(served["sample"](seed=seed)["sample"], model.sample(5, seed=9))
    np.testing.assert_allclose(
        served["score_k64"](image=x, seed=seed)["log_prob"],
        model.log_prob(x, num_samples=64, seed=9),
        **close,
    )
    expected = model.score(x, RowNoise.of_seed(9, 5))
    for name, value in served["score"](image=x, seed=seed).items():
        np.testing.assert_allclose(value, expected[name], **close)


def test_a_row_of_an_answer_depends_on_its_own_row_alone(model, images, tmp_path):
    served = signatures(export(model, tmp_path / "model"))
    x = (images[:4] > 60).astype(np.float32)
    seed = np.int32([[1, 2], [3, 4], [1, 2], [-5, 6]])
    for name, question in (
        ("sample", {"seed": seed}),
        ("score", {"image": x, "seed": seed}),
        ("score_k64", {"image": x, "seed": seed}),
    ):
        whole = served[name](**{key: tf.constant(value) for key, value in question.items()})
        for row in range(4):
            alone = served[name](
                **{key: tf.constant(value[row : row + 1]) for key, value in question.items()}
            )
            for key in whole:
                np.testing.assert_allclose(alone[key][0], whole[key][row], rtol=1e-5, atol=1e-5)
    samples = served["sample"](seed=tf.constant(seed))["z"].numpy()
    np.testing.assert_array_equal(samples[0], samples[2])
    assert np.any(samples[0] != samples[1])


def test_conditional_and_full_covariance_models_export_what_they_are(make_vae, tmp_path):
    served = signatures(
        export(
            make_vae(posterior=layers.FullCovarianceNormal(3), condition_shape=(2,)),
            tmp_path / "model",
        )
    )
    for name, function in served.items():
        assert function.structured_input_signature[1]["condition"].shape.as_list() == [None, 2], (
            name
        )
    assert served["encode"].structured_outputs["scale_tril"].shape.as_list() == [None, 3, 3]


def test_models_trained_in_16_bits_answer_in_32(tmp_path):
    import keras

    from zoo import networks

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        posterior, likelihood = layers.DiagonalNormal(3), layers.Bernoulli(IMAGE_SHAPE)
        model = zoo.VAE(
            networks.MLP((16,), posterior.num_params),
            networks.MLP((16,), likelihood.num_params),
            posterior,
            likelihood,
        )
    finally:
        keras.config.set_dtype_policy(policy)
    for function in signatures(export(model, tmp_path / "model")).values():
        assert {spec.dtype for spec in function.structured_outputs.values()} == {tf.float32}


def test_versions_count_up_and_are_never_overwritten(make_vae, tmp_path):
    model = make_vae()
    assert [
        export(model, tmp_path / "model", version=version).name for version in (None, 7, None)
    ] == ["1", "7", "8"]
    assert versions(tmp_path / "model") == [1, 7, 8] and versions(tmp_path / "absent") == []
    with pytest.raises(ValueError, match="Version 7 exists"):
        export(model, tmp_path / "model", version=7)
    with pytest.raises(ValueError, match="must be a positive integer. Received: version=0"):
        export(model, tmp_path / "model", version=0)


def test_exports_at_once_take_the_next_free_version(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("another process's")
    numbers = iter([1, 1, 2])  # it took 1 while this one was writing
    monkeypatch.setattr(saved_model, "_next_version", lambda directory: next(numbers))
    with scratch_directory(tmp_path, "1") as beside:
        (beside / "assets.extra").mkdir()
        (beside / "saved_model.pb").write_text("mine")
        assert saved_model._publish(beside, tmp_path, None, {"recipe": "model"}) == tmp_path / "2"
    card = json.loads((tmp_path / "2" / "assets.extra" / "card.json").read_text())
    assert card["version"] == 2 and card["files"].keys() == {"2/saved_model.pb"}
    with (
        scratch_directory(tmp_path, "1") as beside,
        pytest.raises(ValueError, match="Version 2 exists: .* Leave `version` out"),
    ):
        (beside / "assets.extra").mkdir()
        saved_model._publish(beside, tmp_path, 2, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_directory_that_is_a_file_is_told_before_anything_is_traced(
    make_vae, tmp_path, monkeypatch
):
    monkeypatch.setattr(saved_model, "signatures", lambda model: pytest.fail("traced"))
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError,
        match="`directory` must be a directory. Received: directory='.*file/model', where "
        "'.*file' is a file",
    ):
        export(make_vae(), tmp_path / "file" / "model")


def test_card_lies_beside_the_graph_with_the_hashes_of_the_files(make_vae, tmp_path):
    from zoo.versions import file_hashes

    directory = export(make_vae(), tmp_path / "model", card={"recipe": "model"})
    card = json.loads((directory / "assets.extra" / "card.json").read_text())
    assert card["version"] == 1 and card["files"] == file_hashes(directory)
    assert {"1/saved_model.pb", "1/variables/variables.index"} <= card["files"].keys()


class StatefulDraw(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return super().reconstruct(x) + 0.0 * tf.random.normal([])


class CompiledInside(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return tf.function(lambda x: super(CompiledInside, self).reconstruct(x), jit_compile=True)(
            x
        )


class PythonInside(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return tf.ensure_shape(
            tf.numpy_function(lambda x: x, [super().reconstruct(x)], tf.float32),
            [None, *IMAGE_SHAPE],
        )


class MeanOverBatch(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return tf.reduce_mean(super().reconstruct(x), axis=0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (StatefulDraw, "'no draw without a seed': it holds RandomStandardNormal"),
        (CompiledInside, "a stock server refuses functions that have to be"),
        (PythonInside, "'no op of Python': it holds PyFunc"),
        (
            MeanOverBatch,
            "'reconstruct' cannot be served by rows: "
            "output 'reconstruction' does not lead with the batch",
        ),
    ],
)
def test_graphs_that_a_server_refuses_are_not_written(broken, message, make_vae, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        export(make_vae(model=broken), tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_ops_of_other_libraries_and_damaged_graphs_are_named(model, tmp_path):
    directory = export(model, tmp_path / "model")
    meta_graph = graph.read(directory)
    assert (
        set(graph.graph_problems(meta_graph).values())
        == set(graph.signature_problems(meta_graph).values())
        == {None}
    )
    nodes = [
        node for function in meta_graph.graph_def.library.function for node in function.node_def
    ]
    next(node for node in nodes if node.op == "MatMul").op = "Addons>MatMul"
    assert (
        graph.graph_problems(meta_graph)["no op that TensorFlow does not have"]
        == "it holds Addons>MatMul"
    )
    meta_graph.signature_def["encode"].outputs["loc"].dtype = tf.bfloat16.as_datatype_enum
    assert graph.signature_problems(meta_graph)["encode"] == "JSON has no bfloat16: output 'loc'"
    (directory / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be read"):
        graph.read(directory)
    with pytest.raises(ValueError, match="holds no saved_model.pb"):
        graph.read(tmp_path)


def test_answers_that_differ_are_not_written(make_vae, tmp_path, monkeypatch):
    model = make_vae()
    write = saved_model._write

    def write_and_change(model, functions, directory, packed):
        write(model, functions, directory, packed)
        bias = model.decoder.stack[-1].bias
        bias.assign(bias + 1.0)

    monkeypatch.setattr(saved_model, "_write", write_and_change)
    with pytest.raises(
        RuntimeError,
        match="Signature 'reconstruct' does not answer as the model does: 'reconstruction' differs",
    ):
        export(model, tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_a_process_with_tensorflow_alone_draws_the_same_samples(model, tmp_path):
    directory = export(model, tmp_path / "model")
    probe = Path(saved_model.__file__).with_name("probe.py")
    output = subprocess.run(
        [sys.executable, "-I", str(probe), str(directory), str(tmp_path / "sheet.png")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "sample: seed(None, 2)" in output and "48 samples answered by the SavedModel" in output
    sheet = tf.io.decode_png(tf.io.read_file(str(tmp_path / "sheet.png"))).numpy()
    zoom, cell = 48 // 4, 48 + 2  # a gap of two pixels before each image, and one after the last
    assert sheet.shape == (4 * cell + 2, 12 * cell + 2, 1)
    # Second row, second column.
    expected = model.generate(RowNoise.of_seed(0, 48))["reconstruction"].numpy()[13]
    np.testing.assert_allclose(
        sheet[cell + 2 : 2 * cell : zoom, cell + 2 : 2 * cell : zoom] / 255, expected, atol=1 / 255
    )
