"""A run directory is enough: to open it, to measure it, to go on with it; and nothing that lies in
it is executed unasked."""

import json
import logging
import random
import shutil
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import registry
from zoo.engine import execution
from zoo.models import architecture
from zoo.runs import provenance, training
from zoo.runs.run import Run
from zoo.store import cards, exports, hub, pretrained, push, verify

RECIPE = '''"""A recipe of somebody's own.

    zoo train {name}.py

Three seconds. With seed 0 expect 22.33 nats: -log p(x) on the 297 test images. It is for tests.

A model to look at and to test with, not a published one: a dense network of the kind of Kingma &
Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (https://arxiv.org/abs/1312.6114), on 1,200
training images.
"""

from pathlib import Path

import zoo

Path(__file__).with_name("executed").touch()


def recipe(
    *, latent_dim: int = 3, epochs: int = 2, data: str = "digits", seed: int = 0
) -> zoo.Recipe:
    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli((8, 8, 1))
        encoder = zoo.networks.MLP((8,), posterior.num_params)
        decoder = zoo.networks.MLP((8,), likelihood.num_params)
        return zoo.VAE(encoder, decoder, posterior, likelihood, seed=seed)

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(0.01)

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name=data, train="train[:100]", validation="train[100:150]", test="test"
        ),
        epochs=epochs,
        batch_size=50,
        seed=seed,
        evaluation_samples=3,
    )
'''


@pytest.fixture(scope="module", autouse=True)
def _eager():
    """Compiling takes longer than these few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "execution_mode", lambda *arguments: "eager")
        yield


def written(directory, name="mine"):
    path = directory / f"{name}.py"
    path.write_text(RECIPE.format(name=name))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a recipe that is gone."""
    directory = tmp_path_factory.mktemp("own")
    recipe = written(directory)
    run = training.train(recipe, out=directory / "run", verbose=0)
    recipe.unlink()
    (directory / "executed").unlink()
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, free to be damaged."""
    return shutil.copytree(trained, tmp_path / "run")


def rewrite(run, change):
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))
    return record


# -- Opening


def test_a_run_keeps_what_it_was_made_from(trained):
    record = json.loads((trained / "run.json").read_text())
    assert (trained / "recipe.py").read_text() == RECIPE.format(name="mine")
    assert set(record["files"]) == {"recipe.py", "model.json", "checkpoint.npz", "model.weights.h5"}
    assert record["recipe"] == "mine" and record["epochs_in_full"] == 2 and not record["registered"]
    assert record["task"]["dataset"]["name"] == "digits"
    assert record["task"]["evaluation_samples"] == 3
    assert not list(trained.glob("__pycache__"))


def test_nothing_of_a_run_is_executed_when_it_is_measured_and_exported(run, tmp_path):
    model, name, task = pretrained.open_model(run)
    assert name == "mine"
    assert task.epochs == 2
    assert task.nll_name == "nll"
    assert task.dataset.test == "test"
    images = zoo.data.load("digits", "train[100:150]")["image"]
    numbers = model.evaluate(images, batch_size=500, verbose=0, return_dict=True)
    assert numbers["elbo"] == pytest.approx(Run.open(run).record["numbers"]["val_elbo"], rel=1e-5)
    directory = exports.export_model(run, tmp_path / "served")
    assert directory == tmp_path / "served" / "mine" / "1"
    for source in (run, str(directory), directory.parent):
        np.testing.assert_array_equal(
            zoo.load(source).reconstruct(images), model.reconstruct(images)
        )
    assert pretrained.open_model(directory)[1:] == ("mine", task)
    assert not list(tmp_path.rglob("executed"))


def test_a_loaded_run_trains_further(run):
    model = zoo.load(run)
    assert np.isfinite(
        model.fit(
            zoo.data.load("digits", "train[:100]")["image"], batch_size=50, verbose=0
        ).history["loss"][0]
    )


def test_loading_leaves_every_generator_alone(run):
    def draws():
        return (
            random.random(),
            np.random.random(),
            float(tf.random.uniform([])),
            float(keras.random.uniform([])),
        )

    try:
        keras.utils.set_random_seed(7)
        draws()
        expected = draws()
        for source in (run, "vae_digits"):
            keras.utils.set_random_seed(7)
            draws()
            zoo.load(source)
            assert draws() == expected
    finally:
        keras.utils.set_random_seed(0)


def test_initial_weights_follow_the_seed_through_a_load():
    """As in `ssvae_mnist`, whose model stands on a loaded one."""

    def initial(seed):
        keras.utils.set_random_seed(seed)
        zoo.load("vae_digits")
        return np.asarray(keras.initializers.GlorotUniform()([3, 2]))

    assert np.any(initial(0) != initial(1)) and np.all(initial(1) == initial(1))


def test_where_nothing_lies_is_told(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for source, version, message in (
        (
            tmp_path / "empty",
            None,
            "empty' is not a run directory: it holds no run.json. It holds no version",
        ),
        (tmp_path / "absent", None, "There is no run directory '.*absent', and no stored model"),
        ("vae_digit", None, "No recipe is named 'vae_digit'. Did you mean 'vae_digits'"),
        (run, 2, "A run has no versions. Received: '.*run' and version=2"),
    ):
        with pytest.raises(ValueError, match=message):
            zoo.load(source, version)


def test_exports_are_checked_wherever_they_lie(tmp_path, make_vae):
    directory = zoo.export(make_vae(), tmp_path / "mine")
    moved = shutil.copytree(directory, tmp_path / "elsewhere")
    assert np.all(zoo.load(moved).weights[0] == zoo.load(tmp_path / "mine").weights[0])
    with pytest.raises(
        ValueError, match="tells neither recipe nor data of the model. Load it in Python"
    ):
        pretrained.open_model(moved)
    with pytest.raises(ValueError, match="has no version 2. Its versions are 1"):
        zoo.load(tmp_path / "mine", 2)
    path = moved / "assets.extra" / "model.json"
    path.write_text(path.read_text().replace('"latent_dim": 3', '"latent_dim": 4'))
    with pytest.raises(ValueError, match=r"model.json' is not the file that the card describes"):
        zoo.load(moved)


class Mine(keras.layers.Layer):
    """Of somebody's own, and registered nowhere."""

    def call(self, x):
        return x


def test_a_model_that_needs_code_of_somebodys_own_is_told_in_one_line(run, tmp_path):
    path = run / "model.json"
    content = json.loads(path.read_text())
    content["config"]["encoder"] = keras.saving.serialize_keras_object(Mine())
    path.write_text(json.dumps(content))
    rewrite(run, lambda record: record["files"].pop("model.json"))
    message = (
        r"nothing here defines 'Mine' of tests.test_runs, and code of somebody's own is "
        r"not run unasked.*`--import FILE.py`"
    )
    with pytest.raises(ValueError, match=message) as raised:
        zoo.load(run)
    assert "\n" not in str(raised.value)
    with (
        keras.saving.custom_object_scope({"Mine": Mine}),
        pytest.raises(ValueError, match="No Python model can be built"),
    ):
        zoo.load(run)  # the class is known now, and gives other parameters than the posterior takes
    path.unlink()
    with pytest.raises(ValueError, match="holds no model.json, which its model is built from"):
        zoo.load(run)


def test_a_part_that_says_nothing_of_itself_is_told():
    class Silent(keras.layers.Layer):
        def __init__(self, function):
            super().__init__()

    with pytest.raises(
        ValueError, match="A part of the model has no `get_config` that JSON can hold: .*Silent"
    ):
        architecture.as_text(keras.Sequential([Silent(lambda x: x)]))


def test_runs_of_before_open_by_a_recipe_of_the_registry_only(store, run, tmp_path):
    older = shutil.copytree(store[1], tmp_path / "older")
    for path in (older, run):
        for name in ("recipe.py", "model.json"):
            (path / name).unlink()
        for key in ("task", "files", "recipe_sha256", "registered", "epochs_in_full"):
            rewrite(path, lambda record, key=key: record.pop(key))
    np.testing.assert_array_equal(
        Run.open(older).load_model().get_weights()[0],
        Run.open(store[1]).load_model().get_weights()[0],
    )
    assert pretrained.describe(Run.open(older))["training"]["of"] == 200
    recipe = written(tmp_path)
    rewrite(run, lambda record: record.update(recipe_file=str(recipe)))
    with pytest.raises(
        ValueError,
        match="only its recipe can open: .*mine.py. If you trust that file, `zoo train "
        ".*mine.py --resume",
    ):
        zoo.load(run)
    assert not (tmp_path / "executed").exists()
    training.train(recipe, out=run, resume=True, verbose=0)
    assert isinstance(zoo.load(run), zoo.VAE)


# -- Going on


def unfinished(run):
    (run / "model.weights.h5").unlink()
    rewrite(run, lambda record: record.update(status="running"))


def test_going_on_runs_the_recipe_that_the_run_was_begun_with_and_says_so(run, tmp_path, caplog):
    unfinished(run)
    with caplog.at_level(logging.INFO, "zoo"):
        training.train(run, resume=True, verbose=0)
    assert (
        f"Going on with {run}: this runs its copy of the recipe, {run / 'recipe.py'}."
        in caplog.messages
    )
    assert (run / "executed").exists()
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    recipe = written(tmp_path)
    caplog.clear()
    with caplog.at_level(logging.INFO, "zoo"):
        assert Run.prepare(recipe, {}, run, resume=True).spec.epochs == 2
        recipe.write_text(recipe.read_text().replace("epochs: int = 2", "epochs: int = 9"))
        assert Run.prepare(recipe, {}, run, resume=True).spec.epochs == 2
    assert f"this runs its recipe, {recipe}." in caplog.messages[0]
    assert f"{recipe} was changed after the run began, and is not used." in caplog.messages
    (run / "recipe.py").write_text("boom")
    with pytest.raises(
        ValueError, match=r"recipe.py' was changed after the run began \(its sha256 differs\)"
    ):
        Run.prepare(recipe, {}, run, resume=True)
    (run / "recipe.py").unlink()
    with pytest.raises(
        ValueError, match="its copy '.*recipe.py' is missing. Received: recipe='.*mine.py'"
    ):
        Run.prepare(recipe, {}, run, resume=True)


def test_data_are_found_from_another_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = zoo.data.load("digits", "train[:150]")["image"]
    np.savez(tmp_path / "images.npz", train=images, test=images[:20])
    recipe = written(tmp_path)
    run = training.train(recipe, {"data": "images.npz"}, out="run", verbose=0).resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pretrained.open_model(run)[2].dataset.name == str(tmp_path / "images.npz")
    unfinished(run)
    training.train(run, resume=True, verbose=0)
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


def test_arguments_that_no_record_holds_are_told(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        RECIPE.format(name="mine").replace("seed: int = 0\n", "seed: int = 0, z=1j\n")
    )
    with pytest.raises(
        ValueError, match=r"are kept in the record of its run: .* Received for recipe 'mine': z=1j"
    ):
        training.train(recipe, out=tmp_path / "run")


def test_a_failing_picture_leaves_a_finished_run(run, monkeypatch, caplog):
    from zoo import plots

    unfinished(run)
    monkeypatch.setattr(plots, "pictures", lambda *arguments: 1 / 0)
    with caplog.at_level(logging.WARNING, "zoo"):
        training.train(run, resume=True, verbose=0)
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert (
        "The run is finished; its pictures failed (ZeroDivisionError: division by zero)."
        in caplog.messages
    )


# -- Damage


@pytest.mark.parametrize("name", ["model.weights.h5", "model.json", "checkpoint.npz"])
def test_files_that_are_not_those_of_the_record_are_told(run, name):
    path = run / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError,
        match=rf"{name}' cannot be read: it is damaged, for its sha256 is not the one of run.json",
    ):
        if name == "checkpoint.npz":
            training.train(run, resume=True, verbose=0)
        else:
            zoo.load(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record: record.update(arguments=None),
            "`arguments` must be of type dict. Received: null",
        ),
        (lambda record: record.update(recipe=3), "`recipe` must be of type str. Received: 3"),
        (lambda record: record.pop("status"), "it has no 'status'"),
        (lambda record: record.update(task=[]), r"`task` must be of type dict. Received: \[\]"),
        (lambda record: record["task"]["dataset"].pop("test"), "it has no 'test'"),
        (lambda record: record["task"]["dataset"].update(binarization="odd"), "binarization='odd'"),
        (
            lambda record: record.update(files={"recipe.py": 1}),
            r"`files\['recipe.py'\]` must be of type str. Received: 1",
        ),
        (lambda record: record.update(numbers={"val_elbo": "low"}), "must be of type int or float"),
        (lambda record: record.pop("seconds"), "it has no 'seconds'"),
        (lambda record: record.pop("machine"), "it has no 'machine'"),
        (
            lambda record: record.update(git_resumed=3),
            "`git_resumed` must be of type list. Received: 3",
        ),
        (
            lambda record: record.update(recipe="../../x"),
            '`recipe` must be a name without a path. Received: "../../x"',
        ),
        (
            lambda record: record.update(recipe=""),
            '`recipe` must be a name without a path. Received: ""',
        ),
    ],
)
def test_records_of_another_form_are_told(run, change, message):
    rewrite(run, change)
    with pytest.raises(
        ValueError, match=rf"run.json' is damaged: .*{message}.*Train again into another directory"
    ):
        Run.open(run)


def test_a_record_that_is_no_dict_is_told(run):
    for content in ("[]", "3", '"text"', "null", "[" * 100_000):
        (run / "run.json").write_text(content)
        with pytest.raises(ValueError, match="run.json' is damaged"):
            Run.open(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(numbers=[]), r"`numbers` must be of type dict. Received: \[\]"),
        (
            lambda card: card["numbers"]["nll"].update(value="low"),
            r"`numbers\['nll'\]\['value'\]` must be of type int or float",
        ),
        (lambda card: card.update(version=True), "`version` must be of type int. Received: true"),
        (lambda card: card.update(files={}), "`files` names none, so that nothing can be checked"),
        (
            lambda card: card.update(recipe="../x"),
            '`recipe` must be a name without a path. Received: "../x"',
        ),
        (lambda card: card.update(data=None), "`data` must be of type dict. Received: null"),
        (lambda card: card.update(training={"epochs": 3}), "KeyError: 'of'"),
    ],
)
def test_cards_of_another_form_are_told(models, change, message):
    path = models / "vae_digits" / "card.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))
    with pytest.raises(
        ValueError, match=rf"card.json' is damaged \(.*{message}.*Restore it, or push the run again"
    ):
        cards.find_card("vae_digits")


def test_every_stored_card_is_of_the_form_that_is_checked():
    for name in cards.stored():
        assert cards.read_card(cards.model_directory(name))["recipe"] == name


# -- Storing


@pytest.mark.slow
def test_a_model_of_ones_own_recipe_is_stored_loaded_and_verified_without_it(
    trained, tmp_path, monkeypatch
):
    root = tmp_path / "models"
    monkeypatch.setattr(cards, "roots", lambda: [root])
    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    hub.INDEX.write_text("{}")
    card = push.push(trained, root=root, allow_dirty=True, verbose=0)
    assert card["recipe"] == "mine" and card["evaluation"]["num_samples"] == 3
    assert card["recipe_sha256"] == json.loads((trained / "run.json").read_text())["recipe_sha256"]
    text = (root / "mine" / "README.md").read_text()
    assert text.startswith("# mine\n\nA recipe of somebody's own.\n") and "It is for tests." in text
    assert "22.33" not in text
    assert "Kingma & Welling" not in text
    assert "began as a copy of `vae_digits`" in text
    assert f"`{card['recipe_sha256']}`" in text
    zoo.load("mine").sample(2)
    assert all(row.agrees for row in verify.verify("mine")) and cards.stored() == ["mine"]
    again = push.push("mine", root=root, verbose=0)
    assert again["version"] == 2
    assert again["about"] == card["about"]
    assert again["numbers"]["kl"] == pytest.approx(card["numbers"]["kl"])
    assert (
        (root / "mine" / "README.md")
        .read_text()
        .startswith("# mine\n\nA recipe of somebody's own.\n")
    )
    assert not list(tmp_path.rglob("executed"))


def test_an_own_recipe_does_not_take_the_place_of_an_installed_one(run, tmp_path):
    rewrite(run, lambda record: record.update(recipe="vae_digits"))
    with pytest.raises(
        ValueError,
        match="has the name of an installed recipe: .* Received: 'vae_digits'. Rename the file",
    ):
        push.push(run, root=tmp_path / "models", allow_dirty=True)


def test_copies_do_not_claim_the_numbers_of_their_original():
    originals = {name: registry.find(name).docstring() for name in registry.list_recipes()}
    for name in ("vae_digits", "vae_mnist"):
        card = cards.find_card(name)
        number = cards.value_shown(card["numbers"]["nll"])
        changed = originals[name].replace("core", "hundred cores").replace("A small", "My small")
        other = {**card, "numbers": {"nll": {**card["numbers"]["nll"], "value": 99.9}}}
        for text in (originals[name], changed):
            assert number in cards._true_of(card, text)
            assert number not in cards._true_of(other, text)
        assert number not in cards.about_own(originals[name], originals)
        assert (
            cards.about_own(originals[name], originals)
            == f"A recipe that began as a copy of `{name}`."
        )
    assert cards.about_own("Mine.\n\nNumbers: 3 nats.", originals) == "Mine.\n\nNumbers: 3 nats."
    assert cards.about_own("", originals) == ""
    assert (
        cards._true_of(other, "Mine.\n\nExpect 12.3 nats. It is quick.") == "Mine.\n\nIt is quick."
    )


def test_the_docstrings_of_stored_models_tell_their_numbers():
    for name in cards.stored():
        text = registry.find(name).docstring()
        assert cards._true_of(cards.find_card(name), text) == text, name


def test_a_revision_that_does_not_hold_the_recipe_is_dirty(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    (tmp_path / "recipe.py").write_text("committed")
    git("add", ".")
    git("commit", "-qm", "one")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    clean = provenance.git_revision()
    assert len(clean) == 40 and provenance.git_revision(b"committed") == clean
    assert provenance.git_revision(b"of somebody's own") == f"{clean}-dirty"
    (tmp_path / "recipe.py").write_text("changed")
    assert provenance.git_revision(b"committed") == f"{clean}-dirty"


def test_a_run_that_went_on_under_other_code_is_not_stored_as_the_first(run, tmp_path):
    rewrite(run, lambda record: record.update(git="a" * 40, git_resumed=["b" * 40 + "-dirty"]))
    with pytest.raises(
        ValueError, match=rf"trained by code that no commit holds \(git: {'b' * 40}-dirty\)"
    ):
        push.push(run, root=tmp_path / "models")
