"""Vectors that users hand in by one scale, and models see by another."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.observations.base import Served
from zoo.observations.vector import Vector
from zoo.random import RowNoise
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class ScaledVector(Vector):
    """Vectors [D] of numbers, which the model sees as (x - loc) / scale.

    Args:
        loc: D numbers.
        scale: D positive numbers.
        missing: As in `Vector`.

    Raises:
        ValueError: If the two differ in length, or a scale is not positive.
    """

    def __init__(self, loc: Sequence[float], scale: Sequence[float], missing: bool = False) -> None:
        self.loc = [float(value) for value in loc]
        self.scale = [float(value) for value in scale]
        if len(self.loc) != len(self.scale):
            raise ValueError(
                "`loc` and `scale` must have the same length. Received: "
                f"{len(self.loc)} and {len(self.scale)} numbers."
            )
        if not all(0 < value < np.inf for value in self.scale):
            raise ValueError(
                f"`scale` must hold positive numbers. Received: scale={shown(self.scale)}."
            )
        super().__init__(len(self.loc), missing)

    def prepare(self, stored: Mapping[str, Any], noise: RowNoise) -> dict[str, tf.Tensor]:
        return self._with_mask(self._scaled(stored[self.key]))

    def as_tensors(self, x: Any) -> dict[str, tf.Tensor]:
        x = x[self.key] if isinstance(x, Served) else x
        checked = super().as_tensors(x)
        scaled = {self.key: self._scaled(checked[self.key])}
        if "observed" not in checked:
            return scaled
        # Where nothing was seen stands 0, as in `Vector`.
        return {**checked, self.key: scaled[self.key] * checked["observed"]}

    def _scaled(self, x):
        return (tf.cast(x, tf.float32) - tf.constant(self.loc)) / tf.constant(self.scale)

    def moments(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        mean, scale = super().moments(x)
        return self._scaled(mean), scale / tf.constant(self.scale)

    def to_user(self, values: tf.Tensor) -> tf.Tensor:
        return values * tf.constant(self.scale) + tf.constant(self.loc)

    def of_served(self, inputs: Mapping[str, tf.Tensor]) -> Any:
        return Served(inputs)

    def like(self, x: Any, values: tf.Tensor) -> Any:
        return values if isinstance(x, Served) else self.to_user(values)

    def to_served(self, name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: self.to_user(values)}

    def get_config(self) -> dict[str, Any]:
        return {"loc": self.loc, "scale": self.scale, "missing": self.missing}
