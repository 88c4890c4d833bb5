"""Two stochastic layers, gated dense networks and a VampPrior on dynamically binarized
Fashion-MNIST.

    zoo train vamp_vae_fashion_mnist_2layer

Not yet measured.

The model of `vamp_vae_mnist_2layer` (Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018,
https://arxiv.org/abs/1705.07120) on Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017,
https://arxiv.org/abs/1708.07747). It trains on 57,500 images; the other 2,500 choose the epoch that
is kept.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (256, 256),
    latent_dims: tuple[int, ...] = (40, 40),
    num_components: int = 200,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 240,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)

    def model():
        lower, upper = latent_dims
        posteriors = [zoo.layers.DiagonalNormal(lower), zoo.layers.DiagonalNormal(upper)]
        likelihood = zoo.layers.Bernoulli(image_shape)
        prior = zoo.layers.DiagonalNormal(lower)

        def mlp(output_size):
            return zoo.networks.MLP(hidden_units, output_size, activation="glu")

        return zoo.HierarchicalVampVAE(
            encoders=[mlp(posterior.num_params) for posterior in posteriors],
            decoders=[mlp(likelihood.num_params), mlp(prior.num_params)],
            posteriors=posteriors,
            likelihood=likelihood,
            priors=[prior],
            prior=zoo.layers.VampPrior(num_components, image_shape),
            objective=zoo.objectives.PathDerivative(),
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        # Without the clipping, training at 1.5e-3 went off after 66 epochs and did not come back.
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.Adam(schedule, clipnorm=100.0)

    return zoo.Recipe(
        family="HierarchicalVampVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="fashion_mnist", train="train[:57500]", validation="train[57500:]", test="test"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        keep="best",
        evaluation_samples=1000,
        initialize=lambda model, examples: model.start_at_images(examples["image"]),
    )
