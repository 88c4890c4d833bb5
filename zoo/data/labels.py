"""Labels for some images: the data of semi-supervised learning."""

import numpy as np


def hide_labels(examples, per_class, seed=0, repeat=1):
    """Keeps the labels of a few images and hides those of all others, which get -1.

    Which images keep their label is a function of (examples, seed): the first `per_class` of each class in a permutation. The labelled ones
    are then `repeat` times in the result, so that a batch of a large data set holds some; the unlabelled ones once.

    Args:
        examples: Dict with "image" [N, ...] and "label" int [N].
        per_class: Labelled images of each class.
        seed: Integer.
        repeat: How often each labelled image occurs.

    Returns:
        Dict of "image" and "label", labelled rows last.

    Raises:
        ValueError: If there are no labels, or a class has fewer images.
    """
    if "label" not in examples:
        raise ValueError(f"There are no labels to keep. Received: keys {sorted(examples)}.")
    for name, value in (("per_class", per_class), ("repeat", repeat)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`seed` must be a non-negative integer. Received: seed={seed!r}.")
    label = np.asarray(examples["label"])
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(label))
    kept = []
    for each in np.unique(label):
        rows = order[label[order] == each][:per_class]
        if len(rows) < per_class:
            raise ValueError(f"Class {each} has {len(rows)} images, fewer than `per_class`. Received: per_class={per_class}.")
        kept.append(rows)
    labelled = np.sort(np.concatenate(kept))
    unlabelled = np.setdiff1d(np.arange(len(label)), labelled)
    rows = np.concatenate([unlabelled, *[labelled] * repeat])
    hidden = np.concatenate([np.full(len(unlabelled), -1), *[label[labelled]] * repeat]).astype(np.int32)
    return {"image": np.asarray(examples["image"])[rows], "label": hidden}
