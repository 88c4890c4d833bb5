"""A stored model that is trained further, on other data.

    zoo fit MODEL --data FOLDER epochs=5

Not yet measured. The command is `zoo train fine_tuned` with the model's name, the size and channels
of its pictures and its binarization; what it leaves is a run as any other, to be shown, exported
and pushed. The first weights are the model's own, with a new optimizer. Where the data have no
validation or test split, a tenth of the training split is set aside for it.
"""

from typing import Literal

import zoo


def recipe(
    *,
    model: str = "vae_digits",
    data: str = "digits",
    image_size: tuple[int, int] | None = None,
    channels: Literal[1, 3] | None = None,
    binarization: Literal["dynamic", "static", "grey"] = "dynamic",
    learning_rate: float = 3e-4,
    weight_decay: float = 0.0,
    batch_size: int = 100,
    epochs: int = 10,
    seed: int = 0,
) -> zoo.Recipe:
    def optimizer(num_steps):
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay)

    return zoo.Recipe(
        family="any",
        model=lambda: zoo.load(model),
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name=data,
            train="train part",
            validation="validation part",
            test="test part",
            binarization=binarization,
            image_size=image_size,
            channels=channels,
            skip_corrupt=True,
        ),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        evaluation_samples=1000,
        keep="best",
    )
