"""A user's own recipe, layers and data, from `zoo copy` to a model that is stored, loaded elsewhere
and trained further."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import cli

LAYERS = """import keras
from random import random  # a builtin, which names no module of its own


@keras.saving.register_keras_serializable(package="mine")
class Encoder(keras.layers.Layer):
    def __init__(self, hidden, output_size, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.output_size = hidden, output_size
        self.first = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(hidden, "relu")])
        self.normalization = keras.layers.BatchNormalization(momentum=0.9)
        self.dropout = keras.layers.Dropout(0.2)
        self.last = keras.layers.Dense(output_size)

    def build(self, shape):
        self.first.build(shape)
        self.normalization.build((None, self.hidden))
        self.last.build((None, self.hidden))

    def call(self, x, training=None):
        hidden = self.normalization(self.first(x), training=training)
        return self.last(self.dropout(hidden, training=training))

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "output_size": self.output_size}
"""
# What is changed in the copy of vae_digits.
CHANGES = {
    "encoder=zoo.networks.MLP(hidden_units, posterior.num_params)": "encoder=Encoder(8, "
    "posterior.num_params)",
    'name="digits", train="train[:1200]", validation="train[1200:]", test="test"': (
        'name=data, train="train[:80%]", validation="train[80%:]"'
    ),
    "epochs: int = 200": "epochs: int = 3",
    "latent_dim: int = 8": "latent_dim: int = 3",
    "(256, 256)": "(8,)",
    "batch_size: int = 50": "batch_size: int = 5,\n    data: str = {data!r}",
}


def command(*words):
    """The status of `zoo WORDS`."""
    return cli.main([str(word) for word in words])


def process(*words):
    """`zoo WORDS` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "zoo.cli", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def forget_layers():
    """As in a process that has imported none of them."""
    for name in [
        name for name in keras.saving.get_custom_objects() if name.rpartition(">")[2] == "Encoder"
    ]:
        del keras.saving.get_custom_objects()[name]
    sys.modules.pop("my_layers", None)


class Own:
    """A directory of a user: recipe, layers, data."""

    def __init__(self, directory, layers_in_recipe, name_of_layers="my_layers"):
        self.directory = directory
        self.layers = None if layers_in_recipe else directory / f"{name_of_layers}.py"
        self.data = directory / "mine.npz"
        images = zoo.data.load("digits", "train[:600]")["image"]
        np.savez(self.data, train=images, test=zoo.data.load("digits", "test[:40]")["image"])
        if self.layers:
            self.layers.write_text(LAYERS)
        self.run, self.whole, self.models = (
            directory / "run",
            directory / "whole",
            directory / "models",
        )

    def write_recipe(self, name="my_vae"):
        """A copy of vae_digits that was changed, renamed and moved."""
        first = self.directory / "first.py"
        assert command("copy", "vae_digits", first) == 0
        text = first.read_text()
        for before, after in CHANGES.items():
            assert before in text
            text = text.replace(
                before, after.format(data=str(self.data)) if "{" in after else after
            )
        head = "import zoo\n\n" + (
            f"from {self.layers.stem} import Encoder\n"
            if self.layers
            else LAYERS.replace("import keras\n", "", 1)
        )
        text = text.replace("import zoo\n", head if self.layers else "import keras\n\n" + head, 1)
        first.write_text(text)
        (self.directory / "moved").mkdir(exist_ok=True)
        return first.rename(self.directory / "moved" / f"{name}.py")

    @property
    def trains_with(self):
        return ("--import", self.layers) if self.layers else ()

    @property
    def reads_with(self):
        """The option for those who hold the run, and no recipe."""
        return ("--import", self.layers or self.run / "recipe.py")


@pytest.fixture(
    scope="module",
    params=["layers in the recipe", pytest.param("layers in a file", marks=pytest.mark.slow)],
)
def own(request, tmp_path_factory):
    """A run that was killed in its second epoch and went on without its recipe's file, and one that
    was not, of another name."""
    forget_layers()
    own = Own(tmp_path_factory.mktemp("own"), request.param == "layers in the recipe")
    recipe = own.write_recipe()
    kill_within_an_epoch(
        process("train", recipe, "--out", own.run, "--checkpoint-minutes", 0, *own.trains_with),
        own.run,
    )
    own.state_when_killed = state_of(own.run)
    assert command("train", recipe, "--out", own.whole, *own.trains_with) == 0
    shutil.rmtree(recipe.parent)
    forget_layers()
    assert command("train", own.run, "--resume", *own.trains_with) == 0
    yield own
    forget_layers()


def state_of(run):
    """What a checkpoint holds beside arrays; {"step": 0, "history": []} where there is none yet."""
    if not (run / "checkpoint.npz").is_file():
        return {"step": 0, "history": []}
    with np.load(run / "checkpoint.npz") as archive:
        return json.loads(str(archive["state"]))


def kill_within_an_epoch(trains, run):
    state, deadline = state_of(run), time.monotonic() + 120
    while (
        not (state["history"] and state["step"])
        and time.monotonic() < deadline
        and trains.poll() is None
    ):
        time.sleep(0.002)
        state = state_of(run)
    trains.send_signal(signal.SIGKILL)
    _, error = trains.communicate()
    assert trains.returncode == -signal.SIGKILL, error.decode()


def arrays_of(run):
    with np.load(run / "checkpoint.npz") as archive:
        return [archive[str(i)] for i in range(len(archive.files) - 1)]


def test_a_killed_run_goes_on_without_its_recipe_to_the_same_bits(own):
    assert own.state_when_killed["step"] > 0 and 1 <= len(own.state_when_killed["history"]) < 3
    record = json.loads((own.run / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["recipe"] == "my_vae"
    assert len(state_of(own.run)["history"]) == 3
    resumed, whole = arrays_of(own.run), arrays_of(own.whole)
    assert len(resumed) == len(whole)
    for a, b in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(a, b)
    # The statistics of BatchNormalization moved, and the generator of Dropout did.
    normalization = zoo.load(own.run).encoder.normalization
    assert float(np.max(normalization.moving_mean)) > 0.01
    (generator,) = [array for array in resumed if array.dtype.kind in "iu" and array.shape == (2,)]
    assert generator[1] > 0
    assert [path.name for path in own.run.iterdir() if path.name.startswith(".")] == []


def test_what_lacks_the_layers_says_how_to_name_them(own, capsys):
    forget_layers()
    for words in (("evaluate", own.run), ("export", own.run, "--out", own.directory / "none")):
        assert command(*words) == 2
        error = capsys.readouterr().err
        assert "'Encoder' of my_" in error
        assert "--import FILE.py" in error
        assert len(error.splitlines()) == 1
    assert not (own.directory / "none").exists()


def test_every_command_takes_the_run(own, capsys, tmp_path):
    forget_layers()
    numbers, served = tmp_path / "numbers.json", tmp_path / "served"
    assert command("evaluate", own.run, *own.reads_with, "--num-samples", 5, "--json", numbers) == 0
    assert f"my_vae on 40 images, {own.data} test:" in capsys.readouterr().out
    assert np.isfinite(json.loads(numbers.read_text())["numbers"]["nll"]["value"])
    for name, file in (
        ("sample", "samples.png"),
        ("reconstruct", "reconstructions.png"),
        ("report", "report.html"),
    ):
        forget_layers()
        assert command(name, own.run, *own.reads_with, "--out", tmp_path / file) == 0
        assert (tmp_path / file).stat().st_size > 1000
    forget_layers()
    assert command("export", own.run, *own.reads_with, "--out", served) == 0
    forget_layers()
    capsys.readouterr()
    assert command("check", served) == 1  # no Python model to compare with
    assert "--import FILE.py" in capsys.readouterr().out
    assert command("check", served, *own.reads_with) == 0
    assert "score: equal to the Python model" in capsys.readouterr().out


PROGRAM = """import sys
import numpy as np
import zoo
source, layers = sys.argv[1:3]
zoo.serving.import_layers(layers)
images = zoo.data.load(sys.argv[3], "test")["image"]
model = zoo.load(source)
np.save(sys.argv[4], model.reconstruct(images))
before = [weight.numpy() for weight in model.trainable_weights]
history = model.fit(images, batch_size=20, epochs=2, verbose=0).history
assert np.isfinite(history["loss"]).all()
assert any(np.any(a != b) for a, b in zip(before, model.trainable_weights))
zoo.export(model, sys.argv[5])
"""


def test_a_stored_model_is_loaded_and_trained_further_in_a_new_process(own, tmp_path):
    options = ("--root", own.models, "--allow-dirty", "--num-samples", 5)
    assert command("push", own.run, *own.reads_with, *options) == 0
    card = json.loads((own.models / "my_vae" / "card.json").read_text())
    assert card["version"] == 1 and card["data"]["name"] == str(own.data)
    layers = own.reads_with[1]
    words = [
        own.models / "my_vae",
        layers,
        own.data,
        tmp_path / "reconstructed.npy",
        tmp_path / "tuned",
    ]
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    zoo.serving.import_layers(layers)
    images = zoo.data.load(str(own.data), "test")["image"]
    np.testing.assert_allclose(
        np.load(tmp_path / "reconstructed.npy"),
        zoo.load(own.models / "my_vae").reconstruct(images),
        atol=1e-5,
    )
    tuned = zoo.load(tmp_path / "tuned")
    assert not np.allclose(tuned.reconstruct(images), np.load(tmp_path / "reconstructed.npy"))


@pytest.mark.slow
def test_a_stored_model_is_measured_and_stored_again(own):
    root = own.directory / "twice"
    options = (*own.reads_with, "--root", root, "--allow-dirty", "--num-samples", 5)
    assert command("push", own.run, *options) == 0
    assert command("push", root / "my_vae", *options) == 0
    assert json.loads((root / "my_vae" / "card.json").read_text())["version"] == 2


@pytest.mark.slow
def test_a_recipe_that_begins_at_the_run_is_trained_and_stored_beside_it(own, capsys):
    forget_layers()
    recipe = own.write_recipe("tuned")
    begin = (
        "initialize=lambda model, examples: "
        f"model.set_weights(zoo.load({str(own.run)!r}).get_weights())"
    )
    text = recipe.read_text()
    recipe.write_text(
        text.replace(
            'initialize=lambda model, examples: model.start_at_mean(examples["image"])', begin
        )
    )
    out = own.directory / "tuned_run"
    assert recipe.read_text() != text
    assert command("train", recipe, "epochs=1", "--out", out, *own.trains_with) == 0
    loss = json.loads((own.run / "run.json").read_text())["numbers"]["val_loss"]
    assert json.loads((out / "run.json").read_text())["numbers"]["val_loss"] < loss + 2
    recipe.unlink()
    words = ("--root", own.models, "--allow-dirty", "--num-samples", 5)
    assert command("push", out, "--import", own.layers or out / "recipe.py", *words) == 0
    assert "Stored: version 1 of tuned" in capsys.readouterr().out


@pytest.mark.slow
def test_a_folder_of_pictures_is_data(own, monkeypatch):
    folder = own.directory / "pictures"
    for split, number in (("train", 40), ("test", 10)):
        (folder / split).mkdir(parents=True)
        for i, image in enumerate(zoo.data.load("digits", f"{split}[:{number}]")["image"]):
            Image.fromarray(image[..., 0]).save(folder / split / f"{i:02d}.png")
    recipe = own.write_recipe()
    monkeypatch.chdir(own.directory)
    assert (
        command(
            "train",
            "moved/my_vae.py",
            "data=pictures",
            "epochs=1",
            "--out",
            "of_pictures",
            *own.trains_with,
        )
        == 0
    )
    recipe.unlink()
    monkeypatch.chdir(own.directory / "moved")
    assert command("evaluate", "../of_pictures", *own.reads_with, "--num-samples", 2) == 0


@pytest.mark.slow
def test_points_of_a_sweep_train_in_processes_that_know_the_layers(own):
    recipe = own.write_recipe("swept")
    out = own.directory / "sweep"
    assert (
        command(
            "sweep",
            recipe,
            "latent_dim=2,3",
            "epochs=1",
            "--jobs",
            2,
            "--out",
            out,
            *own.trains_with,
        )
        == 0
    )
    assert len(json.loads((out / "sweep.json").read_text())["points"]) == 2


def test_a_recipe_whose_layers_are_not_named_says_so(tmp_path, capsys):
    own = Own(tmp_path, layers_in_recipe=False, name_of_layers="unnamed_layers")
    assert command("train", own.write_recipe(), "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "imports a module that Python does not find. Received: 'unnamed_layers'." in error
    assert "`--import unnamed_layers.py`" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_arrays_are_data_in_python(own):
    if own.layers:
        zoo.serving.import_layers(own.layers)
    images = zoo.data.load("digits", "train[:60]")["image"]
    recipe = own.write_recipe("of_arrays")
    text = recipe.read_text()
    recipe.write_text(
        text.replace(
            "name=data, train=", "name=zoo.data.load('digits', 'train[:60]'), test='all', train="
        )
    )
    recipe.write_text(recipe.read_text().replace('"train[', '"all['))
    out = zoo.train(recipe, {"epochs": 1}, out=own.directory / "of_arrays", verbose=0)
    numbers = zoo.evaluate(zoo.load(out), images, num_samples=2, verbose=0)
    assert np.isfinite(numbers["nll"]["value"])


def test_the_environment_of_processes_is_this_checkout():
    """A process that these tests start imports the package that they import."""
    code = "import os, zoo; print(os.path.dirname(zoo.__file__))"
    where = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    ).stdout.strip()
    assert where == os.path.dirname(zoo.__file__)
