"""A variational autoencoder of dynamically binarized MNIST with two latent dimensions, for pictures
of the latent space.

    zoo train vae_mnist_2d

27 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect
130.90 nats: -log p(x) on the 10,000 test images with 1,000 importance samples each; the KL is 7.35.

The learned manifold of Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014
(https://arxiv.org/abs/1312.6114), appendix A. Ours differs in the networks, two hidden layers of
200 on each side as in `vae_mnist`, in its optimization, Adam with a cosine decay, and in the data,
50,000 images that are binarized anew at every step.
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
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
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
            name="mnist", train="train[:50000]", validation="train[50000:]", test="test"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        evaluation_samples=1000,
    )
