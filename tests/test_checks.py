"""`zoo check` passes what a server takes, and names what is wrong with everything else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.conftest import IMAGE_SHAPE
from zoo import cli
from zoo.random import RowNoise, Stream
from zoo.serving import check, checks, configuration, export, graph, saved_model, warmup
from zoo.serving.checks import _difference, _with_moved_draws
from zoo.serving.signatures import made_up_rows, signatures

ROOT = Path(__file__).parents[1]
SIGNATURES = ("decode", "encode", "reconstruct", "sample", "score", "score_k64", "serving_default")
OF_A_VERSION = (
    "the files are those of the card",
    "no function has to be compiled with XLA",
    "no draw without a seed",
    "no op of Python",
    "no op that TensorFlow does not have",
    "a warm-up request for every signature, and an answer",
)
OF_A_SIGNATURE = (
    "rows over REST, in batches of any size",
    "equal to the Python model",
    "a row's answer is its own",
    "the same bytes in two processes",
)


@pytest.fixture(scope="module")
def base(make_vae, images, tmp_path_factory):
    model = make_vae()
    model.compile()
    model.fit(images, batch_size=10, epochs=2, verbose=0)
    base = tmp_path_factory.mktemp("served") / "base"
    export(model, base / "model")
    configuration.write(base)
    return base


@pytest.fixture
def two_signatures(monkeypatch):
    """All of them would take three times as long."""
    for module in (saved_model, checks):
        monkeypatch.setattr(
            module,
            "signatures",
            lambda model: {name: signatures(model)[name] for name in ("reconstruct", "encode")},
        )


def failures(directory):
    return {
        finding.check: finding.problem
        for finding in check(directory)
        if finding.problem is not None
    }


def test_a_good_export_passes_every_check(base):
    """In a process of its own, which knows nothing of the model."""
    done = subprocess.run(
        [sys.executable, "-m", "zoo.cli", "check", str(base)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    first, *lines, last = done.stdout.splitlines()
    assert first == "ok    base  models.config names what is there"
    names = [
        *OF_A_VERSION,
        *(f"{signature}: {name}" for signature in SIGNATURES for name in OF_A_SIGNATURE),
    ]
    assert lines == [f"ok    model/1  {name}" for name in names]
    assert last == f"All {len(names) + 1} checks passed."


@keras.saving.register_keras_serializable(package="tests")
class CompiledInside(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return tf.function(lambda x: super(CompiledInside, self).reconstruct(x), jit_compile=True)(
            x
        )


@keras.saving.register_keras_serializable(package="tests")
class StatefulDraw(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return super().reconstruct(x) + tf.raw_ops.RandomStandardNormal(shape=[1], dtype=tf.float32)


@keras.saving.register_keras_serializable(package="tests")
class PythonInside(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return tf.ensure_shape(
            tf.numpy_function(lambda x: x, [super().reconstruct(x)], tf.float32),
            [None, *IMAGE_SHAPE],
        )


@keras.saving.register_keras_serializable(package="tests")
class MeanOverBatch(zoo.VAE):
    def reconstruct(self, x, condition=None):
        return tf.reduce_mean(super().reconstruct(x), axis=0)


@keras.saving.register_keras_serializable(package="tests")
class MinusMeanOverBatch(zoo.VAE):
    def reconstruct(self, x, condition=None):
        reconstruction = super().reconstruct(x)
        return reconstruction - tf.reduce_mean(reconstruction, axis=0)


def edited(operation, replacement):
    """A change of the written graph: every node of one kind becomes one of another kind."""

    def edit(directory):
        content = saved_model_pb2().FromString((directory / "saved_model.pb").read_bytes())
        nodes = [
            node
            for function in content.meta_graphs[0].graph_def.library.function
            for node in function.node_def
        ]
        changed = [node for node in nodes if node.op == operation]
        for node in changed:
            node.op = replacement
        assert changed
        (directory / "saved_model.pb").write_bytes(content.SerializeToString())

    return edit


def in_16_bits(directory):
    content = saved_model_pb2().FromString((directory / "saved_model.pb").read_bytes())
    loc = content.meta_graphs[0].signature_def["encode"].outputs["loc"]
    loc.dtype = tf.bfloat16.as_datatype_enum
    (directory / "saved_model.pb").write_bytes(content.SerializeToString())


def saved_model_pb2():
    return graph.saved_model_pb2.SavedModel


BY_ROWS, EQUAL, OWN, SAME_BYTES = (f"reconstruct: {name}" for name in OF_A_SIGNATURE)


@pytest.mark.parametrize(
    ("broken", "edit", "expected"),
    [
        (
            CompiledInside,
            None,
            {OF_A_VERSION[1]: "a stock server refuses", EQUAL: "XLA compilation disabled"},
        ),
        (
            StatefulDraw,
            None,
            {OF_A_VERSION[2]: "RandomStandardNormal", SAME_BYTES: "reconstruction"},
        ),
        (PythonInside, None, {OF_A_VERSION[3]: "PyFunc", EQUAL: "refused"}),
        (
            zoo.VAE,
            edited("Exp", "Addons>Exp"),
            {OF_A_VERSION[4]: "Addons>Exp", "TensorFlow's C++ runtime loads it": "Addons>Exp"},
        ),
        (
            zoo.VAE,
            edited("Sigmoid", "Tanh"),
            {OF_A_VERSION[0]: "sha256", EQUAL: "'reconstruction' differs in"},
        ),
        (
            zoo.VAE,
            in_16_bits,
            {"encode: rows over REST, in batches of any size": "JSON has no bfloat16"},
        ),
        (MeanOverBatch, None, {BY_ROWS: "does not lead with the batch"}),
        (MinusMeanOverBatch, None, {OWN: "1 rows alone and among 64"}),
    ],
    ids=[
        "compiled",
        "stateful",
        "python",
        "foreign",
        "other-answers",
        "bfloat16",
        "no-batch",
        "rows-mixed",
    ],
)
def test_every_way_to_break_an_export_is_named(
    broken, edit, expected, make_vae, tmp_path, monkeypatch, two_signatures
):
    # The exporter would refuse most of them.
    monkeypatch.setattr(saved_model, "_check", lambda *unchecked: None)
    directory = export(make_vae(model=broken), tmp_path / "model")
    if edit is not None:
        edit(directory)
    found = failures(directory)
    for name, problem in expected.items():
        assert problem in found[name], found


def test_damaged_and_missing_files_are_named(base, tmp_path, capsys):
    shutil.copytree(base, tmp_path / "base")
    version = tmp_path / "base" / "model" / "1"
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"damaged")
    (version / "assets.extra" / "model.json").write_text('{"module": "keras"}')
    weights = version / "variables" / "variables.data-00000-of-00001"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    shutil.copytree(version, tmp_path / "base" / "model" / "2")
    (tmp_path / "base" / "model" / "2" / "saved_model.pb").write_bytes(b"damaged")
    (tmp_path / "base" / "model" / "2" / "assets.extra" / "card.json").unlink()
    (tmp_path / "base" / configuration.MODELS).write_text(
        'model_config_list { config { name: "other" } }'
    )
    assert cli.main(["check", str(tmp_path / "base")]) == 1
    printed = capsys.readouterr().out
    for line in (
        "FAIL  base  models.config names what is there: there is no model 'other'",
        "is not the file that the card describes (its sha256 differs)",
        "FAIL  model/1  a warm-up request for every signature, and an answer: "
        "none for decode, encode",
        "FAIL  model/1  encode: equal to the Python model: No Python model can be built",
        "FAIL  model/2  the files are those of the card: the card",
        "FAIL  model/2  the graph can be read",
        "checks failed.",
    ):
        assert line in printed, printed
    assert "ok    model/1  encode: the same bytes in two processes" in printed


def test_what_is_no_export_is_refused(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path)]) == 2
    assert (
        "holds no export: neither saved_model.pb, nor <version>/, nor <model>/<version>/"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_card_of_another_version_and_missing_warm_up_requests_are_named(base, tmp_path):
    shutil.copytree(base / "model" / "1", tmp_path / "model" / "2")
    requests = warmup.read(base / "model" / "1")
    assert requests.keys() == set(SIGNATURES)
    assert {len(array) for inputs in requests.values() for array in inputs.values()} == {1}
    del requests["encode"]
    warmup.write(tmp_path / "model" / "2", "model", requests)
    expected = {
        OF_A_VERSION[0]: "its card is that of version 1",
        OF_A_VERSION[-1]: "none for encode",
    }
    assert failures(tmp_path / "model") == expected


@pytest.mark.parametrize(
    "activation", [None, lambda x: x], ids=["unregistered", "without configuration"]
)
def test_models_that_cannot_be_built_again_serve_and_say_so(
    activation, tmp_path, two_signatures, caplog
):
    class Unnamed(keras.layers.Layer):
        def __init__(self, units, activation):
            super().__init__()
            self.dense = keras.layers.Dense(units, activation)

        def call(self, x, condition=None):
            return self.dense(keras.ops.reshape(x, (-1, x.shape[-1] if x.shape.rank == 2 else 16)))

    parts = (Unnamed(6, activation), Unnamed(16, activation))
    directory = export(
        zoo.VAE(*parts, zoo.layers.DiagonalNormal(3), zoo.layers.Bernoulli(IMAGE_SHAPE)),
        tmp_path / "model",
    )
    assert (directory / saved_model.CONFIGURATION).exists() == (activation is None)
    assert ("The export holds no configuration of its Python model" in caplog.text) == (
        activation is not None
    )
    found = failures(directory)
    assert found.keys() == {
        f"{signature}: equal to the Python model"
        for signature in ("reconstruct", "encode", "serving_default")
    }
    assert all("No Python model can be built from" in problem for problem in found.values())


LAYERS = """
import keras
import own_functions

class Mine(keras.layers.Layer):
    def __init__(self, units, **keywords):
        super().__init__(**keywords)
        self.units = units
        self.dense = keras.layers.Dense(units, activation=own_functions.half)

    def build(self, input_shape):
        self.dense.build((1, 16 if len(input_shape) == 4 else input_shape[-1]))

    def call(self, x, condition=None):
        return self.dense(keras.ops.reshape(x, (-1, self.dense.kernel.shape[0])))

    def get_config(self):
        return {**super().get_config(), "units": self.units}

@keras.saving.register_keras_serializable(package="own")
class Registered(Mine):
    pass
"""


@pytest.fixture
def own_layers(tmp_path, monkeypatch):
    """A user's file of layers, forgotten after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_functions.py").write_text("def half(x):\n    return x / 2\n")
    (tmp_path / "own_layers.py").write_text(LAYERS)
    yield tmp_path / "own_layers.py"
    for name in ("own_layers", "own_functions"):
        sys.modules.pop(name, None)
    for name in ("Mine", "own>Registered"):
        keras.saving.get_custom_objects().pop(name, None)


def test_layers_of_ones_own_are_compared_once_their_file_is_named(
    own_layers, tmp_path, two_signatures, capsys
):
    mine = zoo.serving.import_layers(own_layers)
    parts = (mine.Mine(6), mine.Registered(16))
    export(
        zoo.VAE(*parts, zoo.layers.DiagonalNormal(3), zoo.layers.Bernoulli(IMAGE_SHAPE)),
        tmp_path / "model",
    )
    for name in ("Mine", "own>Registered"):
        del keras.saving.get_custom_objects()[name]
    del sys.modules["own_layers"]
    assert cli.main(["check", str(tmp_path / "model")]) == 1
    message = (
        "nothing here defines 'Mine' of own_layers, 'Registered' of own_layers, and code "
        "of somebody's own is not run unasked"
    )
    assert message in capsys.readouterr().out
    assert cli.main(["check", str(tmp_path / "model"), "--import", str(own_layers)]) == 0
    assert "ok    model/1  encode: equal to the Python model" in capsys.readouterr().out


def test_files_of_layers_that_fail_are_told(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("import sys\nsys.exit('not now')\n")
    for name, message in (
        (tmp_path / "absent.py", "absent.py' cannot be imported (FileNotFoundError"),
        (tmp_path / "broken.py", "broken.py' cannot be imported (SystemExit: not now)"),
        (
            "no_such_module",
            "The layers of 'no_such_module' cannot be imported (ModuleNotFoundError",
        ),
    ):
        assert cli.main(["check", str(tmp_path), "--import", str(name)]) == 2
        assert message in capsys.readouterr().err
    assert "broken" not in sys.modules


def test_pixels_may_differ_only_where_a_uniform_number_meets_its_probability(make_vae):
    model = make_vae()
    question = made_up_rows(signatures(model)["sample"].inputs, 64)
    moved = [_with_moved_draws(model, by)(**question)["sample"] for by in (-1e-5, 1e-5)]
    least, greatest = np.minimum(*moved), np.maximum(*moved)
    noise = RowNoise(question["seed"][:, 0], 0, question["seed"][:, 1])
    answer = {name: value.numpy() for name, value in model.generate(noise).items()}
    u, between = noise.uniform(Stream.PIXEL, IMAGE_SHAPE).numpy(), {"sample": (least, greatest)}
    near = np.abs(u - answer["reconstruction"]) < 0.9e-5
    np.testing.assert_array_equal(least != greatest, np.abs(u - answer["reconstruction"]) <= 1e-5)
    flipped = {**answer, "sample": np.where(near, 1 - answer["sample"], answer["sample"])}
    assert _difference(flipped, answer, between) is None
    index = np.unravel_index(
        np.argmin(np.where(near, 1, np.abs(u - answer["reconstruction"]))), u.shape
    )
    flipped["sample"][index] = 1 - flipped["sample"][index]
    assert (
        _difference(flipped, answer, between)
        == "'sample' differs in 1 of 1,024 numbers, by up to 1"
    )


def test_differences_are_named():
    ones = np.ones((2, 3), np.float32)
    assert _difference({"z": ones * (1 + 1e-6)}, {"z": ones}, {}) is None
    assert _difference({"z": ones * 1.001}, {"z": ones}, {}).startswith(
        "'z' differs in 6 of 6 numbers, by up to 0.001"
    )
    assert _difference({"z": ones[:1]}, {"z": ones}, {}) == "'z' has the shape (1, 3), not (2, 3)"
    assert (
        _difference({"z": ones * np.nan}, {"z": ones * np.nan}, {})
        == "'z' holds numbers that are not finite"
    )
    assert _difference({"y": ones}, {"z": ones}, {}) == "outputs y, not z"


def test_fewer_made_up_rows_are_the_first_of_more(make_vae):
    for signature in signatures(make_vae(condition_shape=(2,))).values():
        few, many = made_up_rows(signature.inputs, 5), made_up_rows(signature.inputs, 64)
        for name, array in few.items():
            np.testing.assert_array_equal(array, many[name][:5])


def test_configuration_keeps_labels_and_offers_new_versions_as_canary(make_vae, base, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    shutil.copytree(base / "model" / "1", tmp_path / "base" / "model" / "2")
    configuration.write(tmp_path / "base")
    assert configuration.labels(tmp_path / "base") == {"model": {"stable": 1, "canary": 2}}
    assert configuration.problem(tmp_path / "base") is None
    text = (tmp_path / "base" / configuration.MODELS).read_text()
    (tmp_path / "base" / configuration.MODELS).write_text(text.replace("value: 1", "value: 2"))
    shutil.copytree(base / "model" / "1", tmp_path / "base" / "other" / "7")
    shutil.rmtree(tmp_path / "base" / "model" / "1")
    (tmp_path / "base" / configuration.BATCHING).write_text("max_batch_size { value: 8 }\n")
    assert configuration.problem(tmp_path / "base") == "'model' has no version 1"
    configuration.write(tmp_path / "base")
    assert configuration.labels(tmp_path / "base") == {
        "model": {"stable": 2, "canary": 2},
        "other": {"stable": 7},
    }
    assert (
        tmp_path / "base" / configuration.BATCHING
    ).read_text() == "max_batch_size { value: 8 }\n"
    assert f'base_path: "{tmp_path}/base/other"' in configuration.relocated(tmp_path / "base")
    assert 'base_path: "/models/other"' in (tmp_path / "base" / configuration.MODELS).read_text()


def test_card_names_versions_and_files(base):
    card = json.loads((base / "model" / "1" / saved_model.CARD).read_text())
    assert card["versions"].keys() == {"tensorflow", "keras", "tensorflow-probability", "vae-zoo"}
    extra = {"1/assets.extra/model.json", "1/assets.extra/tf_serving_warmup_requests"}
    assert extra < card["files"].keys()
