"""Parts of data that bring no splits of their own, or not all: which one an example is in is a
function of its name."""

import zlib
from collections.abc import Collection, Iterable

import numpy as np

# Shares of the examples, in this order.
PARTS = {"train": 0.8, "validation": 0.1, "test": 0.1}
# That of a training split that is set aside where there is no validation split; and for tests.
ASIDE = 0.1
# "train part": what trains, of whatever data.
SUFFIX = " part"
OTHER_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def places_of(names: Iterable[str]) -> np.ndarray:
    """A number in [0, 1) for each name, the same on every machine: floats [N]. The checksum of a
    text is spread evenly."""
    return np.array([zlib.crc32(name.encode()) for name in names]) / 2**32


def is_in_part(names: Iterable[str], part: str) -> np.ndarray:
    """Which examples belong to "train" (80 %), "validation" or "test" (10 % each), or "all": bools
    [N].

    Examples that are added later leave the others where they are.

    Args:
        names: Of the examples, "row 0" ... where they have none.
        part: One of these.
    """
    places = places_of(names)
    if part == "all":
        return np.ones(len(places), bool)
    ends = np.cumsum([0.0, *PARTS.values()])
    number = list(PARTS).index(part)
    return (places >= ends[number]) & (places < ends[number + 1])


def split_of_part(part: str, splits: Collection[str]) -> tuple[str, tuple[float, float]]:
    """Where "train", "validation" or "test" of any data are found.

    A split that there is, is taken. Otherwise a tenth of the training split is set aside for it.

    Args:
        part: One of the three.
        splits: Names of the splits that the data have.

    Returns:
        Name of a split, and which places (`places_of`) of it are in the part: [from, to).

    Raises:
        ValueError: If there is no training split, and no "all".
    """
    own = {
        name: next((other for other in OTHER_NAMES[name] if other in splits), None)
        for name in PARTS
    }
    named = own[part]
    if named is not None and part != "train":
        return named, (0.0, 1.0)
    whole = own["train"] or ("all" if "all" in splits else None)
    if whole is None:
        raise ValueError(
            "Data need a split 'train' or 'all' to train on. Received: "
            f"{', '.join(sorted(splits))}."
        )
    aside = [name for name in ("validation", "test") if own[name] is None]
    if part == "train":
        return whole, (ASIDE * len(aside), 1.0)
    first = ASIDE * aside.index(part)
    return whole, (first, first + ASIDE)
