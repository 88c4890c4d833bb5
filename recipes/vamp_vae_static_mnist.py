"""A variational autoencoder with a VampPrior, one stochastic layer, on statically binarized MNIST.

    zoo train vamp_vae_static_mnist

Not yet measured.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (300, 300),
    latent_dim: int = 40,
    num_components: int = 500,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    batch_size: int = 100,
    epochs: int = 300,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.VampVAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="glu"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="glu"),
            posterior=posterior,
            likelihood=likelihood,
            prior=zoo.layers.VampPrior(num_components, image_shape),
            objective=zoo.objectives.PathDerivative(),
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay)

    return zoo.Recipe(
        family="VampVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="binarized_mnist", train="train", validation="validation", binarization="grey"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_images(examples["image"]),
        keep="best",
    )
