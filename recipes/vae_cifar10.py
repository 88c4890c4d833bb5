"""A residual variational autoencoder of colour pictures, CIFAR-10, with one layer of latents: for
its bound and its reconstructions; what it draws are textures.

    zoo train vae_cifar10

90 minutes on one core of an Intel Xeon that multiplies in bfloat16, shared with other work (on one
that does not, try `dtype=float32`). With seed 0 expect 4.393 bits/dim or fewer on the first 1,000
test images, by 100 importance samples each, of which one counts. The card calls the revision dirty:
a link to a virtual environment lay in the tree, which was no part of the code.

The latents are a map of 8x8 places, and a standard normal draws each place for itself. Encoder and
decoder are residual networks (He et al., ECCV 2016, https://arxiv.org/abs/1603.05027) whose blocks
begin as the identity (Zhang, Dauphin & Ma, ICLR 2019, https://arxiv.org/abs/1901.09321) and that
see squares of two by two pixels as one place. A pixel is a mixture of discretized logistics with
coupled channels, as in PixelCNN++ (Salimans et al., ICLR 2017, https://arxiv.org/abs/1701.05517).

45,000 images and their mirror images train, 5,000 choose the epoch that is kept. The networks
multiply in bfloat16 while they train, and are stored and measured in float32.
"""

from typing import Literal

import zoo


def recipe(
    *,
    filters: tuple[int, ...] = (64, 128),
    latent_channels: int = 16,
    num_components: int = 5,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 50,
    epochs: int = 20,
    dtype: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16",
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (32, 32, 3)

    def model():
        side = 16 // 2 ** (len(filters) - 1)
        posterior = zoo.layers.DiagonalNormal((side, side, latent_channels))
        likelihood = zoo.layers.DiscretizedLogisticMixture(image_shape, num_components)
        return zoo.VAE(
            encoder=zoo.networks.ResidualEncoder(
                posterior.num_params, filters, patch=2, maps=True, dtype=dtype
            ),
            decoder=zoo.networks.ResidualDecoder(
                image_shape, likelihood.num_params, filters, patch=2, maps=True, dtype=dtype
            ),
            posterior=posterior,
            likelihood=likelihood,
            seed=seed,
            dtype=dtype,
        )

    def optimizer(num_steps):
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=100.0)

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="cifar10",
            train="train[:45000]",
            validation="train[45000:]",
            binarization="grey",
            flip=True,
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_data(examples["image"]),
        headline="bits_per_dim",
        evaluation_samples=100,
        keep="best",
    )
