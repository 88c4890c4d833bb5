"""beta-TCVAE: of the KL, the total correlation alone is weighed.

    E_q[log p(x|z)] - alpha I(x; z) - beta KL(q(z) || prod_j q(z_j))
                    - gamma sum_j KL(q(z_j) || p(z_j))

Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in variational autoencoders",
NeurIPS 2018.
https://arxiv.org/abs/1802.04942
"""

from typing import Any

import keras

from zoo.inference.total_correlation import TotalCorrelation
from zoo.models.vae import VAE


@keras.saving.register_keras_serializable(package="zoo")
class BetaTCVAE(VAE):
    """VAE whose objective weighs the total correlation of its codes with `beta` (Chen et al. 2018,
    eq. 4).

    Metrics are those of `zoo.VAE` and the three parts of the KL, nats by minibatch-weighted
    sampling: `mutual_information`, `total_correlation`, `dimension_kl`.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`; posterior and prior are
            diagonal normals.
        beta: Weight of the total correlation, a non-negative number.
        num_examples: Number of training examples; by default that of the arrays which `fit` is
            given.
        others: As in `zoo.VAE`.

    Raises:
        ValueError: If an argument is out of range, or as `zoo.VAE` does.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        beta: float = 6.0,
        num_examples: int | None = None,
        **others: Any,
    ) -> None:
        super().__init__(encoder, decoder, posterior, likelihood, prior, **others)
        self.beta = beta
        self.num_examples = num_examples
        self.regularize_by(TotalCorrelation(beta, num_examples=num_examples))
