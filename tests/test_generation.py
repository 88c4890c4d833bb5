import numpy as np
import pytest
from scipy import stats

from zoo import data
from zoo.evaluation import generation
from zoo.evaluation.classifier import Reader, transfer_accuracy


def test_sliced_wasserstein_of_shifted_and_scaled_normals():
    """W2 of N(m, s^2) to N(0, 1) along a direction is sqrt((m . u)^2 + (s - 1)^2); the mean of (m . u)^2 is |m|^2 / D."""
    generator = np.random.default_rng(0)
    draws, other = generator.normal(size=(2, 20000, 4))
    assert generation.sliced_wasserstein(other, draws) < 0.03
    shift = np.array([3.0, 0, 0, 0])
    assert generation.sliced_wasserstein(other + shift, draws) == pytest.approx(np.sqrt(9 / 4), rel=0.1)
    assert generation.sliced_wasserstein(5 * other, draws) == pytest.approx(4.0, rel=0.05)
    one = generator.normal(size=(2, 500, 1))
    expected = np.sqrt(np.mean((np.sort(one[0, :, 0]) - np.sort(one[1, :, 0])) ** 2))
    assert generation.sliced_wasserstein(one[0], one[1], num_directions=3) == pytest.approx(expected)
    assert stats.wasserstein_distance(one[0, :, 0], one[1, :, 0]) <= expected  # W1 <= W2
    with pytest.raises(ValueError, match=r"Received: \(3, 2\) and \(4, 2\)"):
        generation.sliced_wasserstein(np.zeros((3, 2)), np.zeros((4, 2)))


def test_continuity_is_one_for_a_linear_decoder_and_more_for_a_broken_one():
    generator = np.random.default_rng(0)
    codes, weights = generator.normal(size=(2000, 3)), np.linalg.qr(generator.normal(size=(8, 3)))[0].T
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
    expected = np.mean([np.any(np.linalg.norm(point - real, axis=1) <= radii) for point in generated])
    assert generation.precision(generated, real) == expected


def test_transfers_are_counted_by_the_class_that_was_asked_for():
    class Model:
        num_classes = 3

        def transfer(self, x, from_label, to_label):
            return np.where(to_label == 2, from_label, to_label)  # it never writes a 2 unless it saw one

    class Literal:
        def read(self, images):
            return images

    examples = {"image": np.zeros(6), "label": np.array([0, 1, 2, 0, 1, 2])}
    received = transfer_accuracy(Model(), examples, Literal())
    assert received["by_class"] == pytest.approx([1, 1, 1 / 3]) and received["value"] == pytest.approx(7 / 9)
    assert received["num_examples"] == 6


def test_both_kinds_of_model_are_compared_on_the_same_terms():
    import zoo
    from zoo import layers, networks

    examples = data.load("digits", "train")
    reader = Reader(examples, epochs=12)
    assert reader.accuracy(data.load("digits", "test")) > 0.8
    likelihood = layers.Bernoulli((8, 8, 1))
    posterior = layers.DiagonalNormal(2)
    autoencoder = zoo.Autoencoder(networks.MLP((8,), 2), networks.MLP((8,), 64), likelihood)
    vae = zoo.VAE(networks.MLP((8,), 4), networks.MLP((8,), 64), posterior, likelihood)
    for model in (autoencoder, vae):  # every code is all but 0, and every q(z|x) the prior
        model.encoder.stack[-1].kernel.assign(1e-3 * model.encoder.stack[-1].kernel)
    numbers = [generation.compare(model, examples, reader, num_images=300) for model in (autoencoder, vae)]
    assert numbers[0]["sliced_wasserstein"] == pytest.approx(1, abs=0.1)
    assert numbers[1]["sliced_wasserstein"] == pytest.approx(numbers[1]["sliced_wasserstein_of_prior"], abs=0.1)
    assert numbers[0].keys() == numbers[1].keys()
    assert all(0 <= number["precision"] <= 1 for number in numbers)
    assert all(number["recall"] < 0.2 for number in numbers)  # an untrained decoder leaves the data out
