"""The contract of everything that training can minimize."""

import keras
import tensorflow as tf

from zoo import validation


def with_gradient_of(value, surrogate):
    """`value`, differentiated as `surrogate` is."""
    return tf.stop_gradient(value - surrogate) + surrogate


def stopped(z):
    """A tensor, or a structure of tensors, that no gradient passes."""
    return tf.nest.map_structure(tf.stop_gradient, z)


class Objective(keras.layers.Layer):
    """The contract: `loss(model, batch, noise, training)`, and `check(model)` for what it cannot be used with.

    Args:
        num_samples: S, samples of z per image and step.

    Raises:
        ValueError: If S < 1.
    """

    # Whether gradients pass through z, and whether the bound has no place for a regularizer other than KL(q || p).
    needs_reparameterization = True
    needs_plain_kl = True
    least_samples = 1
    # Whether the loss is a function of means over the batch (`zoo.shards.batch_mean`).
    batch_statistics = False

    def __init__(self, num_samples=1, **kwargs):
        super().__init__(**kwargs)
        self.num_samples = validation.integer("num_samples", num_samples, self.least_samples)

    def check(self, model):
        """Raises ValueError, with the reason, where the objective is not defined for a `zoo.VAE`."""
        name = type(self).__name__
        if self.needs_reparameterization and not model.is_reparameterized:
            raise ValueError(
                f"{name} differentiates through the draw of z, which {type(model.posterior_layer).__name__} does not allow. "
                f"Use ScoreFunction or VIMCO. Received: objective={name}."
            )
        if self.needs_plain_kl and model.weighs_kl:
            raise ValueError(
                f"{name} bounds log p(x), and {type(model).__name__} has a regularizer of its own, which such a bound has no place for. "
                f"Use ELBO. Received: objective={name}."
            )

    def loss(self, model, batch, noise, training=False):
        """The loss of a batch and the pass that it comes from.

        Args:
            model: A `zoo.VAE`.
            batch: Dict with "image" as the likelihood takes it, float32 [B, ...].
            noise: `RowNoise` of B rows.
            training: Whether networks are to do what they do in training alone.

        Returns:
            Loss [B] in nats, and the `VAEOutput` of S samples.
        """
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "num_samples": self.num_samples}
