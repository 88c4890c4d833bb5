import numpy as np
import pytest
from scipy import linalg, stats

import zoo
from zoo import data
from zoo.evaluation import generation
from zoo.evaluation.classifier import Reader, transfer_accuracy


def test_sliced_wasserstein_of_shifted_and_scaled_normals():
    """W2 of N(m, s^2) to N(0, 1) along a direction is sqrt((m . u)^2 + (s - 1)^2); the mean of (m .
    u)^2 is |m|^2 / D."""
    generator = np.random.default_rng(0)
    draws, other = generator.normal(size=(2, 20000, 4))
    assert generation.sliced_wasserstein(other, draws) < 0.03
    shift = np.array([3.0, 0, 0, 0])
    assert generation.sliced_wasserstein(other + shift, draws) == pytest.approx(
        np.sqrt(9 / 4), rel=0.1
    )
    assert generation.sliced_wasserstein(5 * other, draws) == pytest.approx(4.0, rel=0.05)
    one = generator.normal(size=(2, 500, 1))
    expected = np.sqrt(np.mean((np.sort(one[0, :, 0]) - np.sort(one[1, :, 0])) ** 2))
    assert generation.sliced_wasserstein(one[0], one[1], num_directions=3) == pytest.approx(
        expected
    )
    assert stats.wasserstein_distance(one[0, :, 0], one[1, :, 0]) <= expected  # W1 <= W2
    with pytest.raises(ValueError, match=r"Received: \(3, 2\) and \(4, 2\)"):
        generation.sliced_wasserstein(np.zeros((3, 2)), np.zeros((4, 2)))


def test_continuity_is_one_for_a_linear_decoder_and_more_for_a_broken_one():
    generator = np.random.default_rng(0)
    codes, weights = (
        generator.normal(size=(2000, 3)),
        np.linalg.qr(generator.normal(size=(8, 3)))[0].T,
    )
    linear = generation.continuity(lambda z: z @ weights, codes, codes @ weights)
    assert linear["median"] == pytest.approx(1) and linear["p99"] == pytest.approx(1)
    scaled = generation.continuity(lambda z: z @ weights / 50, 50 * codes, codes @ weights)
    assert scaled["p99"] == pytest.approx(1)  # the unit of z plays no part
    steps = generation.continuity(lambda z: np.sign(z) @ weights, codes, np.sign(codes) @ weights)
    assert steps["median"] == 0 and steps["p99"] > 5


def test_precision_is_the_share_inside_the_manifold():
    generator = np.random.default_rng(0)
    real = generator.normal(size=(400, 2))
    assert generation.precision(real, real) == 1
    assert generation.precision(real + 100, real) == 0
    assert generation.precision(np.concatenate([real[:100], real[:300] + 100]), real) == 0.25
    distances = np.linalg.norm(real[:, None] - real[None], axis=-1)
    radii = np.sort(distances, axis=1)[:, 3]
    generated = 2 * generator.normal(size=(50, 2))
    expected = np.mean(
        [np.any(np.linalg.norm(point - real, axis=1) <= radii) for point in generated]
    )
    assert generation.precision(generated, real) == expected


def test_transfers_are_counted_by_the_class_that_was_asked_for():
    class Model:
        num_classes = 3

        def transfer(self, x, from_label, to_label):
            # It never writes a 2 unless it saw one.
            return np.where(to_label == 2, from_label, to_label)

    class Literal:
        def read(self, images):
            return images

    examples = {"image": np.zeros(6), "label": np.array([0, 1, 2, 0, 1, 2])}
    received = transfer_accuracy(Model(), examples, Literal())
    assert received["by_class"] == pytest.approx([1, 1, 1 / 3])
    assert received["value"] == pytest.approx(7 / 9)
    assert received["num_examples"] == 6


def test_both_kinds_of_model_are_compared_on_the_same_terms():
    from zoo import layers, networks

    examples = data.load("digits", "train")
    reader = Reader.stored((8, 8, 1))
    likelihood = layers.Bernoulli((8, 8, 1))
    posterior = layers.DiagonalNormal(2)
    autoencoder = zoo.Autoencoder(networks.MLP((8,), 2), networks.MLP((8,), 64), likelihood)
    vae = zoo.VAE(networks.MLP((8,), 4), networks.MLP((8,), 64), posterior, likelihood)
    for model in (autoencoder, vae):  # every code is all but 0, and every q(z|x) the prior
        model.encoder.stack[-1].kernel.assign(1e-3 * model.encoder.stack[-1].kernel)
    numbers = [
        generation.compare(model, examples, reader, num_images=300) for model in (autoencoder, vae)
    ]
    assert numbers[0]["sliced_wasserstein"] == pytest.approx(1, abs=0.1)
    assert numbers[1]["sliced_wasserstein"] == pytest.approx(
        numbers[1]["sliced_wasserstein_of_prior"], abs=0.1
    )
    assert numbers[0].keys() == numbers[1].keys()
    assert all(0 <= number["precision"] <= 1 for number in numbers)
    # An untrained decoder leaves the data out.
    assert all(number["recall"] < 0.2 for number in numbers)


# -- Sample quality


@pytest.mark.slow
def test_a_reader_learns_to_read():
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert Reader(train, epochs=12, hidden_units=64).accuracy(test) > 0.75


def test_frechet_distance_is_that_of_the_definition():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(500, 4)) @ generator.normal(size=(4, 4)) + 1.0
    b = generator.normal(size=(700, 4)) @ generator.normal(size=(4, 4))
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * root
    )
    assert generation.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert generation.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    moved = generation.frechet_distance(a, a + np.array([3.0, 0, 0, 4.0]))
    assert moved == pytest.approx(25.0, rel=1e-6)
    assert generation.frechet_distance(np.ones((9, 2)), np.ones((9, 2))) == 0.0  # nothing varies
    for wrong, message in (
        (a[:3], "More images than features are needed"),
        (np.where(a > 2, np.nan, a), "Features must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            generation.frechet_distance(wrong, b)


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_stored_classifiers_read_as_their_cards_say(name, request):
    data_dir = request.getfixturevalue("mnist_dir") if name == "mnist" else None
    test = data.load(name, "test", data_dir=data_dir)
    reader = Reader.stored(test["image"].shape[1:])
    assert reader.card["data"] == name
    assert reader.accuracy(test) == pytest.approx(reader.card["accuracy"], abs=1e-9)
    assert reader.features(test["image"][:5] / 255).shape == (5, reader.card["num_features"])


def test_quality_of_a_trained_model_is_better_than_of_an_untrained_one():
    examples = data.load("digits", "test")
    reader = Reader.stored((8, 8, 1))
    posterior, likelihood = zoo.layers.DiagonalNormal(8), zoo.layers.Bernoulli((8, 8, 1))
    untrained = zoo.VAE(
        zoo.networks.MLP((8,), posterior.num_params),
        zoo.networks.MLP((8,), likelihood.num_params),
        posterior,
        likelihood,
    )
    good, bad = (
        generation.quality(model, examples, reader) for model in (zoo.load("vae_digits"), untrained)
    )
    assert good["fid"]["value"] < 0.5 * bad["fid"]["value"]
    assert good["recall"]["value"] > bad["recall"]["value"] and good["precision"]["value"] > 0.3
    assert good["fid"]["num_examples"] == 297
    assert "of the digits classifier (0.9" in good["fid"]["features"]


def test_what_has_no_quality_is_refused(make_vae):
    with pytest.raises(
        ValueError,
        match=r"No classifier comes with the package for images of shape \(4, 4, 1\): there are "
        r"\(8, 8, 1\)",
    ):
        Reader.stored((4, 4, 1))
    reader = Reader.stored((8, 8, 1))
    for model in (make_vae(condition_shape=(2,)), zoo.load("nn_mnist_quadrants")):
        with pytest.raises(ValueError, match="draws no images by itself"):
            generation.quality(model, {"image": np.zeros([100, 4, 4, 1])}, reader)
