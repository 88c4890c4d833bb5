"""The model that a `Detector` makes for a table of numbers."""

import dataclasses
from typing import Any

import keras

from zoo.layers import Columns, DiagonalNormal
from zoo.models.vae import VAE
from zoo.networks import MLP
from zoo.observations import Vector


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the table model is made and trained: one configuration for all tables.

    What they are was chosen by `benchmarks/choose_detector.py`, on made-up tables.

    Attributes:
        hidden_units: Widths of the hidden layers of encoder and decoder.
        latent_dim: Most latent dimensions; there are half as many as columns, if that is fewer, and
            at least two.
        least_scale: Lower bound of the scale of a column, in its standard deviations: what is
            closer than that counts as alike.
        jitter: Standard deviation of the noise that each repeat of a row has in training.
        learning_rate: Of AdamW, from which it falls to 0 by a cosine.
        weight_decay: Of AdamW.
    """

    hidden_units: tuple[int, ...] = (128, 128)
    latent_dim: int = 16
    least_scale: float = 0.05
    jitter: float = 0.05
    learning_rate: float = 3e-3
    weight_decay: float = 4e-3


def table_vae(num_columns: int, missing: bool, num_steps: int, settings: Settings) -> VAE:
    """A compiled VAE of standardized rows [C]: each column given z is a Student t.

    Args:
        num_columns: C.
        missing: Whether NaN stands for a number that was not seen.
        num_steps: Length of the training.
        settings: The rest.
    """
    # Two at least: with a single one XLA was still compiling the scores after four minutes.
    posterior = DiagonalNormal(max(2, min(settings.latent_dim, num_columns // 2)))
    likelihood = Columns(["student_t"] * num_columns, least_scale=settings.least_scale)
    model = VAE(
        encoder=MLP(settings.hidden_units, posterior.num_params, activation="silu"),
        decoder=MLP(settings.hidden_units, likelihood.num_params, activation="silu"),
        posterior=posterior,
        likelihood=likelihood,
        observation=Vector(num_columns, missing=missing),
    )
    # Keras's stub knows of numbers alone.
    schedule: Any = keras.optimizers.schedules.CosineDecay(settings.learning_rate, num_steps)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay),
        steps_per_execution=100,
    )
    return model
