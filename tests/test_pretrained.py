import json
import shutil

import numpy as np
import pytest

import zoo
from zoo import cli, data, registry
from zoo.evaluation import likelihood
from zoo.packing import round_weights
from zoo.runs import training
from zoo.runs.training import Run
from zoo.store import cards, hub, pretrained, push
from zoo.versions import versions


def test_card_says_what_was_run_on_what_with_which_result(store):
    directory, run, card = store
    record = Run.open(run).record
    assert card == cards.read_card(directory / "models" / "vae_digits")
    for key in ("recipe", "arguments", "seed", "versions", "git"):
        assert card[key] == record[key]
    assert card["version"] == 1
    assert card["training"] == {
        "epochs": 3,
        "of": registry.find("vae_digits").build({}).epochs,
        "kept_epoch": 3,
        "seconds": record["seconds"],
        "machine": record["machine"],
        "mode": record["mode"],
        "precision": "float32",
        "deterministic": False,
    }
    assert set(card["numbers"]) == {"nll", "elbo", "log_likelihood", "kl", "active_units"}
    assert card["numbers"]["nll"]["split"] == "test"
    assert card["numbers"]["nll"]["num_examples"] == 297
    import hashlib

    assert (
        card["data"]["sha256"]["test"]
        == hashlib.sha256(data.load("digits", "test")["image"].tobytes()).hexdigest()
    )
    for name in ("samples.png", "reconstructions.png"):
        assert (directory / "models" / "vae_digits" / name).stat().st_size > 1000


def test_loaded_model_is_the_trained_one_and_ready(store, models):
    trained, loaded = Run.open(store[1]).load_model(), zoo.load("vae_digits")
    round_weights(trained)
    images = data.load("digits", "test")["image"]
    np.testing.assert_array_equal(loaded.reconstruct(images), trained.reconstruct(images))
    assert loaded.evaluate(images, batch_size=99, verbose=0) == trained.evaluate(
        images, batch_size=99, verbose=0
    )
    numbers = zoo.evaluate(loaded, images, num_samples=20, verbose=0)
    for name, number in store[2]["numbers"].items():
        assert numbers[name]["value"] == pytest.approx(number["value"], rel=1e-6)
    before = loaded.evaluate(images, batch_size=99, verbose=0, return_dict=True)["elbo"]
    loaded.fit(data.load("digits", "train")["image"], batch_size=50, epochs=5, verbose=0)
    assert loaded.evaluate(images, batch_size=99, verbose=0, return_dict=True)["elbo"] > before


def test_versions_add_up_and_the_card_names_the_newest(store, models):
    push.push(store[1], num_samples=5, root=models, allow_dirty=True, verbose=0)
    card = cards.find_card("vae_digits")
    assert card["version"] == 2 and card["numbers"]["nll"]["num_samples"] == 5
    for version in (None, 1, 2):
        zoo.load("vae_digits", version)
    with pytest.raises(ValueError, match="'vae_digits' has no version 3. Its versions are 1, 2."):
        zoo.load("vae_digits", 3)
    for source in ("vae_digits", models / "vae_digits", models / "vae_digits" / "1"):
        assert isinstance(zoo.load(source, np.int64(1)), zoo.VAE)
        for version in (True, 1.0, "../1", 0):
            with pytest.raises(
                ValueError,
                match=f"`version` must be a positive integer. Received: version={version!r}",
            ):
                zoo.load(source, version)


def test_a_stored_model_is_measured_and_written_again(store, models, monkeypatch, capsys):
    before = zoo.load("vae_digits")
    path = models / "vae_digits" / "1" / "assets.extra" / "card.json"
    told = json.loads(path.read_text())
    told["training"]["of"] = 999  # of the recipe as it was
    path.write_text(json.dumps(told))
    arguments = ["push", "vae_digits", "--num-samples", "5", "--root", str(models), "--replace"]
    assert cli.main(arguments) == 0 and "Stored: version 2 of vae_digits" in capsys.readouterr().out
    card = cards.find_card("vae_digits")
    assert versions(models / "vae_digits") == [2]
    assert card["version"] == 2
    assert card["evaluation"]["num_samples"] == 5
    for key in push.ORIGIN:
        assert card[key] == store[2][key]
    assert card["numbers"]["kl"] == pytest.approx(store[2]["numbers"]["kl"])
    for received, expected in zip(zoo.load("vae_digits").weights, before.weights, strict=True):
        np.testing.assert_array_equal(received, expected)  # rounding happens once
    with pytest.raises(ValueError, match="A stored model is not averaged with runs"):
        push.push("vae_digits", store[1], root=models)


def test_a_mean_over_runs_stays_one_when_its_first_is_measured_again(models):
    before = {
        "nll": {
            "value": 2.0,
            "unit": "nats",
            "values": [1.0, 3.0],
            "stderr_runs": 1.0,
            "runs": [{"seed": 0}, {"seed": 1}],
        }
    }
    numbers = {"nll": {"value": 1.5, "unit": "nats"}, "kl": {"value": 4.0, "unit": "nats"}}
    received = push._measured_again(before, numbers)
    assert received["kl"] == numbers["kl"]
    assert received["nll"] == {
        **before["nll"],
        "value": 2.25,
        "values": [1.5, 3.0],
        "stderr_runs": pytest.approx(0.75),
    }


def test_a_readme_tells_what_the_card_knows(store, models):
    text, card = (models / "vae_digits" / "README.md").read_text(), store[2]
    for part in (
        "# vae_digits",
        registry.find("vae_digits").docstring().splitlines()[0],
        "![samples](samples.png)",
        "![curves](curves.png)",
        f"| `nll` | {card['numbers']['nll']['value']:.4f} | nats | test | 297 images; "
        "20 samples each, effective",
        "`hidden_units=[16]`",
        f"test `{card['data']['sha256']['test']}`",
        "3 of 200; the weights are those after epoch 3",
        card["git"],
        "Apache-2.0",
        'zoo.load("vae_digits")',
    ):
        assert part in text, part


@pytest.mark.slow
def test_storing_into_the_checkout_renews_the_index(store, models, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    push.push(store[1], num_samples=2, root=models, allow_dirty=True, verbose=0)
    assert hub.read_index()["vae_digits"].keys() == {"1", "2"}


@pytest.mark.slow
def test_several_runs_are_averaged_and_the_first_is_stored(store, models, tmp_path):
    other = training.train(
        "vae_digits",
        {"epochs": 3, "hidden_units": (16,), "seed": 1},
        out=tmp_path / "other",
        verbose=0,
    )
    card = push.push(store[1], other, num_samples=20, root=models, allow_dirty=True, verbose=0)
    nll = card["numbers"]["nll"]
    first, second = nll["values"]
    assert first == pytest.approx(store[2]["numbers"]["nll"]["value"])
    assert abs(first - second) > 1e-3
    assert nll["value"] == pytest.approx((first + second) / 2)
    assert nll["stderr_runs"] == pytest.approx(abs(first - second) / 2)
    assert nll["runs"] == [{"seed": 0}, {"seed": 1}] and card["seed"] == 0
    assert "2 runs" in cards.headline(card, "nll")
    assert "3 of 200 epochs" in cards.headline(card, "nll")
    trained = Run.open(store[1]).load_model()
    round_weights(trained)
    np.testing.assert_array_equal(zoo.load("vae_digits").get_weights()[0], trained.get_weights()[0])


def test_a_number_that_few_samples_carry_is_shown_as_a_bound():
    assert cards.TRUSTED_SAMPLE_SIZE == likelihood.TRUSTED_SAMPLE_SIZE
    training = {"epochs": 1, "of": 1}
    for effective, sign in ((9.9, "≤ "), (10.0, "")):
        nll = {
            "value": 80.0,
            "unit": "nats",
            "stderr_images": 0.1,
            "effective_sample_size": effective,
        }
        card = {
            "numbers": {"nll": nll, "bits_per_dim": {"value": 1.5, "unit": "bits/dim"}},
            "training": training,
        }
        assert cards.headline(card, "nll") == f"-log p(x) {sign}80.00 nats ± 0.10 (images)"
        assert cards.headline(card, "bits_per_dim") == f"-log p(x) {sign}1.500 bits/dim"


@pytest.mark.slow
def test_numbers_given_other_parts_of_an_image_stay_on_the_card(store, models):
    """One recipe measures 1, 2 or 3 quadrants: the newest version's card tells all of them, and
    which version each is of."""
    path = models / "vae_digits" / "card.json"
    card = json.loads(path.read_text())
    number = {
        "value": 50.0,
        "unit": "nats",
        "stderr_images": 0.1,
        "num_examples": 297,
        "split": "test",
    }
    path.write_text(
        json.dumps(
            {
                **card,
                "arguments": {**card["arguments"], "seed": 5},
                "numbers": {"conditional_nll_q2": number, "kl": number},
            }
        )
    )
    card = push.push(store[1], num_samples=5, root=models, allow_dirty=True, verbose=0)
    assert card["version"] == 2
    assert card["numbers"]["conditional_nll_q2"] == {
        "version": 1,
        **number,
    }
    assert card["numbers"]["kl"]["value"] != 50.0
    assert "given 2 of 4 quadrants) 50.00 nats ± 0.10 (images)" in cards.headline(
        card, "conditional_nll_q1"
    )


def test_targets_are_runs_or_recipes(store, models):
    for target in (store[1], str(store[1]), "vae_digits"):
        model, name, recipe = pretrained.open_model(target)
        assert name == "vae_digits" and recipe.epochs == 3 and isinstance(model, zoo.VAE)
    with pytest.raises(ValueError, match="There is no run directory 'runs/none'"):
        pretrained.open_model("runs/none")
    with pytest.raises(ValueError, match="No recipe is named 'nothing'"):
        pretrained.open_model("nothing")


def test_absent_weights_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(cards, "roots", lambda: [tmp_path])
    monkeypatch.setattr(hub, "read_index", dict)
    with pytest.raises(
        ValueError,
        match="Recipe 'vae_digits' has no stored weights. Train it with `zoo train vae_digits`",
    ):
        zoo.load("vae_digits")
    with pytest.raises(ValueError, match="Did you mean 'vae_digits'"):
        zoo.load("vae_digit")


@pytest.mark.parametrize(
    "file",
    ["variables/variables.data-00000-of-00001", "variables/variables.index", "saved_model.pb"],
)
def test_damaged_files_are_told(models, file):
    path = models / "vae_digits" / "1" / file
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError,
            match=rf"{path.name}' is not the file that the card describes \(its sha256 differs\)",
        ):
            zoo.load("vae_digits")
    path.unlink()
    with pytest.raises(ValueError, match=rf"{path.name}' is missing"):
        zoo.load("vae_digits")
    shutil.rmtree(models / "vae_digits" / "1")
    with pytest.raises(ValueError, match="The files of version 1 of 'vae_digits' are missing"):
        zoo.load("vae_digits")


def test_damaged_cards_are_told(models):
    path = models / "vae_digits" / "card.json"
    card = json.loads(path.read_text())
    for content, message in (
        ("{", "card.json' is damaged"),
        (json.dumps({"recipe": "vae_digits"}), "card.json' is damaged .KeyError: 'version'"),
        (
            json.dumps({**card, "recipe": "vae_mnist"}),
            "belongs to another recipe. Received: 'vae_mnist'",
        ),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            zoo.load("vae_digits")


def test_weights_that_do_not_fit_are_told(models, make_vae):
    with pytest.raises(ValueError, match="The weights .* cannot be read"):
        pretrained.read_weights(make_vae(), models / "vae_digits" / "1")


def test_uncommitted_or_unfinished_runs_are_not_stored(store, tmp_path):
    run = shutil.copytree(store[1], tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    for change, message in (
        ({"git": None}, r"was trained by code that no commit holds \(git: None\)"),
        ({"git": "abc-dirty"}, r"\(git: abc-dirty\).* pass --allow-dirty"),
        ({"status": "running"}, "is not finished"),
    ):
        (run / "run.json").write_text(json.dumps(record | change))
        with pytest.raises(ValueError, match=message):
            push.push(run, root=tmp_path / "models")
        assert not (tmp_path / "models").exists()
