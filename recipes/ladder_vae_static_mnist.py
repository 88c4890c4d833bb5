"""A convolutional ladder of four groups of latents on statically binarized MNIST.

    zoo train ladder_vae_static_mnist

Not yet measured.

Features of the image go up once, a state comes down; each group of latents sees both, and tells the
state what it has drawn: Sønderby et al., "Ladder variational autoencoders", NeurIPS 2016
(https://arxiv.org/abs/1602.02282), with residual blocks as in Child, "Very deep VAEs", ICLR 2021
(https://arxiv.org/abs/2011.10650). Three groups of 7x7 places stand above one of 14x14.

The data are Larochelle's binarized MNIST: 50,000 images train, 10,000 choose the epoch that is
kept, 10,000 test. Through the first epochs the KL is warmed up, balanced over the groups (Vahdat &
Kautz, NeurIPS 2020, https://arxiv.org/abs/2007.03898).
"""

from typing import Literal

import zoo


def recipe(
    *,
    groups: tuple[int, ...] = (1, 3),
    filters: tuple[int, ...] = (32, 64),
    latent_channels: tuple[int, ...] = (2, 4),
    warmup_steps: int = 1000,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.02,
    batch_size: int = 100,
    epochs: int = 40,
    dtype: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16",
    seed: int = 0,
) -> zoo.Recipe:
    def model():
        return zoo.models.residual_ladder(
            zoo.layers.Bernoulli((28, 28, 1)),
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
            name="binarized_mnist", train="train", validation="validation", binarization="grey"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        evaluation_samples=1000,
        keep="best",
    )
