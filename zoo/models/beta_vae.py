"""VAEs whose rate is weighed, or steered to a target.

    BetaVAE       E_q[log p(x|z)] - beta KL(q(z|x) || p(z))
    CapacityVAE   E_q[log p(x|z)] - gamma |KL(q(z|x) || p(z)) - C|

Higgins et al., "beta-VAE: Learning basic visual concepts with a constrained variational framework", ICLR 2017.
https://openreview.net/forum?id=Sy2fzU9gl
Burgess et al., "Understanding disentangling in beta-VAE", 2018. https://arxiv.org/abs/1804.03599
"""

import keras
import tensorflow as tf

from zoo import validation
from zoo.models.vae import VAE
from zoo.schedules import as_schedule
from zoo.shards import batch_mean


@keras.saving.register_keras_serializable(package="zoo")
class BetaVAE(VAE):
    """VAE whose objective weighs the KL with `beta` (Higgins et al. 2017, eq. 4).

    With beta = 1 it is the VAE, below it spends more nats on z for a better reconstruction, above it fewer. Metrics are those of
    `zoo.VAE`: `elbo` stays the bound on log p(x), and `loss` is -log_likelihood + beta kl.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`.
        beta: Non-negative number, or schedule of the training step (`zoo.schedules.Linear(0, 1, num_steps)` is a warm-up).
        objective, pixels, condition_shape, seed: As in `zoo.VAE`. Objectives that bound log p(x) by other means are refused.

    Raises:
        ValueError: If `beta` is out of range, or as `zoo.VAE` does.
    """

    _PARTS = {**VAE._PARTS, "beta": "beta"}
    weighs_kl = True

    def __init__(self, encoder, decoder, posterior, likelihood, prior=None, *, beta=4.0, **kwargs):
        self.beta = as_schedule(beta, "beta")  # before the constructor of VAE, which builds all parts
        super().__init__(encoder, decoder, posterior, likelihood, prior, **kwargs)

    def regularizer(self, out):
        return self.beta(self.training_step) * self.kl(out)


@keras.saving.register_keras_serializable(package="zoo")
class CapacityVAE(VAE):
    """VAE whose KL is held at a capacity C that usually grows during training (Burgess et al. 2018, eq. 8).

    The absolute value is of the batch's mean KL: single images may take more or fewer nats than C. Metrics are those of `zoo.VAE`.

    Args:
        encoder, decoder, posterior, likelihood, prior: As in `zoo.VAE`.
        capacity: C in nats: non-negative number, or schedule of the training step (`zoo.schedules.Linear(0, 25, num_steps)`).
        gamma: What one nat beside the capacity costs.
        objective, pixels, condition_shape, seed: As in `zoo.VAE`. Objectives that bound log p(x) by other means are refused.

    Raises:
        ValueError: If `capacity` or `gamma` is out of range, or as `zoo.VAE` does.
    """

    _PARTS = {**VAE._PARTS, "capacity": "capacity"}
    weighs_kl = True
    batch_statistics = True

    def __init__(self, encoder, decoder, posterior, likelihood, prior=None, *, capacity=25.0, gamma=30.0, **kwargs):
        self.capacity = as_schedule(capacity, "capacity")  # before the constructor of VAE, which builds all parts
        self.gamma = validation.non_negative("gamma", gamma)
        super().__init__(encoder, decoder, posterior, likelihood, prior, **kwargs)

    def regularizer(self, out):
        return self.gamma * tf.abs(batch_mean(self.kl(out)) - self.capacity(self.training_step))

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
