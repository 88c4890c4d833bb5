"""Codes of CIFAR-10 that can be cut short: residual quantization at 8x8 places, four codes each.

    zoo train rvq_cifar10

Not yet measured.

Each code of a place codes what those before it have left (Zeghidour et al., "SoundStream", 2022,
https://arxiv.org/abs/2107.03312), all four from one codebook (Lee et al., CVPR 2022,
https://arxiv.org/abs/2203.01941). Half of the examples of a batch are coded by fewer of them, so
that the first codes alone are a coarser picture: -1 stands for a code that is left out. The prior
is a causal transformer over the 256 codes of a picture. All else is that of `vqvae_cifar10`.
"""

from typing import Literal

import zoo


def recipe(
    *,
    filters: tuple[int, ...] = (64, 128),
    num_codes: int = 256,
    code_dim: int = 16,
    depth: int = 4,
    dropout: float = 0.5,
    num_components: int = 5,
    commitment_cost: float = 0.25,
    restart_below: float = 1.0,
    prior_heads: int = 2,
    prior_layers: int = 4,
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
        codebook = zoo.layers.VectorQuantizer(
            num_codes,
            code_dim,
            commitment_cost=commitment_cost,
            restart_below=restart_below,
            seed=seed,
        )
        network = zoo.networks.CausalTransformer(
            num_codes, 32 * prior_heads, prior_layers, prior_heads, dropout=0.1, dtype=dtype
        )
        return zoo.VQVAE(
            encoder=zoo.networks.ResidualEncoder(
                side * side * code_dim, filters, patch=2, maps=True, dtype=dtype
            ),
            decoder=zoo.networks.ResidualDecoder(
                image_shape, likelihood.num_params, filters, patch=2, maps=True, dtype=dtype
            ),
            quantizer=zoo.layers.ResidualQuantizer(codebook, depth, dropout=dropout, seed=seed),
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
