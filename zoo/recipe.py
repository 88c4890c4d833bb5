"""What a training run needs: one value, no behaviour. Standard library alone, so that listing
recipes costs no TensorFlow."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from zoo import validation
from zoo.validation import shown

# Of a dataset, in records.
ALWAYS_KEPT = ("name", "train", "validation", "test", "binarization")
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
        crop: Side of the square that is cut from the middle of a picture, in pixels, before it is
            scaled; None: nothing is cut.
        image_size: Height and width in pixels, or one number for both: a picture is scaled until it
            covers them, and its middle is kept; None: all have one size as they are.
        channels: 1 (grey) or 3 (colours); None: as the pictures are, which are all of one kind.
        flip: Whether the training split holds the mirror image of each picture as well.
        in_memory: Whether images are read once, before training, or whenever they are looked at;
            None: once where they take no more than a quarter of the memory.
        cache: Whether images that are read whenever they are looked at are decoded and scaled the
            first time alone, and then kept in a temporary file (in $TMPDIR) as large as their
            pixels.
        skip_corrupt: Whether pictures that cannot be read are left out; otherwise the first of them
            is an error.
    """

    name: str
    train: str
    validation: str
    test: str = "test"
    binarization: str = "dynamic"
    crop: int | None = None
    image_size: int | tuple[int, int] | None = None
    channels: int | None = None
    flip: bool = False
    in_memory: bool | None = None
    cache: bool = False
    skip_corrupt: bool = False

    def __post_init__(self) -> None:
        if self.binarization not in BINARIZATIONS:
            raise ValueError(
                f"`binarization` must be one of {', '.join(BINARIZATIONS)}. Received: "
                f"binarization={shown(self.binarization)}."
            )
        if self.crop is not None:
            validation.integer("crop", self.crop)
        if self.image_size is not None:
            # The way into a frozen dataclass; JSON knows lists alone.
            object.__setattr__(self, "image_size", _image_size(self.image_size))
        if self.channels not in (None, 1, 3):
            raise ValueError(
                "`channels` must be 1 (grey), 3 (colours) or None. Received: "
                f"channels={shown(self.channels)}."
            )
        for name in ("flip", "cache", "skip_corrupt"):
            validation.boolean(name, getattr(self, name))
        if self.in_memory is not None:
            validation.boolean("in_memory", self.in_memory)

    def record(self) -> dict[str, Any]:
        """What runs and cards keep of it: name, splits, binarization, and what else is not as it is
        by default."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in ALWAYS_KEPT or getattr(self, field.name) != field.default
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Dataset":
        """The dataset of a record; what else it holds is passed over."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in names})

    @property
    def pictures(self) -> str:
        """What becomes of pictures, in words; nothing where they stay as they are."""
        height, width = (
            self.image_size if isinstance(self.image_size, tuple) else (self.image_size,) * 2
        )
        words = {
            f"cut to {self.crop}x{self.crop}": self.crop,
            f"scaled to {height}x{width}": self.image_size,
            "in grey": self.channels == 1,
            "in colours": self.channels == 3,
            "mirrored as well": self.flip,
        }
        return ", ".join(text for text, is_so in words.items() if is_so)


def _image_size(value):
    """A side, or (height, width)."""
    if not isinstance(value, (list, tuple)):
        return validation.integer("image_size", value)
    if len(value) != 2:
        raise ValueError(
            "`image_size` must be a number of pixels, or (height, width). Received: "
            f"image_size={shown(value)}."
        )
    return tuple(validation.integer("image_size", side) for side in value)


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
        validation.one_of("keep", self.keep, ("last", "best"))
