"""The sigma-VAE on grey MNIST, to show what a learned scale does: close codes, samples no digits.

    zoo train vae_mnist_gaussian
    zoo train vae_mnist_gaussian scale=0.1

Gaussian pixels share one scale, which is learned. It falls until a code costs 122 nats.
Reconstructions are close then; draws from N(0, I), where few codes lie, decode to no digits.

17 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect
6.365 bits/dim on the 10,000 test images: -log p(x) of the dequantized pixels with 1,000 importance
samples each, of which the best weighs nearly all: an upper bound.

Rybkin, Daniilidis & Levine, "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021
(https://arxiv.org/abs/2006.13202): a fixed scale sigma is a beta-VAE with beta = sigma^2, and a
learned one finds that weight by maximum likelihood. `scale` is "shared" (one learned number),
"per_pixel" (the decoder gives a scale for each pixel) or a number (fixed). Ours differs in the
data, the networks and the scale's optimization: they model colour images and videos with
convolutions, and their "optimal" sigma is computed from each batch; this is the dense network of
`vae_mnist`, and its scale follows the gradient from 1 down, which at first weighs the KL heavily:
after 20 epochs the validation ELBO was 30 nats above that of a start from the images' own spread.
Pixels are dequantized, (k + u) / 256 with uniform noise u, so that the density of MNIST's constant
border is bounded.
"""

from typing import Literal

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 50,
    scale: float | Literal["shared", "per_pixel"] = "shared",
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 300,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Normal(image_shape, scale=scale)
        return zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
            posterior=posterior,
            likelihood=likelihood,
            pixels="dequantize",  # the density of a constant pixel is unbounded
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
