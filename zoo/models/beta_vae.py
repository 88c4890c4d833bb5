"""VAEs whose rate is weighed, or steered to a target.

    BetaVAE       E_q[log p(x|z)] - beta KL(q(z|x) || p(z))
    CapacityVAE   E_q[log p(x|z)] - gamma |KL(q(z|x) || p(z)) - C|

Higgins et al., "beta-VAE: Learning basic visual concepts with a constrained variational framework",
ICLR 2017.
https://openreview.net/forum?id=Sy2fzU9gl
Burgess et al., "Understanding disentangling in beta-VAE", 2018. https://arxiv.org/abs/1804.03599
"""

from typing import Any

import keras

from zoo import validation
from zoo.inference import Capacity, WeightedKL
from zoo.models.vae import VAE
from zoo.schedules import Schedule, as_schedule


@keras.saving.register_keras_serializable(package="zoo")
class BetaVAE(VAE):
    """VAE whose objective weighs the KL with `beta` (Higgins et al. 2017, eq. 4).

    With beta = 1 it is the VAE, below it spends more nats on z for a better reconstruction, above
    it fewer. Metrics are those of `zoo.VAE`: `elbo` stays the bound on log p(x), and `loss` is
    -log_likelihood + beta kl.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`.
        beta: Non-negative number, or schedule of the training step
            (`zoo.schedules.Linear(0, 1, num_steps)` is a warm-up).
        others: As in `zoo.VAE`. Objectives that bound log p(x) by other means are refused.

    Raises:
        ValueError: If `beta` is out of range, or as `zoo.VAE` does.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        beta: float | Schedule = 4.0,
        **others: Any,
    ) -> None:
        super().__init__(encoder, decoder, posterior, likelihood, prior, **others)
        self.beta = as_schedule(beta, "beta")
        self.regularize_by(WeightedKL(self.beta))


@keras.saving.register_keras_serializable(package="zoo")
class CapacityVAE(VAE):
    """VAE whose KL is held at a capacity C that usually grows during training (Burgess et al. 2018,
    eq. 8).

    The absolute value is of the batch's mean KL: single images may take more or fewer nats than C.
    Metrics are those of `zoo.VAE`.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`.
        capacity: C in nats: non-negative number, or schedule of the training step
            (`zoo.schedules.Linear(0, 25, num_steps)`).
        gamma: What one nat beside the capacity costs.
        others: As in `zoo.VAE`. Objectives that bound log p(x) by other means are refused.

    Raises:
        ValueError: If `capacity` or `gamma` is out of range, or as `zoo.VAE` does.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        capacity: float | Schedule = 25.0,
        gamma: float = 30.0,
        **others: Any,
    ) -> None:
        super().__init__(encoder, decoder, posterior, likelihood, prior, **others)
        self.capacity = as_schedule(capacity, "capacity")
        self.gamma = validation.non_negative("gamma", gamma)
        self.regularize_by(Capacity(self.capacity, self.gamma))
