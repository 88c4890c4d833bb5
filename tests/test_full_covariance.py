"""What a full covariance is for: a posterior whose latents are correlated given the image, on a
model whose log p(x) is known."""

import keras
import numpy as np
import pytest

from tests.test_vae import LinearGaussian, gaussian_kl
from zoo import layers, registry
from zoo.objectives import PathDerivative

# Columns far from orthogonal: given the image, one latent explains another away. [P, D].
W = np.float32(
    [[0.5, 0.4, 0.0], [0.4, 0.5, 0.1], [0.0, 0.3, 0.3], [0.1, 0.0, 0.4], [0.3, 0.3, 0.2]]
)
SCALE = 0.3


@pytest.fixture(scope="module")
def gaps():
    """Function: posterior layer -> KL(q(z|x) || p(z|x)) of each image after training the encoder
    alone, in float64."""
    x = np.random.default_rng(0).random((16, 5)).astype(np.float32)

    def train(posterior):
        keras.utils.set_random_seed(0)
        # p(z|x) has a mean linear in x and one covariance for all x, so that a linear encoder can
        # be exact.
        model = LinearGaussian(
            encoder=keras.layers.Dense(posterior.num_params),
            decoder=keras.layers.Dense(5),
            posterior=posterior,
            likelihood=layers.Normal(5, scale=SCALE),
            objective=PathDerivative(num_samples=4),  # its gradient's noise ends where q = p(z|x)
        )
        model.decoder.set_weights([W.T, np.full(5, 0.5, np.float32)])
        model.decoder.trainable = False
        steps = 800
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.2, steps)))
        # Every batch holds all images.
        model.fit(np.tile(x, (steps, 1)), batch_size=16, shuffle=False, verbose=0)
        np.testing.assert_array_equal(model.decoder.get_weights()[0], W.T)

        log_prob, locs, covariance = model.exact(x)
        q = model.encode(x)
        q_locs, q_covariances = (
            q.loc.numpy().astype(np.float64),
            q.covariance().numpy().astype(np.float64),
        )
        gaps = np.array(
            [gaussian_kl(q_locs[i], q_covariances[i], locs[i], covariance) for i in range(len(x))]
        )
        log_weights = model(x, num_samples=2000).log_weights.numpy().astype(np.float64)  # [S, B]
        # The bound falls short of log p(x) by that gap: four standard errors of 2,000 samples.
        assert np.all(
            np.abs(log_prob - log_weights.mean(0) - gaps)
            < 4 * log_weights.std(0) / np.sqrt(2000) + 1e-4
        )
        return gaps

    return train


def test_full_covariance_closes_the_gap_to_log_prob(gaps):
    assert gaps(layers.FullCovarianceNormal(3)).max() < 1e-3


def test_diagonal_keeps_the_gap_of_the_best_factorized_posterior(gaps):
    precision = W.T.astype(np.float64) @ W / SCALE**2 + np.eye(3)
    # min over diagonal q of KL(q || N(m, P^-1)) = 0.5 (sum_j log P_jj - log det P), at variances 1
    # / P_jj
    best = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert best > 0.5
    received = gaps(layers.DiagonalNormal(3))
    assert received.min() > best - 1e-4  # no diagonal does better
    assert received.max() < best + 0.01  # its gradient stays noisy


def test_recipe_compares_the_two():
    recipe = registry.find("vae_mnist_full_covariance")
    assert isinstance(recipe.build({}).model().posterior_layer, layers.FullCovarianceNormal)
    assert isinstance(
        recipe.build({"posterior": "diagonal"}).model().posterior_layer, layers.DiagonalNormal
    )
    with pytest.raises(
        ValueError,
        match=r"'posterior' of .* Literal\['full_covariance', 'diagonal'\]\. Received: "
        r"posterior='both'",
    ):
        recipe.build({"posterior": "both"})
