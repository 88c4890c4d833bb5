"""Noise within networks that is drawn by row, as everything else of the zoo is."""

from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.random import Stream, layer_noise
from zoo.validation import shown


class RowKeyedLayer(keras.layers.Layer):
    """A layer that draws in training, by row: no generator has a state, the numbers are a function
    of (seed, step, row, the layer).

    Called several times in a step, it draws the same. Rows [S B, ...] that hold S samples of B rows
    draw for each sample.
    """

    # Its number among those of a model, which training gives it: each has draws of its own.
    number = 0

    def _noise_of(self, inputs, training, draw):
        """`draw(noise, stream, shape, num_samples)` in the shape of `inputs`; None outside of
        training."""
        if not training:
            return None
        noise = layer_noise()
        if noise is None:
            raise ValueError(
                f"zoo.layers.{type(self).__name__} draws by row, which only the training of a "
                "model of the zoo has. In other models use "
                f"keras.layers.{type(self).__name__}. Received: a call with training=True of the "
                f"layer {self.name!r}."
            )
        num_samples = tf.shape(inputs)[0] // tf.shape(noise.rows)[0]
        draws = draw(
            noise.of_latent(self.number), Stream.LAYER, tuple(inputs.shape[1:]), num_samples
        )  # [S, B, ...]
        return tf.cast(tf.reshape(draws, tf.shape(inputs)), inputs.dtype)


@keras.saving.register_keras_serializable(package="zoo")
class Dropout(RowKeyedLayer):
    """`keras.layers.Dropout` whose draws are keyed by row.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15,
    2014.

    Args:
        rate: Fraction of the inputs that are set to 0 in training, in [0, 1); the others are
            divided by 1 - rate.

    Raises:
        ValueError: If `rate` is out of range; or in a call with `training=True` outside of the
            training of a model of the zoo.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not (validation.is_number(rate) and 0 <= rate < 1):
            raise ValueError(f"`rate` must be a fraction in [0, 1). Received: rate={shown(rate)}.")
        self.rate = float(rate)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        uniform = self._noise_of(
            inputs, training, lambda noise, *arguments: noise.uniform(*arguments)
        )
        if uniform is None:
            return inputs
        return tf.where(uniform < self.rate, tf.zeros_like(inputs), inputs / (1.0 - self.rate))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package="zoo")
class GaussianNoise(RowKeyedLayer):
    """`keras.layers.GaussianNoise` whose draws are keyed by row: x + stddev eps in training.

    Args:
        stddev: Standard deviation of the noise, non-negative.

    Raises:
        ValueError: If `stddev` is out of range; or in a call with `training=True` outside of the
            training of a model of the zoo.
    """

    def __init__(self, stddev: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = validation.non_negative("stddev", stddev)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        normal = self._noise_of(
            inputs, training, lambda noise, *arguments: noise.normal(*arguments)
        )
        return inputs if normal is None else inputs + self.stddev * normal

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}
