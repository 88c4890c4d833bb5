"""Weights that lie packed in an export, and graphs without what no runtime reads."""

import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from zoo import packing
from zoo.models import exported as exported_models
from zoo.serving import graph, saved_model
from zoo.serving.runtime import Session
from zoo.serving.signatures import made_up_rows, signatures


@pytest.fixture(scope="module")
def model(make_vae, images):
    model = make_vae(hidden=(32,))
    model.compile()
    model.fit(images, batch_size=10, epochs=2, verbose=0)
    packing.round_weights(model)
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return saved_model.export(model, tmp_path_factory.mktemp("packed") / "model", packed=True)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(1e-12, 1e12))
def test_rounding_is_to_a_hundredth_of_the_spread_and_happens_once(seed, rows, columns, scale):
    array = (scale * np.random.default_rng(seed).standard_t(3, size=(rows, columns))).astype(
        np.float32
    )
    once = packing.unpack(packing.pack(array), array.shape, array.dtype)
    assert np.abs(once - array).max() <= array.std() / packing.RESOLUTION / 2 * (1 + 1e-5)
    np.testing.assert_array_equal(packing.unpack(packing.pack(once), once.shape, once.dtype), once)


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(size=7).astype(np.float32),
        np.zeros((3, 4), np.float32),
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.float32(2.5),
        np.where(np.arange(250_000) == 7, 1e9, np.random.default_rng(0).normal(size=250_000))
        .astype(np.float32)
        .reshape(500, 500),
        np.array([[np.nan, 1.0]], np.float32),
    ],
    ids=["vector", "zeros", "integers", "scalar", "outlier", "nan"],
)
def test_what_cannot_be_rounded_is_kept(array):
    array = np.asarray(array)
    received = packing.unpack(packing.pack(array), array.shape, array.dtype)
    assert received.dtype == array.dtype
    np.testing.assert_array_equal(received, array)


def test_a_matrix_takes_little_more_than_its_entropy():
    array = np.random.default_rng(0).normal(size=(500, 300)).astype(np.float32)
    step, _ = packing.multiples(array)
    # Bits of a standard normal in small steps: Cover & Thomas, theorem 8.3.1.
    entropy = np.log2(np.sqrt(2 * np.pi * np.e) / step)
    assert entropy < len(packing.pack(array)) * 8 / array.size < entropy + 0.15


def test_damaged_bytes_are_told():
    array = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="cannot be inflated"):
        packing.unpack(packing.pack(array)[:-5], array.shape, array.dtype)
    with pytest.raises(ValueError, match=r"of 38 bytes do not fit the shape \(5, 4\)"):
        packing.unpack(packing.pack(array), (5, 4), array.dtype)


def test_runtimes_unpack_what_python_reads(model, exported):
    """TensorFlow's loader for Python, and the C++ runtime of TF Serving."""
    loaded = tf.saved_model.load(str(exported))
    with Session(exported) as session:
        for name, signature in signatures(model).items():
            rows = made_up_rows(signature.inputs, 3)
            expected = signature.traced()(
                **{key: tf.constant(value) for key, value in rows.items()}
            )
            answers = (
                loaded.signatures[name](**{key: tf.constant(value) for key, value in rows.items()}),
                session.run(name, rows),
            )
            for answer in answers:
                for output, value in expected.items():
                    np.testing.assert_allclose(answer[output], value, rtol=1e-5, atol=1e-5)


def test_weights_are_read_back_to_the_bit(model, exported):
    for received, expected in zip(
        exported_models.read_model(exported).weights, model.weights, strict=True
    ):
        np.testing.assert_array_equal(received, expected)


def test_two_models_in_one_process_keep_their_weights(model, exported, make_vae, tmp_path):
    other = make_vae(hidden=(32,), init_seed=1)
    packing.round_weights(other)
    first = tf.saved_model.load(str(exported))
    second = tf.saved_model.load(str(saved_model.export(other, tmp_path / "other", packed=True)))
    z = tf.constant([[0.5, -1.0, 2.0]])
    for loaded, expected in ((first, model), (second, other)):
        np.testing.assert_allclose(
            loaded.signatures["decode"](z=z)["reconstruction"], expected.decode(z).mean(), rtol=1e-5
        )


def test_weights_that_are_not_rounded_are_refused(make_vae, tmp_path):
    with pytest.raises(RuntimeError, match="does not answer as the model does"):
        saved_model.export(make_vae(hidden=(200,)), tmp_path / "model", packed=True)
    assert not list((tmp_path / "model").glob("*"))


def test_damaged_packed_weights_are_told(exported, make_vae):
    with pytest.raises(ValueError, match="The weights .* cannot be read"):
        exported_models.read_weights(make_vae(hidden=(31,)), exported)


def test_packed_exports_are_smaller(model, exported, tmp_path):
    whole = saved_model.export(model, tmp_path / "model")
    sizes = [
        (directory / "variables" / "variables.data-00000-of-00001").stat().st_size
        for directory in (whole, exported)
    ]
    assert sizes[1] < sizes[0]


def test_graphs_hold_no_shapes_no_twins_and_no_long_names(model, tmp_path):
    directory = saved_model.export(model, tmp_path / "model")
    functions = graph.read(directory).graph_def.library.function
    assert functions
    for function in functions:
        constants = [
            (node.attr["value"].SerializeToString(), node.attr["dtype"].type)
            for node in function.node_def
            if node.op == "Const"
        ]
        assert len(set(constants)) == len(constants)
        for node in function.node_def:
            assert "_output_shapes" not in node.attr and node.name.rpartition("_")[0] == node.op


def test_the_fingerprint_is_that_of_the_smaller_graph(model, tmp_path):
    directory = saved_model.export(model, tmp_path / "model")
    written = (directory / "fingerprint.pb").read_bytes()
    received = tf.saved_model.experimental.read_fingerprint(str(directory))
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    assert written and received.graph_def_program_hash and saved.meta_graphs


def test_packed_bytes_are_deflated_quotients_and_remainders():
    """The format, written down: it is in files that people keep."""
    array = np.array([[1.0, -2.0, 300.0], [0.0, -37.0, 5.0], [0.0, 0.0, 3000.0]], np.float32)
    content = zlib.decompress(packing.pack(array))
    step = np.frombuffer(content[:4], np.float32)[0]
    assert step == 8.0
    low, high, pairs = (
        np.frombuffer(content[4:13], np.uint8),
        np.frombuffer(content[13:22], np.int8),
        np.frombuffer(content[22:], np.uint8),
    )
    multiples = np.round(array.ravel() / 8).astype(int)  # 0, 0, 38, 0, -5, 1, 0, 0, 375
    np.testing.assert_array_equal(256 * high.astype(int) + low, multiples // 16 + 128)
    np.testing.assert_array_equal(pairs, [0, 38 % 16, 11 + 16 * 1, 0, 375 % 16])
    np.testing.assert_array_equal(
        packing.unpack(packing.pack(array), array.shape, array.dtype).ravel(), 8 * multiples
    )
