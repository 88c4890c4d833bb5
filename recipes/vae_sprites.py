"""The convolutional VAE on sprites, for `beta_vae_sprites` to be compared with.

    zoo train vae_sprites

17 minutes on one of two cores of an AMD EPYC. Over seeds 0, 1 and 2 expect a FactorVAE score of
0.5487 on the 10,000 test images (0.67, 0.59 and 0.39) and a MIG of 0.09 (0.14, 0.11 and 0.02): the
score asks whether some latent tells a factor, the MIG whether one alone does.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (https://arxiv.org/abs/1312.6114), in
the convolutional architecture of Burgess et al., "Understanding disentangling in beta-VAE", 2018
(https://arxiv.org/abs/1804.03599): 10 latents, batches of 64. Sprites are this package's own
rendering of the factors of dSprites and not DeepMind's file, drawn inside the training step. One
pass over the images, 11,286 steps, with a learning rate of 1e-3 that falls to 0 along a cosine.
"""

import zoo


def recipe(
    *,
    latent_dim: int = 10,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    epochs: int = 1,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (64, 64, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.VAE(
            encoder=zoo.networks.ConvEncoder(posterior.num_params, hidden_units=(256, 256)),
            decoder=zoo.networks.ConvDecoder(
                image_shape, likelihood.num_params, hidden_units=(256, 256)
            ),
            posterior=posterior,
            likelihood=likelihood,
            pixels="as_given",  # they are black and white
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
            name="sprites",
            train="train[5000:]",
            validation="train[:5000]",
            test="test",
            binarization="grey",
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        headline="factor_vae",
        evaluation_samples=10,
    )
