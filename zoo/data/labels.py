"""Labels for some images: the data of semi-supervised learning."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.data.examples import IMAGE, checked_labels
from zoo.validation import shown


def hide_labels(
    examples: Mapping[str, Any], per_class: int, seed: int = 0, repeat: int = 1
) -> dict[str, np.ndarray]:
    """Keeps the labels of a few images and hides those of all others, which get -1.

    Which images keep their label is a function of (examples, seed): the first `per_class` of each
    class in a permutation. The labelled ones are then `repeat` times in the result, so that a batch
    of a large data set holds some; the unlabelled ones once.

    Args:
        examples: Dict with images [N, ...] and "label" int [N]; a label of -1 stays hidden.
        per_class: Labelled images of each class.
        seed: Integer.
        repeat: How often each labelled image occurs.

    Returns:
        Dict of images and "label", labelled rows last.

    Raises:
        ValueError: If there are no labels, they are no class numbers of the images, or a class has
            fewer images.
    """
    if "label" not in examples:
        raise ValueError(f"There are no labels to keep. Received: keys {sorted(examples)}.")
    for name, value in (("per_class", per_class), ("repeat", repeat)):
        if not _is_integer(value) or value < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={shown(value)}."
            )
    if not _is_integer(seed) or seed < 0:
        raise ValueError(f"`seed` must be a non-negative integer. Received: seed={shown(seed)}.")
    label = checked_labels(examples["label"], len(examples[IMAGE]), "The examples")
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(label))
    kept = []
    for each in np.unique(label[label >= 0]):
        rows = order[label[order] == each][:per_class]
        if len(rows) < per_class:
            raise ValueError(
                f"Class {each} has {len(rows)} images, fewer than `per_class`. Received: "
                f"per_class={per_class}."
            )
        kept.append(rows)
    if not kept:
        raise ValueError(f"There are no labels to keep: all are -1. Received: {len(label)} images.")
    labelled = np.sort(np.concatenate(kept))
    unlabelled = np.setdiff1d(np.arange(len(label)), labelled)
    rows = np.concatenate([unlabelled, *[labelled] * repeat])
    labels = np.concatenate([np.full(len(unlabelled), -1), *[label[labelled]] * repeat])
    return {IMAGE: np.asarray(examples[IMAGE])[rows], "label": labels.astype(np.int32)}


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
