"""A small variational autoencoder on the 8x8 digits that come with scikit-learn: the recipe that
needs no download.

    zoo train vae_digits

13 seconds on two cores of an AMD EPYC. With seed 0 expect 22.33 nats: -log p(x) on the 297 test
images with 5,000 importance samples each.

A model to look at and to test with, not a published one: a dense network of the kind of Kingma &
Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (https://arxiv.org/abs/1312.6114), on 1,200
training images.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (256, 256),
    latent_dim: int = 8,
    learning_rate: float = 1e-3,
    batch_size: int = 50,
    epochs: int = 200,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (8, 8, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params),
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
            name="digits", train="train[:1200]", validation="train[1200:]", test="test"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
    )
