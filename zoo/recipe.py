"""What a training run needs: one value, no behaviour. Standard library alone, so that listing
recipes costs no TensorFlow."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from zoo import validation
from zoo.validation import shown

BINARIZATIONS = ("dynamic", "static", "grey")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Which images, and in which parts.

    Attributes:
        name: A name that `zoo.data.load` takes.
        train: Split that is trained on, in TFDS's notation ("train[:50000]").
        validation: Split that choices are made by.
        test: Split that published numbers are measured on, and nothing else.
        binarization: "dynamic" (drawn anew at every step), "static" (drawn once, from a fixed seed)
            or "grey" (as they are).
    """

    name: str
    train: str
    validation: str
    test: str = "test"
    binarization: str = "dynamic"

    def __post_init__(self) -> None:
        if self.binarization not in BINARIZATIONS:
            raise ValueError(
                f"`binarization` must be one of {', '.join(BINARIZATIONS)}. Received: "
                f"binarization={shown(self.binarization)}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What is kept of a recipe beside a trained model, so that the model can be measured and shown
    without running the recipe.

    Attributes:
        family, headline, evaluation_samples: As in `Recipe`.
        dataset: What the model was trained on, and is measured on.
        epochs: Passes over the training split.
    """

    family: str
    dataset: Dataset
    epochs: int
    headline: str = "nll"
    evaluation_samples: int = 5000

    @property
    def nll_name(self) -> str:
        """What -log p(x) is called among the numbers: it is conditional where the headline says
        so."""
        return self.headline if self.headline.startswith("conditional_nll") else "nll"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named, reproducible training run. A recipe file defines `recipe(*, ...) -> Recipe`; its
    arguments are its configuration.

    Attributes:
        family: Name of the model's class, for tables.
        model: Function () -> `keras.Model`; (training examples) -> `keras.Model` where
            `model_of_examples`.
        model_of_examples: Whether the model is made from the training examples, as one of a table
            is, whose columns are found in them.
        optimizer: Function (number of training steps) -> Keras optimizer.
        optimizers: The same for each other update of a step, by its name, such as "discriminator".
        dataset: What it is trained and measured on.
        epochs: Passes over the training split.
        batch_size: Examples per step.
        seed: Seed of the initial weights; the model's own seed is its business.
        initialize: Function (model, training examples), run once before the first step: for weights
            that start from the data.
        training_examples: Function (training examples) -> those that training sees: to hide labels,
            or repeat rows.
        finish: Function (model, validation examples), run once after the last step, on the weights
            that are kept: for what is set by examples that training did not see. Going on with a
            finished run does not run it again.
        headline: Key of the number that tables show.
        evaluation_samples: Importance samples that the published numbers are measured with.
        keep: "last" keeps the weights of the last epoch, "best" those of the epoch with the lowest
            validation loss.
    """

    family: str
    model: Callable[..., Any]
    optimizer: Callable[[int], Any]
    dataset: Dataset
    epochs: int
    batch_size: int
    seed: int = 0
    optimizers: Mapping[str, Callable[[int], Any]] = dataclasses.field(default_factory=dict)
    initialize: Callable[[Any, dict], None] | None = None
    training_examples: Callable[[dict], dict] | None = None
    finish: Callable[[Any, dict], None] | None = None
    headline: str = "nll"
    evaluation_samples: int = 5000
    keep: str = "last"
    model_of_examples: bool = False

    @property
    def task(self) -> Task:
        return Task(
            family=self.family,
            dataset=self.dataset,
            epochs=self.epochs,
            headline=self.headline,
            evaluation_samples=self.evaluation_samples,
        )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluation_samples"):
            # The way into a frozen dataclass.
            object.__setattr__(self, name, validation.integer(name, getattr(self, name)))
        object.__setattr__(self, "seed", validation.seed(self.seed))
        if self.keep not in ("last", "best"):
            raise ValueError(f"`keep` must be 'last' or 'best'. Received: keep={shown(self.keep)}.")
