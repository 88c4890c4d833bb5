"""The VAE of a growing capacity on dynamically binarized MNIST, a dense network.

    zoo train beta_vae_mnist_capacity

21 minutes on one of two cores of an AMD EPYC that was shared with other work. With seed 0 expect a
KL of 25.01 nats and an ELBO (beta = 1) of -103.62 on the 10,000 test images, and 98.73 nats of -log
p(x) with 1,000 importance samples each.

Burgess et al., "Understanding disentangling in beta-VAE", 2018 (https://arxiv.org/abs/1804.03599),
eq. 8: the KL follows a capacity that grows to 25 nats in the first 100,000 steps, as theirs on
dSprites; 10 latent dimensions as there. They have no MNIST and convolutional networks: ours are the
784-200-200-10-200-200-784 of `vae_mnist` with ReLU, Adam with a cosine decay from 1e-3. A capacity
is a target from both sides: 25 nats is what z carries at the end, whatever a VAE would choose.
Theirs weighs the distance to it by gamma = 1,000, Dupont (NeurIPS 2018,
https://arxiv.org/abs/1804.00104) by 30 on MNIST. The gradient of that distance changes sign from
batch to batch, and the larger gamma, the less of what z carries is of use: with `epochs=20
capacity_epochs=10` the validation ELBO was -133 nats at gamma=30, -124 at 8 and -118 at 4, at the
same KL.
"""

import zoo


def recipe(
    *,
    capacity: float = 25.0,
    capacity_epochs: int = 200,
    gamma: float = 4.0,
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
        return zoo.CapacityVAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
            capacity=zoo.schedules.Linear(
                0.0, capacity, capacity_epochs * -(-num_images // batch_size)
            )
            if capacity_epochs
            else capacity,
            gamma=gamma,
            seed=seed,
        )

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        )

    return zoo.Recipe(
        family="CapacityVAE",
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
