"""The deterministic autoencoder with two latents, beside `vae_mnist_2d`: codes that can be drawn.

    zoo train ae_mnist_2d

24 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect
log p(x|z) = -124.17 nats on the 10,000 test images; an autoencoder has no log p(x).

Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313,
2006, figure 3B, trained end to end.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 2,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 600,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.Autoencoder(
            encoder=zoo.networks.MLP(hidden_units, latent_dim, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
            likelihood=likelihood,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="Autoencoder",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="mnist", train="train[:50000]", validation="train[50000:]", test="test"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        headline="log_likelihood",
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
    )
