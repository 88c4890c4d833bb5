"""What a training step changes: one set of weights by one loss, or several by several."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from zoo.validation import shown


class Update(NamedTuple):
    """One of the updates of a step: some weights move down the gradient of one loss.

    All updates of a step differentiate one pass at the step's initial weights, each for its own
    weights, and are then applied together.

    Attributes:
        name: What its optimizer is called in `compile(optimizers=...)`.
        loss: The term of `loss_terms` that it minimizes.
        weights: The weights that it moves.
        after: Name of an update whose result this one must see: it makes a pass of its own once
            that one is applied.
    """

    name: str
    loss: str
    weights: Sequence[keras.Variable]
    after: str | None = None


def passes(updates: Sequence[Update]) -> list[list[Update]]:
    """The updates of a step in the order of their passes: those of one list share a pass.

    Raises:
        ValueError: If two have one name, or one waits for another that does not come before it.
    """
    names = [update.name for update in updates]
    if len(set(names)) != len(names):
        raise ValueError(f"Each update has a name of its own. Received: {names}.")
    number = {}
    for update in updates:
        if update.after is not None and update.after not in number:
            raise ValueError(
                f"`after` must name an update that comes before {update.name!r}. Received: "
                f"after={shown(update.after)}."
            )
        number[update.name] = 0 if update.after is None else number[update.after] + 1
    return [
        [update for update in updates if number[update.name] == i]
        for i in range(max(number.values()) + 1)
    ]


def check_optimizers(owner: str, updates: Sequence[Update], optimizers: Mapping[str, Any]) -> None:
    """Raises ValueError unless there is an optimizer for each update but the first, whose optimizer
    is the model's, and no other one."""
    expected = [update.name for update in updates[1:]]
    if sorted(optimizers) != sorted(expected):
        needed = (
            f"`optimizers` for {', '.join(map(repr, expected))}"
            if expected
            else "no `optimizers` beside `optimizer`"
        )
        raise ValueError(
            f"{owner} takes {needed}. Received: "
            f"{shown(sorted(optimizers)) if optimizers else 'none'}."
        )


class StepCounter:
    """Training batches so far, int32. No weight: a model of before has none, and what a model
    computes does not depend on it."""

    def __init__(self) -> None:
        self.variable = keras.Variable(
            0,
            trainable=False,
            dtype="int32",
            aggregation="only_first_replica",
            name="training_step",
        )

    def value(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.variable)
