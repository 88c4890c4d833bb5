"""Published numbers come out again, and numbers that were not measured do not."""

import json
import shutil

import pytest

from zoo import cli, data, registry
from zoo.store import cards, push, verify


def test_numbers_of_the_card_come_out_again(store, models):
    rows = list(verify.verify("vae_digits"))
    assert {row.name for row in rows} == set(store[2]["numbers"])
    for row in rows:
        assert row.agrees and row.model == "vae_digits/1"
        assert row.recomputed == pytest.approx(store[2]["numbers"][row.name]["value"], abs=1e-4)
        assert "ok" in verify.line(row) and row.name in verify.line(row)


def rewrite(models, change, version=1):
    """Changes the card of a version where it lies, which its hashes do not cover."""
    for path in (
        models / "vae_digits" / str(version) / "assets.extra" / "card.json",
        models / "vae_digits" / "card.json",
    ):
        card = json.loads(path.read_text())
        change(card)
        path.write_text(json.dumps(card))


def test_a_number_that_was_not_measured_is_found(models, capsys):
    rewrite(
        models,
        lambda card: card["numbers"]["nll"].update(value=card["numbers"]["nll"]["value"] - 0.02),
    )
    assert [row.name for row in verify.verify("vae_digits") if not row.agrees] == ["nll"]
    assert cli.main(["verify", "vae_digits"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  vae_digits/1" in out and "1 of 5 numbers are not the published ones." in out


def test_another_seed_agrees_to_the_noise(models):
    rows = {row.name: row for row in verify.verify("vae_digits", new_seed=5)}
    nll = rows["nll"]
    assert nll.agrees and nll.recomputed != nll.published
    assert nll.tolerance == pytest.approx(
        4 * cards.find_card("vae_digits")["numbers"]["nll"]["stderr_sampling"]
    )
    assert rows["active_units"].agrees is None and "not judged" in verify.line(rows["active_units"])
    rewrite(
        models,
        lambda card: card["numbers"]["nll"].update(
            value=card["numbers"]["nll"]["value"] + 5 * nll.tolerance
        ),
    )
    assert [row.name for row in verify.verify("vae_digits", new_seed=5) if row.agrees is False] == [
        "nll"
    ]


@pytest.mark.slow
def test_every_version_is_verified_and_a_mean_by_its_first_run(models):
    shutil.copytree(models / "vae_digits" / "1", models / "vae_digits" / "2")
    path = models / "vae_digits" / "2" / "assets.extra" / "card.json"
    card = json.loads(path.read_text())
    nll = card["numbers"]["nll"]
    card["numbers"]["nll"] = {
        **nll,
        "value": nll["value"] + 3.0,
        "values": [nll["value"], nll["value"] + 6.0],
    }
    # Another version's: verified there.
    card["numbers"]["conditional_nll_q2"] = {
        **nll,
        "version": 1,
    }
    card |= {
        "version": 2,
        "files": {name.replace("1/", "2/", 1): digest for name, digest in card["files"].items()},
    }
    path.write_text(json.dumps(card))
    (models / "vae_digits" / "card.json").write_text(json.dumps(card))
    rows = list(verify.verify("vae_digits"))
    assert [row.model for row in rows] == ["vae_digits/1"] * 5 + ["vae_digits/2"] * 5
    assert all(row.agrees for row in rows)
    assert {row.model for row in verify.verify("vae_digits", 2)} == {"vae_digits/2"}


def test_numbers_that_no_longer_exist_do_not_agree(models):
    rewrite(models, lambda card: card["numbers"].update(accuracy={"value": 0.5, "unit": "share"}))
    assert [row.name for row in verify.verify("vae_digits") if not row.agrees] == ["accuracy"]


def test_other_images_are_told(models):
    rewrite(models, lambda card: card["data"]["sha256"].update(test="0" * 64))
    with pytest.raises(
        ValueError,
        match="The images of 'digits', 'test', are not those that 'vae_digits' was measured on",
    ):
        list(verify.verify("vae_digits"))


def test_the_subset_of_a_large_model_is_verified_by_numbers_of_its_own(models, capsys):
    whole = cards.find_card("vae_digits")
    again = {"num_samples": 20, "root": models, "replace": True, "verbose": 0}
    card = push.push("vae_digits", verified_examples=30, **again)
    assert card["numbers"] == whole["numbers"]
    assert card["subset"]["num_examples"] == 30
    assert card["subset"]["numbers"]["nll"]["num_examples"] == 30
    rows = {row.name: row for row in verify.verify("vae_digits")}
    assert {row.model for row in rows.values()} == {"vae_digits/2[:30]"}
    assert all(row.agrees for row in rows.values())
    assert rows["nll"].published != card["numbers"]["nll"]["value"]
    assert "the first 30 test images" in (models / "vae_digits" / "README.md").read_text()
    # It stays a subset when the model is measured again.
    assert push.push("vae_digits", **again)["subset"] == card["subset"]
    assert cli.main(["verify", "vae_digits", "--full"]) == 0
    assert "vae_digits/3  " in capsys.readouterr().out


def test_what_to_verify_has_to_be_said(capsys):
    for arguments in (["verify"], ["verify", "--all", "vae_digits"]):
        assert cli.main(arguments) == 2
        assert "Name recipes with stored weights, or pass --all" in capsys.readouterr().err


def test_the_stored_digits_are_what_their_card_says():
    assert all(row.agrees for row in verify.verify("vae_digits"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name for name in registry.list_recipes() if cards.find_card(name) and name != "vae_digits"],
)
def test_every_stored_model_is_what_its_card_says(name, mnist_dir):
    spec = registry.find(name).build({})
    data.load(spec.dataset.name, spec.dataset.test, data_dir=mnist_dir)
    rows = list(verify.verify(name, data_dir=mnist_dir))
    assert rows and all(row.agrees for row in rows), "\n".join(map(verify.line, rows))
