"""Rows with hidden cells whose values are known: what imputation is measured on.

Imputation is transductive. The hidden cells of the rows that a model is trained on are what it is
to predict, so that training, validation and test rows are the same rows. The truth stands beside
them, under "complete", for the measurement alone: nothing may be chosen by it.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.data.examples import known_split
from zoo.extras import need
from zoo.observations import Vector

VECTOR = Vector.key
HIDDEN = 0.5
# That of Mattei & Frellsen's notebook, and others.
AUTHORS_MASK = 1234
MASKS = (AUTHORS_MASK, 0, 1, 2, 3, 4)


def hide(complete: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A copy in which NaN stands for a share of all cells, drawn completely at random.

    The draw is that of https://github.com/pamattei/miwae after `np.random.seed(seed)`, by NumPy's
    legacy generator, whose numbers never change.

    Args:
        complete: Floats [N, C].
        share: Of the cells, in [0, 1].
        seed: Of the generator.
    """
    hidden = complete.copy()
    number = int(np.floor(complete.size * share))
    cells = np.random.RandomState(seed).choice(complete.size, number, replace=False)
    hidden.flat[cells] = np.nan
    return hidden


def _breast_cancer(split: str, mask: int) -> dict[str, Any]:
    """scikit-learn's breast cancer, 569 rows of 30 numbers, of which half are hidden.

    They are standardized by the mean and deviation of all cells before any is hidden, as the
    authors do: a unit of error is a standard deviation of the whole column.
    """
    need("data", "The tables of scikit-learn")
    from sklearn.datasets import load_breast_cancer

    known_split("breast_cancer_half_missing", split, ("all",))
    numbers, _ = load_breast_cancer(return_X_y=True)
    complete = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    hidden = hide(complete, HIDDEN, mask)
    return {VECTOR: hidden.astype(np.float32), "complete": complete.astype(np.float32)}


EMBEDDED: dict[str, Callable[[str], dict[str, Any]]] = {
    f"breast_cancer_half_missing_{mask}": functools.partial(_breast_cancer, mask=mask)
    for mask in MASKS
}
