"""A variational autoencoder of MNIST's 256 grey levels: pixels are discretized logistics.

    zoo train vae_mnist_logistic

15 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect
1.457 bits/dim on the 10,000 test images: -log p(x) with 1,000 importance samples each, of which two
carry the estimate (an upper bound therefore).

The likelihood is that of Salimans, Karpathy, Chen & Kingma, "PixelCNN++", ICLR 2017
(https://arxiv.org/abs/1701.05517), eqs. 1-2, with one component, as in Kingma et al., "Improved
Variational Inference with Inverse Autoregressive Flow", NeurIPS 2016
(https://arxiv.org/abs/1606.04934). `scale` is "per_pixel" (the decoder gives each pixel its own) or
"shared" (one learned number, as in the code of the latter). Ours differs in the data and the
networks: they model CIFAR-10 with deep residual networks, this is the dense network of `vae_mnist`.
-log p(x) is the length of a code for the 256 grey levels: divided by 784 log 2 it is in bits/dim.
"""

from typing import Literal

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 50,
    scale: Literal["per_pixel", "shared"] = "per_pixel",
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 160,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.DiscretizedLogistic(image_shape, scale)
        return zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
            posterior=posterior,
            likelihood=likelihood,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="mnist",
            train="train[:50000]",
            validation="train[50000:]",
            test="test",
            binarization="grey",
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        headline="bits_per_dim",
        evaluation_samples=1000,
    )
