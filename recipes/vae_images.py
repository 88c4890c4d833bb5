"""A convolutional variational autoencoder of any pictures: for a folder of one's own.

    zoo train vae_images --data FOLDER image_size=64

Not yet measured. Where no folder is named it takes CIFAR-10.

Pictures may have any size and format: each is cut to a square (`crop`), where asked for, scaled
until it covers `image_size`, and kept in its middle; grey ones get three channels, transparent ones
lie over white, and those that cannot be read are left out and named. A folder may have folders
`train`, `validation` and `test`; for what is missing a tenth is set aside, by the names of the
files. Training sees every picture and its mirror image. What does not fit into memory is read while
training.

The encoder and decoder are residual networks (He et al., ECCV 2016) that see squares of two by
two pixels as one place, so that nothing is computed at full resolution. A pixel is a discretized
logistic whose channels are coupled, as in PixelCNN++ (Salimans et al., ICLR 2017,
https://arxiv.org/abs/1701.05517), so that the score is bits a dimension of the 8-bit pictures. The
weights of the epoch with the best validation bound are kept.
"""

from typing import Literal

import zoo


def recipe(
    *,
    data: str = "cifar10",
    image_size: int = 64,
    crop: int | None = None,
    channels: Literal[1, 3] = 3,
    flip: bool = True,
    filters: tuple[int, ...] = (24, 48, 96, 192),
    patch: Literal[1, 2, 4, 8] = 2,
    latent_dim: int = 64,
    num_components: int = 1,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 32,
    epochs: int = 30,
    dtype: Literal["float32", "mixed_bfloat16"] = "float32",
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (image_size, image_size, channels)

    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.DiscretizedLogisticMixture(image_shape, num_components)
        return zoo.VAE(
            encoder=zoo.networks.ResidualEncoder(
                posterior.num_params, filters, patch=patch, dtype=dtype
            ),
            decoder=zoo.networks.ResidualDecoder(
                image_shape, likelihood.num_params, filters, patch=patch, dtype=dtype
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
            name=data,
            train="train part",
            validation="validation part",
            test="test part",
            binarization="grey",
            image_size=image_size,
            crop=crop,
            channels=channels,
            flip=flip,
            skip_corrupt=True,
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_data(examples["image"]),
        headline="bits_per_dim",
        evaluation_samples=100,
        keep="best",
    )
