"""The beta-VAE on dynamically binarized MNIST, a dense network: what `zoo sweep beta_vae_mnist
beta=0.5,1,2,4,8` trades.

    zoo train beta_vae_mnist

21 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect an
ELBO of -113.76 nats (beta = 1) on the 10,000 test images, KL 8.70 of it in 6 active dimensions of
10, and 105.48 nats of -log p(x) with 1,000 importance samples each.

Higgins et al., "beta-VAE: Learning basic visual concepts with a constrained variational framework",
ICLR 2017 (https://openreview.net/forum?id=Sy2fzU9gl), eq. 4, with the beta = 4 and the 10 latent
dimensions of their 2D shapes. They have no MNIST: the networks here are the
784-200-200-10-200-200-784 of `vae_mnist` with ReLU, where their 2D shapes take 1,200 units in each
layer and Adagrad. `warm_up_epochs` lets beta rise from 0, which theirs does not. A beta that is
compared between papers has to be divided by the number of pixels and multiplied by the latent
dimensions: 4 is 0.05 here and 0.01 there.
"""

import zoo


def recipe(
    *,
    beta: float = 4.0,
    warm_up_epochs: int = 0,
    hidden_units: tuple[int, ...] = (200, 200),
    latent_dim: int = 10,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    epochs: int = 400,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 28, 1)
    num_images = 50_000

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli(image_shape)
        return zoo.BetaVAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
            beta=zoo.schedules.Linear(0.0, beta, warm_up_epochs * -(-num_images // batch_size))
            if warm_up_epochs
            else beta,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="BetaVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="mnist",
            train=f"train[:{num_images}]",
            validation=f"train[{num_images}:]",
            test="test",
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        evaluation_samples=1000,
    )
