"""Scores of constructed codes are what they have to be."""

import numpy as np
import pytest
from scipy import linalg

from zoo.data.sprites import FACTORS
from zoo.evaluation import disentanglement as metrics

GENERATOR = np.random.default_rng(0)
SIZES = np.array([3, 4, 6, 8])
K, D, N = 4, 6, 2000
FACTOR_VALUES = np.stack([GENERATOR.integers(size, size=N) for size in SIZES], axis=1)
SCALED = (FACTOR_VALUES - FACTOR_VALUES.mean(axis=0)) / FACTOR_VALUES.std(axis=0)
NOISE = GENERATOR.normal(size=(N, D))
ROTATION = linalg.hadamard(K) / np.sqrt(K)  # every latent takes as much from every factor
LINEAR = ("beta_vae", "factor_vae", "mig", "modularity")  # the quick ones


def scores(codes, names=LINEAR):
    return metrics.scores(codes, FACTOR_VALUES, names)


PERFECT = np.concatenate([SCALED, 0.01 * NOISE[:, :2]], axis=1)  # two latents are switched off


def test_perfect_codes_score_one():
    received = scores(PERFECT, "all")
    assert received.keys() == {
        "sap",
        "dci_disentanglement",
        "dci_completeness",
        "dci_informativeness",
        *LINEAR,
    }
    assert received["beta_vae"] == received["factor_vae"] == received["dci_informativeness"] == 1.0
    assert received["dci_disentanglement"] > 0.99 and received["dci_completeness"] > 0.99
    # Switched-off latents share what 20 bins of noise seem to know, and modularity counts them.
    assert received["mig"] > 0.98
    np.testing.assert_allclose(scores(SCALED)["modularity"], 1.0, atol=1e-4)
    # One latent gives a factor of n values away, the next one 1 / n of it by chance (a linear
    # machine does worse on many values).
    assert 0.3 < received["sap"] <= 1 - (1 / SIZES).mean() + 0.05


def test_order_sign_and_scale_of_latents_do_not_matter():
    permuted = -3.0 * PERFECT[:, GENERATOR.permutation(D)]
    for name, score in scores(permuted).items():
        np.testing.assert_allclose(score, scores(PERFECT)[name], atol=0.03, err_msg=name)


@pytest.mark.slow
def test_rotated_codes_hold_all_and_disentangle_nothing():
    perfect, rotated = scores(SCALED, "all"), scores(SCALED @ ROTATION, "all")
    for name in ("mig", "sap", "dci_disentanglement", "dci_completeness"):
        assert rotated[name] < perfect[name] - 0.2, name
    # Squares of little information are nearly none.
    assert rotated["modularity"] < perfect["modularity"] - 0.05
    assert rotated["mig"] < 0.25 and rotated["dci_informativeness"] > 0.6


def test_noise_knows_nothing():
    received = scores(NOISE, "all")
    assert received["mig"] < 0.01
    assert received["sap"] < 0.05
    assert received["dci_disentanglement"] < 0.2
    for name in ("beta_vae", "factor_vae"):  # one in K by chance
        assert abs(received[name] - 1 / K) < 0.1, name


def test_constant_codes_score_as_if_they_were_not_there():
    constant = np.zeros((N, 3))
    received = scores(constant, "all")
    assert (
        received["mig"]
        == received["factor_vae"]
        == received["modularity"]
        == received["sap"]
        == 0.0
    )
    assert received["beta_vae"] < 0.35 and received["dci_disentanglement"] < 1e-6
    with_constant = scores(np.concatenate([SCALED, constant], axis=1))
    assert with_constant["factor_vae"] == 1.0 and with_constant["mig"] > 0.99


def test_one_latent_for_two_factors_is_not_modular():
    mixed = SCALED[:, :1] + 10.0 * SCALED[:, 1:2]
    received = scores(np.concatenate([mixed, SCALED[:, 2:]], axis=1))
    assert received["modularity"] < 0.99 and received["mig"] < 1.0


def test_mig_is_that_of_the_definition():
    """Codes of two binary factors whose mutual informations are known by hand."""
    a, b = np.tile([0, 0, 1, 1], 250), np.tile([0, 1, 0, 1], 250)
    # Half a, half b.
    codes = np.stack([a, np.where(np.arange(1000) % 8 < 4, a, b)], axis=1).astype(float)
    flip = 0.25  # of the second latent against a, and against b
    information = np.log(2) + (1 - flip) * np.log(1 - flip) + flip * np.log(flip)
    expected = np.mean([(np.log(2) - information) / np.log(2), (information - 0.0) / np.log(2)])
    np.testing.assert_allclose(metrics.mig(codes, np.stack([a, b], axis=1)), expected, rtol=1e-9)


def test_rows_of_a_group_share_the_factor():
    groups = metrics._Groups(FACTOR_VALUES)
    rows = GENERATOR.integers(N, size=(500, 7))
    factor = GENERATOR.integers(K, size=(500, 1))
    drawn = groups.draw(GENERATOR, factor, rows)
    np.testing.assert_array_equal(FACTOR_VALUES[drawn, factor], FACTOR_VALUES[rows, factor])
    assert len(np.unique(drawn)) > 1000


@pytest.mark.parametrize(
    ("codes", "factors", "names", "message"),
    [
        (SCALED[:100], FACTOR_VALUES[:100], "all", "At least 200 rows are needed. Received: 100"),
        (SCALED, FACTOR_VALUES[:300], "all", r"Received: shapes \(2000, 4\) and \(300, 4\)"),
        (
            np.where(SCALED[0] == SCALED, np.nan, SCALED),
            FACTOR_VALUES,
            "all",
            "Codes must be finite. Received: .* rows with NaN",
        ),
        (SCALED, SCALED, "all", "Factors must be integers. Received: dtype float64"),
        (SCALED, FACTOR_VALUES * [1, 0, 1, 1], "all", "factor 1 is constant"),
        (
            SCALED,
            FACTOR_VALUES,
            ["mig", "gap"],
            "`metrics` must be 'all' or some of beta_vae, .*. Received: gap",
        ),
        (SCALED, FACTOR_VALUES, [], "Received: none"),
    ],
    ids=["few", "lengths", "nan", "floats", "constant", "unknown", "none"],
)
def test_what_cannot_be_scored_is_refused(codes, factors, names, message):
    with pytest.raises(ValueError, match=message):
        metrics.scores(codes, factors, names)


@pytest.mark.slow
def test_all_scores_of_ten_thousand_sprites_end(capsys):
    factors = np.stack([GENERATOR.integers(size, size=10_000) for size in FACTORS.values()], axis=1)
    codes = np.concatenate(
        [factors / factors.std(axis=0), GENERATOR.normal(size=(10_000, 5))], axis=1
    )
    received = metrics.scores(codes, factors)
    assert received["factor_vae"] > 0.95 and received["dci_disentanglement"] > 0.8
