"""The dense variational autoencoder of Burda et al. on statically binarized MNIST.

    zoo train vae_static_mnist

Not yet measured.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 50,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.005,
    batch_size: int = 100,
    epochs: int = 1000,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
            posterior=posterior,
            likelihood=likelihood,
            objective=zoo.objectives.PathDerivative(),
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay)

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="binarized_mnist", train="train", validation="validation", binarization="grey"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        keep="best",
    )
