"""A convolutional ladder of latents of colour pictures: CIFAR-10.

    zoo train ladder_vae_cifar10

Not yet measured.

Three groups of latents at 8x8 places stand above two at 16x16; features of the picture go up once,
a state comes down, and each group sees both (Sønderby et al., NeurIPS 2016,
https://arxiv.org/abs/1602.02282; Child, ICLR 2021, https://arxiv.org/abs/2011.10650). The KL is
warmed up, balanced over the groups (Vahdat & Kautz, NeurIPS 2020,
https://arxiv.org/abs/2007.03898). Likelihood and data are those of `vae_cifar10`.
"""

from typing import Literal

import zoo


def recipe(
    *,
    groups: tuple[int, ...] = (2, 3),
    filters: tuple[int, ...] = (64, 128),
    latent_channels: tuple[int, ...] = (4, 8),
    num_components: int = 5,
    warmup_steps: int = 2000,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 50,
    epochs: int = 20,
    dtype: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16",
    seed: int = 0,
) -> zoo.Recipe:
    def model():
        return zoo.models.residual_ladder(
            zoo.layers.DiscretizedLogisticMixture((32, 32, 3), num_components),
            groups=groups,
            filters=filters,
            latent_channels=latent_channels,
            patch=2,
            bottleneck=False,
            objective=zoo.objectives.ELBO(
                regularizer=zoo.objectives.BalancedKL(zoo.schedules.Linear(0.0, 1.0, warmup_steps))
            ),
            seed=seed,
            dtype=dtype,
        )

    def optimizer(num_steps):
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=100.0)

    return zoo.Recipe(
        family="LadderVAE",
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
        evaluation_samples=1000,
        keep="best",
    )
