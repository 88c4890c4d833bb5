"""The beta-VAE on sprites: latents that take after the factors of the images.

    zoo train beta_vae_sprites

Not yet measured.

Higgins et al., "beta-VAE: Learning basic visual concepts with a constrained variational framework", ICLR 2017
(https://openreview.net/forum?id=Sy2fzU9gl), in the convolutional architecture of Burgess et al., "Understanding disentangling in beta-VAE",
2018 (https://arxiv.org/abs/1804.03599): 10 latents, batches of 64. Sprites are this package's own rendering of the factors of dSprites and
not DeepMind's file, drawn inside the training step. The protocol is shortened: two passes over the images, 22,572 of their 300,000 steps,
with a learning rate of 1e-3 that falls to 0 along a cosine where theirs stays at 5e-4, a beta that rises from 0 in the first 5,000 steps
where theirs is constant, and a decoder that starts at the mean image.
"""

import zoo


def recipe(
    *,
    beta: float = 4.0,
    warm_up_steps: int = 5_000,
    latent_dim: int = 10,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    epochs: int = 2,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (64, 64, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.BetaVAE(
            encoder=zoo.networks.ConvEncoder(posterior.num_params, hidden_units=(256, 256)),
            decoder=zoo.networks.ConvDecoder(image_shape, likelihood.num_params, hidden_units=(256, 256)),
            posterior=posterior,
            likelihood=likelihood,
            beta=zoo.schedules.Linear(0.0, beta, warm_up_steps) if warm_up_steps else beta,
            pixels="as_given",  # they are black and white
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, num_steps))

    return zoo.Recipe(
        family="BetaVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(name="sprites", train="train[5000:]", validation="train[:5000]", test="test", binarization="grey"),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"][::100]),
        evaluation_samples=20,
    )
