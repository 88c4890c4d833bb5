"""Codes of CIFAR-10: a VQ-VAE with 512 codes at 8x8 places, and a gated PixelCNN over them.

    zoo train vqvae_cifar10

Not yet measured.

van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017
(https://arxiv.org/abs/1711.00937). A picture costs 576 bits at most as codes, and fewer under the
prior. Codes and prior are learned side by side, as no gradient passes the codes. The codebook
starts at clusters of what the encoder gives, and codes that are lost restart. Likelihood, networks
and data are those of `vae_cifar10`: residual blocks, a mixture of discretized logistics whose
channels are coupled, 45,000 pictures to train on and their mirror images, 5,000 for choices.
"""

from typing import Literal

import zoo


def recipe(
    *,
    filters: tuple[int, ...] = (64, 128),
    num_codes: int = 512,
    code_dim: int = 16,
    num_components: int = 5,
    commitment_cost: float = 0.25,
    restart_below: float = 1.0,
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
        network = zoo.networks.GatedPixelCNN(
            num_codes, prior_filters, prior_layers, kernel_size=3, dropout=0.1, dtype=dtype
        )
        return zoo.VQVAE(
            encoder=zoo.networks.ResidualEncoder(
                side * side * code_dim, filters, patch=2, maps=True, dtype=dtype
            ),
            decoder=zoo.networks.ResidualDecoder(
                image_shape, likelihood.num_params, filters, patch=2, maps=True, dtype=dtype
            ),
            quantizer=zoo.layers.VectorQuantizer(
                num_codes,
                code_dim,
                commitment_cost=commitment_cost,
                restart_below=restart_below,
                seed=seed,
            ),
            likelihood=likelihood,
            prior=zoo.layers.AutoregressiveCodes(network),
            grid=(side, side),
            seed=seed,
            dtype=dtype,
        )

    def start(model, examples):
        model.start_at_data(examples["image"])
        model.start_codebook(examples["image"][:1000])

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
        initialize=start,
        headline="bits_per_dim",
        keep="best",
    )
