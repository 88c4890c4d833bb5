import numpy as np
import pytest

import zoo
from tests.small_models import class_style, hierarchical, parts, vamp
from zoo.cli import asked
from zoo.random import RowNoise

NOISE = RowNoise.of_seed(3, 5)


def test_a_temperature_scales_draws_around_the_mean():
    model = zoo.VAE(*parts())
    whole = model.generate(NOISE)["z"]
    # The prior is N(0, I).
    np.testing.assert_allclose(model.generate(NOISE, temperature=0.5)["z"], 0.5 * whole, rtol=1e-6)
    np.testing.assert_array_equal(model.generate(NOISE, temperature=0)["z"], 0.0 * whole)
    np.testing.assert_array_equal(model.generate(NOISE, temperature=1.0)["z"], whole)
    np.testing.assert_array_equal(model.sample(5, 3, temperature=1.0), model.sample(5, 3))


def test_a_latent_has_a_temperature_of_its_own():
    model = hierarchical()
    for weight in model.decoders[1].weights:  # p(z1|z2) is N(0, 1) before it is trained otherwise
        weight.assign(0.0 * weight)
    whole = model.generate(NOISE)
    cold = model.generate(NOISE, temperature={"z1": 0.1})
    np.testing.assert_array_equal(cold["z2"], whole["z2"])
    np.testing.assert_allclose(cold["z1"], 0.1 * whole["z1"], rtol=1e-5)


def test_classes_have_no_temperature():
    model = class_style()
    cold = model.generate(NOISE, temperature=0.5)
    np.testing.assert_array_equal(cold["y"], model.generate(NOISE)["y"])
    np.testing.assert_allclose(cold["z"], 0.5 * model.generate(NOISE)["z"], rtol=1e-6)
    with pytest.raises(ValueError, match="temperature of 0.5 for 'y'.*OneHotCategorical"):
        model.generate(NOISE, temperature={"y": 0.5})


def test_wrong_temperatures_are_told():
    model = zoo.VAE(*parts())
    with pytest.raises(ValueError, match="must name latents, z. Received: 'z1'"):
        model.sample(2, temperature={"z1": 0.5})
    with pytest.raises(ValueError, match="non-negative number. Received: temperature of z=-1"):
        model.sample(2, temperature=-1)
    with pytest.raises(ValueError, match="temperature of 0.5 for 'z'.*MixtureSameFamily"):
        vamp().sample(2, temperature=0.5)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [([], 1.0), (["0.7"], 0.7), (["z1=0.7", "z2=0.9"], {"z1": 0.7, "z2": 0.9})],
)
def test_temperatures_are_typed(texts, expected):
    assert asked.temperature(texts) == expected


def test_what_cannot_be_typed_as_a_temperature():
    with pytest.raises(ValueError, match="LATENT=NUMBER. Received: --temperature z1=warm"):
        asked.temperature(["z1=warm"])
    with pytest.raises(ValueError, match="one number for all.*Received: 0.5 and z1=1"):
        asked.temperature(["0.5", "z1=1"])
