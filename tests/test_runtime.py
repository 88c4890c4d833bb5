"""What the C++ runtime says of exported models, as a stock server would."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.random import RowNoise
from zoo.serving import export, runtime

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def model(make_vae, images):
    model = make_vae()
    model.compile()
    model.fit(images, batch_size=10, verbose=0)
    return model


@pytest.fixture(scope="module")
def directory(model, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def session(directory):
    with runtime.Session(directory) as session:
        yield session


def seeds(num_rows):
    return np.stack([np.full(num_rows, 7), np.arange(num_rows)], axis=-1).astype(np.int32)


def ask(directory, questions, path):
    """The answers of a process of its own, and what it has imported."""
    np.savez(path / "questions.npz", **questions)
    command = [
        sys.executable,
        "-I",
        runtime.__file__,
        str(directory),
        str(path / "questions.npz"),
        str(path / "answers.npz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(path / "answers.npz") as archive:
        answers = {name: archive[name] for name in archive.files}
    return answers, set(answers.pop("modules"))


def test_a_process_without_python_packages_answers_as_the_model_does(model, directory, tmp_path):
    generator = np.random.default_rng(0)
    questions, expected = {}, {}
    for num_rows in (1, 5, 64):
        x, seed = (generator.random([num_rows, 4, 4, 1]) < 0.5).astype(np.float32), seeds(num_rows)
        questions |= {f"{num_rows}/encode/image": x, f"{num_rows}/sample/seed": seed}
        questions |= {f"{num_rows}/score/image": x, f"{num_rows}/score/seed": seed}
        noise = RowNoise.of_seed(7, num_rows)
        expected[f"{num_rows}/encode/loc"] = model.encode(x).loc
        expected[f"{num_rows}/sample/z"] = model.generate(noise)["z"]
        expected[f"{num_rows}/score/elbo"] = model.score(x, noise)["elbo"]
    answers, modules = ask(directory, questions, tmp_path)
    for name, value in expected.items():
        np.testing.assert_allclose(answers[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    assert not modules & {"zoo", "keras", "tf_keras", "tensorflow_probability"}
    again, _ = ask(directory, questions, tmp_path)
    assert all(again[name].tobytes() == value.tobytes() for name, value in answers.items()), (
        "the same seed gave other bytes"
    )


def test_signatures_are_read_from_the_files(session):
    assert session.signatures["sample"].inputs["seed"][1:] == ("int32", (None, 2))
    assert {name: port[1:] for name, port in session.signatures["encode"].outputs.items()} == {
        "loc": ("float32", (None, 3)),
        "scale": ("float32", (None, 3)),
    }


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("dream", {}, "no signature 'dream': there are decode, encode"),
        (
            "score",
            {"image": np.zeros([1, 4, 4, 1], np.float32)},
            "takes the inputs image, seed. Received: image",
        ),
        ("encode", {"image": np.zeros([1, 4, 4, 1])}, "double"),
        ("encode", {"image": np.zeros([1, 5, 5, 1], np.float32)}, "shape"),
        ("encode", {"image": np.float32(0)}, "shape"),
        ("encode", {"image": np.array(["a"])}, "cannot be sent"),
    ],
    ids=["signature", "missing", "dtype", "shape", "scalar", "strings"],
)
def test_a_bad_request_is_refused_and_the_next_one_answered(signature, inputs, message, session):
    with pytest.raises(runtime.RuntimeFailure, match=message):
        session.run(signature, inputs)
    assert session.run("sample", {"seed": seeds(2)})["sample"].shape == (2, 4, 4, 1)


@pytest.fixture
def held(monkeypatch):
    """The C++ objects that were made and are not deleted yet."""
    library, pointers = runtime._library(), set()

    def noted(name, note):
        function = getattr(library, name)

        def call(*arguments):
            pointer = function(*arguments)
            note(pointer, arguments)
            return pointer

        monkeypatch.setattr(library, name, call)

    for made in ("TF_NewGraph", "TF_LoadSessionFromSavedModel"):
        noted(made, lambda pointer, arguments: pointers.add(pointer))
    for deleted in ("TF_DeleteGraph", "TF_DeleteSession"):
        noted(deleted, lambda pointer, arguments: pointers.discard(arguments[0]))
    return pointers


def test_graphs_and_sessions_are_given_back_whether_or_not_they_load(
    directory, held, tmp_path, monkeypatch
):
    with runtime.Session(directory):
        assert len(held) == 2
    assert held == set()
    with pytest.raises(runtime.RuntimeFailure, match="Could not find SavedModel"):
        runtime.Session(tmp_path)
    assert held <= {None}  # no session was made
    monkeypatch.setattr(runtime, "_ports", lambda definitions: 1 / 0)  # fails once it is loaded
    with pytest.raises(ZeroDivisionError):
        runtime.Session(directory)
    assert held <= {None}


def test_what_is_no_saved_model_is_refused(tmp_path):
    with pytest.raises(runtime.RuntimeFailure, match="Could not find SavedModel"):
        runtime.Session(tmp_path)


def test_outputs_that_numpy_cannot_hold_are_refused(tmp_path):
    signature = tf.function(lambda x: {"y": tf.cast(x, tf.bfloat16)}).get_concrete_function(
        tf.TensorSpec([None], tf.float32, name="x")
    )
    tf.saved_model.save(tf.Module(), str(tmp_path), {"halve": signature})
    with (
        runtime.Session(tmp_path) as session,
        pytest.raises(runtime.RuntimeFailure, match="TF_DataType 14 cannot be read"),
    ):
        session.run("halve", {"x": np.ones(3, np.float32)})


def test_a_compiled_function_is_refused_as_by_a_stock_server(tmp_path):
    double = tf.function(
        lambda x: 2 * x,
        jit_compile=True,
        input_signature=[tf.TensorSpec([None], tf.float32, name="x")],
    )
    module = tf.Module()
    signature = tf.function(lambda x: {"y": double(x)}).get_concrete_function(
        tf.TensorSpec([None], tf.float32, name="x")
    )
    tf.saved_model.save(module, str(tmp_path / "1"), {"double": signature})
    answers, _ = ask(tmp_path / "1", {"a/double/x": np.ones(3, np.float32)}, tmp_path)
    assert "XLA compilation disabled" in str(answers["a/double"])


def soak(directory, seconds):
    command = [
        sys.executable,
        str(BENCHMARKS / "serving_soak.py"),
        str(directory),
        "--seconds",
        str(seconds),
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_five_seconds_of_mixed_requests(directory, session):
    done = soak(directory, 5)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 3 * len(session.signatures) + 1
    assert "wrong requests refused" in lines[-1]
    assert int(lines[-1].split()[0].replace(",", "")) > 25


@pytest.mark.slow
def test_five_minutes_of_mixed_requests(tmp_path):
    done = soak(export(zoo.load("vae_mnist"), tmp_path / "vae_mnist"), 300)
    assert done.returncode == 0, done.stderr


def test_a_soak_ends_at_what_is_wrong(tmp_path):
    def unseeded(seed):
        return {"z": tf.raw_ops.RandomStandardNormal(shape=tf.shape(seed)[:1], dtype=tf.float32)}

    def lax(seed):
        return {"z": tf.reduce_sum(tf.reshape(seed, [-1, 2]), axis=1)}

    for function, problem in (
        (unseeded, "rows: 'z' is not what it was before."),
        (lax, "answered a request that was wrong (shape)."),
    ):
        signature = tf.function(function).get_concrete_function(
            tf.TensorSpec([None, 2], tf.int32, name="seed")
        )
        tf.saved_model.save(tf.Module(), str(tmp_path / function.__name__), {"sample": signature})
        done = soak(tmp_path / function.__name__, 20)
        assert done.returncode == 1 and problem in done.stderr
