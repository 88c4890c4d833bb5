"""A variational autoencoder of Frey faces: a manifold of faces in two dimensions.

    zoo train vae_frey_faces

8 minutes on one core of an Intel Xeon that was shared with other work. With seed 0 expect 5.767
bits/dim on the 226 test frames: -log p(x) with 1,000 importance samples each.

Figure 4 of Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014
(https://arxiv.org/abs/1312.6114): one hidden layer of 200 tanh units on each side, two latents, and
a mean in (0, 1). There, pixels are normal with a learned scale; here they are 256 levels of a
discretized logistic (Kingma et al., NeurIPS 2016, https://arxiv.org/abs/1606.04934), so that the
score is bits a dimension of the 8-bit pictures.

1,965 frames of a film: 80 % train, 10 % choose the epoch, and 10 % test (`zoo.data.frey`). Frames
of all three stand beside each other in the film.
"""

import zoo


def recipe(
    *,
    hidden_units: tuple[int, ...] = (200,),
    latent_dim: int = 2,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 100,
    epochs: int = 1500,
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (28, 20, 1)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.DiscretizedLogistic(image_shape)
        return zoo.VAE(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params, activation="tanh"),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params, activation="tanh"),
            posterior=posterior,
            likelihood=likelihood,
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
            name="frey_faces", train="train", validation="validation", binarization="grey"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_data(examples["image"]),
        headline="bits_per_dim",
        evaluation_samples=1000,
        keep="best",
    )
