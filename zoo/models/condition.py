"""What stands beside x and is given: nothing, numbers of a fixed shape, or one of K classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.observations.base import is_symbolic
from zoo.tensors import as_numbers

# By how much the sum of a row may miss 1: float16 rounds shares to about this.
SHARES_TOLERANCE = 1e-3
WHAT_A_LABEL_IS = "A condition is a label, or a one-hot row that adds up to 1."


class NoCondition:
    """Refuses conditions. The contract of the others as well.

    Args:
        owner: Name of the model, for messages.

    Attributes:
        shape: Shape of one condition, or None where there is none.
        num_classes: K, where a condition is one of K classes.
    """

    shape: tuple[int, ...] | None = None
    num_classes: int | None = None

    def __init__(self, owner: str = "The model") -> None:
        self.owner = owner

    def check(self, condition: Any, num_rows: int | None = None) -> tf.Tensor | None:
        """A condition as a user hands it to a method: float32 [B, *shape].

        Raises:
            ValueError: If it is missing or does not fit, or there must be none.
        """
        if condition is not None:
            raise ValueError(
                f"{self.owner} takes no condition here. "
                f"Received: a condition of shape {np.shape(condition)}."
            )
        return None

    def check_data(self, data: Mapping[str, Any], num_rows: int | None = None) -> dict[str, Any]:
        """What the model takes of a dict of data beside x: arrays [num_rows, ...], or a stream's
        tensors [B, ...]."""
        self.check(data.get("condition"))
        return {}

    def of(self, data: Mapping[str, Any]) -> Any:
        """The condition of a dict of data, as it stands there."""
        return None

    def spec(self) -> dict[str, tf.TensorSpec]:
        """A served condition: name -> spec of [B, ...]."""
        return {}

    def blank(self) -> dict[str, tf.Tensor]:
        """One condition of nothing, for building a model."""
        return {}


class Numbers(NoCondition):
    """Numbers of a fixed shape for each row.

    Args:
        shape: Shape of one condition.
    """

    shape: tuple[int, ...]

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def check(self, condition: Any, num_rows: int | None = None) -> tf.Tensor:
        if condition is None:
            raise ValueError(
                f"This model needs a condition of shape {self.shape} for each example. "
                "Received: none."
            )
        condition = as_numbers("condition", condition)
        if condition.shape[1:] != self.shape or not condition.shape[:1].is_compatible_with(
            [num_rows]
        ):
            raise ValueError(
                "`condition` must have the shape "
                f"[{', '.join(map(str, (num_rows or 'B', *self.shape)))}]. "
                f"Received: shape {tuple(condition.shape)}."
            )
        if not is_symbolic(condition) and not np.all(np.isfinite(condition.numpy())):
            raise ValueError("`condition` must hold finite numbers. Received: NaN or infinity.")
        return condition

    def check_data(self, data: Mapping[str, Any], num_rows: int | None = None) -> dict[str, Any]:
        return {"condition": self.check(self.of(data), num_rows)}

    def of(self, data: Mapping[str, Any]) -> Any:
        return data.get("condition")

    def spec(self) -> dict[str, tf.TensorSpec]:
        return {"condition": tf.TensorSpec([None, *self.shape], tf.float32, name="condition")}

    def blank(self) -> dict[str, tf.Tensor]:
        return {"condition": tf.zeros([1, *self.shape])}


class Label(Numbers):
    """One of K classes: an integer label 0 ... K - 1 or its one-hot vector; in data it may also
    stand under "label".

    Args:
        num_classes: K.
    """

    num_classes: int

    def __init__(self, num_classes: int) -> None:
        super().__init__((num_classes,))
        self.num_classes = num_classes

    def check(self, condition: Any, num_rows: int | None = None) -> tf.Tensor:
        if condition is None:
            raise ValueError(
                "This model needs a label for each example, under 'condition' or 'label'. "
                "Received: none."
            )
        condition = super().check(one_hot_labels(condition, self.num_classes), num_rows)
        if not is_symbolic(condition):
            _assert_shares(condition.numpy())
        return condition

    def check_data(self, data: Mapping[str, Any], num_rows: int | None = None) -> dict[str, Any]:
        condition = self.of(data)
        if num_rows is None and condition is not None:  # a stream
            condition = assert_labels(condition, 0, self.num_classes)
        return {"condition": self.check(condition, num_rows)}

    def of(self, data: Mapping[str, Any]) -> Any:
        return data.get("condition", data.get("label"))

    def blank(self) -> dict[str, tf.Tensor]:
        return {"condition": tf.one_hot([0], self.num_classes)}


def one_hot_labels(labels: Any, num_classes: int) -> tf.Tensor:
    """Integer labels [B] as one-hot float vectors [B, K]; vectors are left as they are.

    Raises:
        ValueError: If a label is not in 0 ... K - 1, or no integer.
    """
    if not is_symbolic(labels):
        labels = np.asarray(labels)
        if labels.ndim == 1 and len(labels):
            check_labels(labels, 0, num_classes)
        elif labels.ndim == 2 and labels.dtype.kind in "iu":
            _assert_shares(labels)
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer and labels.shape.rank == 1:
        return tf.one_hot(labels, num_classes)
    return labels


def check_labels(labels: np.ndarray, least: int, num_classes: int) -> None:
    """Raises ValueError unless an array of labels holds integers in `least` ... K - 1."""
    if labels.dtype.kind not in "iu":
        hint = "`numpy.unique(labels, return_inverse=True)[1]` numbers classes by name."
        raise ValueError(f"Labels must be integers. Received: dtype {labels.dtype}. {hint}")
    if not least <= labels.min() <= labels.max() < num_classes:
        unknown = ", or be -1 where unknown" if least < 0 else ""
        raise ValueError(
            f"Labels must lie in 0 ... {num_classes - 1}{unknown}. Received: labels in "
            f"{labels.min()} ... {labels.max()}."
        )


def assert_labels(labels: Any, least: int, num_classes: int) -> tf.Tensor:
    """The labels of a stream, [B] or one-hot, which are checked as each batch comes by.

    Raises:
        ValueError: If they are text.
        tf.errors.InvalidArgumentError: When a batch with another label comes by.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.string:
        raise ValueError(
            "Labels must be integers. Received: text. Number the classes first, as "
            "`tf.keras.layers.StringLookup` does."
        )
    if labels.shape.rank == 2:
        shares = tf.cast(labels, tf.float32)
        is_good = tf.reduce_all(shares >= 0) & tf.reduce_all(
            tf.abs(tf.reduce_sum(shares, axis=-1) - 1.0) < SHARES_TOLERANCE
        )
        message = f"{WHAT_A_LABEL_IS} Received: a batch with others, rows"
    elif labels.shape.rank == 1 and labels.dtype.is_integer:
        is_good = tf.reduce_all((labels >= least) & (labels < num_classes))
        unknown = ", or be -1 where unknown" if least < 0 else ""
        message = (
            f"Labels must lie in 0 ... {num_classes - 1}{unknown}. "
            "Received: a batch with others, labels"
        )
    else:
        return labels
    with tf.control_dependencies([tf.debugging.Assert(is_good, [message, labels])]):
        return tf.identity(labels)


def _assert_shares(condition):
    """Raises ValueError unless rows [B, K] are one-hot, or say how much of each class there is."""
    sums = condition.sum(axis=-1)
    if condition.min(initial=0.0) < 0 or not np.allclose(
        sums, 1.0, rtol=0.0, atol=SHARES_TOLERANCE
    ):
        wrong = int(np.argmax(np.abs(sums - 1.0) + (condition.min(axis=-1) < 0)))
        raise ValueError(f"{WHAT_A_LABEL_IS} Received: row {wrong} is {condition[wrong].tolist()}.")
