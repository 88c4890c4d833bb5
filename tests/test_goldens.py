"""What the stored models and their recipes gave before, they give again: `tests/goldens`."""

import numpy as np
import pytest

from tests import goldens
from zoo import registry

STORED = goldens.stored()
IDS = [f"{name}/{version}" for name, version in STORED]
# For `make test` one recipe of each family, step by step, and one recipe in the compiled modes;
# `make test-all` takes all.
FAMILIES = {
    registry.find(name).build({}).family: name for name in reversed(registry.list_recipes())
}
# A condition, several layers, a class, none of these.
ANSWERED = (
    "CVAE",
    "HierarchicalVampVAE",
    "StackedVAE",
    "VAE",
)
QUICK = {(name, "eager") for name in FAMILIES.values()} | {
    ("vae_digits", "xla-block"),
    ("vae_digits", "tf-loop"),
}


def test_every_stored_model_and_every_recipe_has_goldens():
    assert (
        set(goldens.read("numbers"))
        == set(goldens.read("draws"))
        == set(goldens.read("answers"))
        == set(IDS)
    )
    assert set(goldens.read("fits")) == set(registry.list_recipes())


@pytest.mark.parametrize(("name", "version"), STORED, ids=IDS)
def test_published_numbers_stay(name, version):
    assert goldens.numbers(name, version) == goldens.read("numbers")[f"{name}/{version}"]


@pytest.mark.parametrize(("name", "version"), STORED, ids=IDS)
def test_draws_stay_to_the_bit(name, version):
    assert goldens.draws(name, version) == goldens.read("draws")[f"{name}/{version}"]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, marks=[] if (name, mode) in QUICK else pytest.mark.slow)
        for name in registry.list_recipes()
        for mode in goldens.MODES
    ],
)
def test_five_steps_of_every_recipe_stay(name, mode):
    expected = goldens.read("fits")[name][mode]
    received = goldens.fit(name, mode)
    assert received.keys() == expected.keys()
    for metric, value in expected.items():
        # A KL near 0 is a sum of terms that are not: it is as exact as the loss that it is part of.
        allowed = 1e-5 * max(
            abs(value), abs(expected["loss"]) if metric.removeprefix("val_") != "accuracy" else 0.0
        )
        assert abs(received[metric] - value) <= allowed, (
            f"{metric}: {received[metric]}, not {value}"
        )


@pytest.mark.parametrize(
    ("name", "version", "ask"),
    [
        pytest.param(
            name,
            version,
            ask,
            marks=[]
            if (name, ask) in [(FAMILIES[f], goldens.in_python) for f in ANSWERED]
            else pytest.mark.slow,
        )
        for name, version in STORED
        for ask in (goldens.in_python, goldens.served)
    ],
)
def test_answers_stay(name, version, ask):
    assert_answers(name, version, ask(name, version))


@pytest.mark.slow
@pytest.mark.contract
@pytest.mark.parametrize("name", [name for name in FAMILIES.values() if name in dict(STORED)])
def test_what_is_exported_now_answers_as_what_is_stored(name, tmp_path):
    version = max(version for stored, version in STORED if stored == name)
    assert_answers(name, version, goldens.exported(name, version, tmp_path))


def assert_answers(name, version, ask):
    expected = goldens.read("answers")[f"{name}/{version}"]
    received = goldens.answers(name, version, ask)
    assert received.keys() == expected.keys()
    for output, values in expected.items():
        np.testing.assert_allclose(received[output], values, rtol=1e-5, atol=1e-6, err_msg=output)
