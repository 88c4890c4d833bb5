"""A convolutional ladder of four groups of latents on dynamically binarized Fashion-MNIST.

    zoo train ladder_vae_fashion_mnist

Not yet measured.

The networks of `ladder_vae_static_mnist`: features of the image go up once, a state comes down, and
each group of latents sees both (Sønderby et al., NeurIPS 2016, https://arxiv.org/abs/1602.02282;
Child, ICLR 2021, https://arxiv.org/abs/2011.10650). It trains on 57,500 images, the other 2,500 are
for validation.
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
    weight_decay: float = 0.01,
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
            name="fashion_mnist", train="train[:57500]", validation="train[57500:]"
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        initialize=lambda model, examples: model.start_at_mean(examples["image"]),
        evaluation_samples=1000,
        keep="best",
    )
