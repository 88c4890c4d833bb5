"""The contract of what x is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.random import RowNoise


def is_symbolic(x: Any) -> bool:
    """Whether `x` is a tensor of a graph, whose values are not known yet."""
    return tf.is_symbolic_tensor(x)


class Served(dict):
    """x as a server is handed it, by the names of `spec`, where that is another form than users':
    what is made of it stays in the model's form."""


class Observation:
    """What x is: how users hand it in, how it is stored, what a step makes of it, how it is served.

    Attributes:
        key: What x is called in dicts of data and in signatures.
        noun: What one x is called in messages.
        shape: Shape of one x.
        missing: Whether NaN stands for a number that was not seen.
    """

    key: str
    noun: str
    shape: tuple[int, ...]
    missing = False

    def is_x(self, data: Mapping[str, Any]) -> bool:
        """Whether a dict is x itself, and not a dict of data that holds it under `key`."""
        return False

    def check(self, x: Any) -> dict[str, Any]:
        """What a user passes as x, checked, as it is stored: name -> array [N, ...].

        Raises:
            ValueError: If it does not fit, with what was received.
        """
        raise NotImplementedError

    def checked(self, stored: Any) -> Any:
        """What `check` gave under `key`, as it takes it again without looking at it anew."""
        return stored

    def check_stream(self, x: Any) -> dict[str, tf.Tensor]:
        """The same of a batch inside a `tf.data` map: name -> tensor [B, ...].

        Raises:
            ValueError: If the static shape or dtype does not fit.
            tf.errors.InvalidArgumentError: When a batch with a value out of range comes by.
        """
        raise NotImplementedError

    def check_first_block(self, stored: Mapping[str, tf.Tensor]) -> None:
        """Raises ValueError where the first rows of a stream show what no single batch can."""

    def prepare(self, stored: Mapping[str, Any], noise: RowNoise) -> dict[str, tf.Tensor]:
        """What training and evaluation see of stored rows: `key` -> float32 [B, *shape], and its
        companions."""
        raise NotImplementedError

    def as_tensors(self, x: Any) -> dict[str, tf.Tensor]:
        """x as a user hands it to a method, as the likelihood takes it: `key` -> float32
        [B, *shape], and its companions.

        Within a graph values are not looked at; a gradient passes.

        Raises:
            ValueError: As `check` does.
        """
        raise NotImplementedError

    def as_stored(self, stored: Mapping[str, Any]) -> tf.Tensor:
        """Stored rows as `as_tensors` takes them, with nothing drawn: [B, *shape]."""
        return stored[self.key]

    def assert_outcomes(self, data: Mapping[str, tf.Tensor]) -> None:
        """Raises ValueError where x has no log-probability under a likelihood that is over this
        observation."""

    def encoder_input(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What an encoder gets: x, [B, ...]."""
        return data[self.key]

    def spec(self) -> dict[str, tf.TensorSpec]:
        """A served row: name -> spec of [B, ...]."""
        return {self.key: tf.TensorSpec([None, *self.shape], tf.float32, name=self.key)}

    def of_served(self, inputs: Mapping[str, tf.Tensor]) -> Any:
        """x, as a user would hand it to a method, of the inputs that `spec` names."""
        return inputs[self.key]

    def to_served(self, name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outcomes of the likelihood [B, *shape] as the outputs of an answer that calls them
        `name`."""
        return {name: values}

    def to_user(self, values: tf.Tensor) -> Any:
        """Outcomes of the likelihood [B, *shape] in the form in which users hand in x."""
        return values

    def fill(self, x: Any, values: tf.Tensor) -> Any:
        """x as a user hands it in, with `values`, outcomes of the likelihood [B, *shape], where it
        has gaps; what was seen stays to the bit."""
        x = tf.convert_to_tensor(x)
        x = x if x.dtype.is_floating else tf.cast(x, tf.float32)
        return tf.where(tf.math.is_nan(x), tf.cast(values, x.dtype), x)

    def like(self, x: Any, values: tf.Tensor) -> Any:
        """Outcomes of the likelihood [B, *shape] in the form in which this x was handed in."""
        return self.to_user(values)

    @staticmethod
    def made_up(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Rows of `shape` [N, ...] to ask a server with."""
        raise NotImplementedError

    def blank(self) -> dict[str, tf.Tensor]:
        """One row of nothing, as `prepare` gives it: what a model is built by."""
        return {self.key: tf.zeros([1, *self.shape])}

    def companions(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor | None]:
        """What the likelihood takes beside its parameters: name -> tensor [B, ...], None where it
        is not known."""
        return {}

    def companion_spec(self) -> dict[str, tf.TensorSpec]:
        """What an answer to `decode` takes beside latents, where the likelihood takes it: name ->
        spec of [B, ...]. The answer to a row with a value that cannot be is NaN."""
        return {}

    def moments(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of each element over data as a user hands them in, as the
        likelihood sees them: [*shape] each.

        Raises:
            ValueError: As `check` does.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Observation":
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Observation) or type(self) is not type(other):
            return False
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(type(self))
