"""A detector of other digits: a variational autoencoder that has seen one digit of MNIST alone.

    zoo train detector_mnist

Not yet measured. What is improbable under the model is called an anomaly: the score of an image is
its importance-sampled -log p(x). The threshold is set by 300 images of the digit that training did
not see, such that 5 % of new ones lie above it (conformal p-values; Bates et al., "Testing for
outliers with conformal p-values", Annals of Statistics 51, 2023, https://arxiv.org/abs/2104.08279).
On the test images the other nine digits are the anomalies.

Grey levels under a logistic likelihood of 256 levels would give the background's noise most of the
score; images are binarized here, as in `vae_mnist`.
"""

import zoo


def recipe(
    *,
    digit: int = 4,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 16,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 100,
    false_alarm_rate: float = 0.05,
    num_calibration: int = 299,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        member = zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
            posterior=posterior,
            likelihood=likelihood,
            objective=zoo.objectives.PathDerivative(),
            seed=seed,
        )
        return zoo.AnomalyModel(
            [member],
            num_calibration=num_calibration,
            false_alarm_rate=false_alarm_rate,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="AnomalyModel",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name=f"mnist@{digit}",
            train=f"train[:-{num_calibration}]",
            validation=f"train[-{num_calibration}:]",
            test="test",
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        finish=lambda model, examples: model.calibrate(examples),
        headline="auroc",
        evaluation_samples=500,
    )
