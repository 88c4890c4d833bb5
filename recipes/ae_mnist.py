"""The deterministic autoencoder, to compare with `vae_mnist`: the same networks, no prior and no
noise in the code.

    zoo train ae_mnist

29 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect
-31.61 nats of log p(x|z) at the code of each of the 10,000 test images, binarized; `vae_mnist`,
which has to keep its codes near N(0, I), reaches -64. It trains on 50,000 images.

Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313,
2006, trained end to end. It reconstructs better than a VAE and generates nothing: its codes are not
where N(0, I) draws them.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 50,
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
