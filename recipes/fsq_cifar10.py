"""Codes of CIFAR-10 without a codebook: finite scalar quantization at 8x8 places.

    zoo train fsq_cifar10

Not yet measured.

Mentzer, Minnen, Agustsson & Tschannen, "Finite scalar quantization: VQ-VAE made simple", ICLR 2024
(https://arxiv.org/abs/2309.15505): four elements of a vector are rounded to 8, 5, 5 and 5 levels,
which makes 1,000 codes that cannot be lost. A picture costs 638 bits at most as codes, and fewer
under the prior, a gated PixelCNN. All else is that of `vqvae_cifar10`.
"""

from typing import Literal

import zoo


def recipe(
    *,
    filters: tuple[int, ...] = (64, 128),
    levels: tuple[int, ...] = (8, 5, 5, 5),
    num_components: int = 5,
    prior_filters: int = 48,
    prior_layers: int = 8,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 50,
    epochs: int = 20,
    dtype: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16",
    seed: int = 0,
) -> zoo.Recipe:
    image_shape = (32, 32, 3)
    side = 16 // 2 ** (len(filters) - 1)

    def model():
        likelihood = zoo.layers.DiscretizedLogisticMixture(image_shape, num_components)
        quantizer = zoo.layers.FSQ(levels)
        network = zoo.networks.GatedPixelCNN(
            quantizer.num_codes,
            prior_filters,
            prior_layers,
            kernel_size=3,
            dropout=0.1,
            dtype=dtype,
        )
        return zoo.VQVAE(
            encoder=zoo.networks.ResidualEncoder(
                side * side * quantizer.code_dim, filters, patch=2, maps=True, dtype=dtype
            ),
            decoder=zoo.networks.ResidualDecoder(
                image_shape, likelihood.num_params, filters, patch=2, maps=True, dtype=dtype
            ),
            quantizer=quantizer,
            likelihood=likelihood,
            prior=zoo.layers.AutoregressiveCodes(network),
            grid=(side, side),
            seed=seed,
            dtype=dtype,
        )

    def optimizer(num_steps):
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=100.0)

    return zoo.Recipe(
        family="VQVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="cifar10",
            train="train[:45000]",
            validation="train[45000:]",
            test="test",
            binarization="grey",
            flip=True,
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_data(examples["image"]),
        headline="bits_per_dim",
        keep="best",
    )
