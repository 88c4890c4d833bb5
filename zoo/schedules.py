"""Numbers that change while a model trains, as functions of the training step.

A schedule is part of the compiled step: the step goes in as a tensor and the number comes out as
one, so that nothing is traced again when it changes. It has no state of its own, and a saved model
goes on where it stopped because the step is saved with the optimizer.
"""

from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.validation import shown


class Schedule:
    """The contract: `schedule(step)` is a non-negative float32 scalar, from tensors and plain
    arguments alone.

    A subclass keeps its arguments under their own names, and nothing else, so that they are its
    configuration.

    Raises:
        ValueError: At construction, if a value could become negative or infinite.
    """

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """The number at `step`, a Python integer or int tensor []: training batches so far."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Schedule":
        return cls(**config)


@keras.saving.register_keras_serializable(package="zoo")
class Constant(Schedule):
    """The same `value` at every step."""

    def __init__(self, value: float) -> None:
        self.value = _non_negative("value", value)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        return tf.constant(self.value, tf.float32)


@keras.saving.register_keras_serializable(package="zoo")
class Linear(Schedule):
    """From `start` to `end` in `num_steps` steps, and `end` from then on.

    The warm-up of a KL's weight from 0 to 1 (Bowman et al., CoNLL 2016,
    https://arxiv.org/abs/1511.06349; Sønderby et al., NeurIPS 2016,
    https://arxiv.org/abs/1602.02282) and the growing capacity of Burgess et al. (2018,
    https://arxiv.org/abs/1804.03599) are both this.
    """

    def __init__(self, start: float, end: float, num_steps: int) -> None:
        self.start = _non_negative("start", start)
        self.end = _non_negative("end", end)
        self.num_steps = validation.integer("num_steps", num_steps)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        progress = tf.minimum(tf.cast(step, tf.float32) / self.num_steps, 1.0)
        return (1.0 - progress) * self.start + progress * self.end  # exactly `end` at the end


@keras.saving.register_keras_serializable(package="zoo")
class Cyclical(Schedule):
    """Every `period` steps anew: from `low` to `high` during the first `ramp` of the period, and
    `high` for the rest of it.

    Fu et al., "Cyclical annealing schedule: a simple approach to mitigating KL vanishing", NAACL
    2019. https://arxiv.org/abs/1903.10145. Their training is four periods long.

    Args:
        period: Steps of one cycle.
        ramp: R, the fraction of a cycle that is spent rising, in (0, 1].
        low, high: The values at the ends of the ramp.
    """

    def __init__(self, period: int, ramp: float = 0.5, low: float = 0.0, high: float = 1.0) -> None:
        self.period = validation.integer("period", period)
        self.ramp = _non_negative("ramp", ramp)
        if not 0 < self.ramp <= 1:
            raise ValueError(f"`ramp` must be a fraction in (0, 1]. Received: ramp={shown(ramp)}.")
        self.low = _non_negative("low", low)
        self.high = _non_negative("high", high)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        # In integers: no rounding, however long the training.
        position = tf.cast(tf.math.floormod(step, self.period), tf.float32)
        progress = tf.minimum(position / (self.ramp * self.period), 1.0)
        return (1.0 - progress) * self.low + progress * self.high


@keras.saving.register_keras_serializable(package="zoo")
class Exponential(Schedule):
    """max(end, start exp(-rate step)): the temperature of Jang, Gu & Poole, ICLR 2017,
    https://arxiv.org/abs/1611.01144.

    Args:
        start: The value at step 0.
        end: The value that it does not fall below.
        rate: Fall of the logarithm per step.
    """

    def __init__(self, start: float, end: float, rate: float) -> None:
        self.start = _non_negative("start", start)
        self.end = _non_negative("end", end)
        self.rate = _non_negative("rate", rate)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        return tf.maximum(self.end, self.start * tf.exp(-self.rate * tf.cast(step, tf.float32)))


def as_schedule(value: float | Schedule, name: str) -> Schedule:
    """A schedule as it is, and a non-negative number as `Constant`.

    Raises:
        ValueError: If `value` is neither; the message calls it `name`.
    """
    if isinstance(value, Schedule):
        return value
    try:
        return Constant(value)
    except ValueError:
        raise ValueError(
            f"`{name}` must be a non-negative number or a schedule of `zoo.schedules`. "
            f"Received: {name}={shown(value)}."
        ) from None


def _non_negative(name, value):
    return float(validation.non_negative(name, value))
