"""Images of an .npz file."""

import contextlib
import zipfile
import zlib
from pathlib import Path

import numpy as np

from zoo.data.examples import IMAGE, checked_images, checked_labels, known_split, with_channel

HINT = " Arrays are named <split> and <split>_label, or x_<split> and y_<split>."
# Names that labels have elsewhere, without their split's.
LABELS = {"label", "labels", "target", "targets", "y"}
# Whatever NumPy and zipfile raise about files that are damaged or are something else.
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_archive(path: Path, split: str) -> dict[str, np.ndarray]:
    """Arrays named like the splits, with `<split>_label` beside them; or x_<split> and y_<split>,
    as in Keras's mnist.npz.

    Returns:
        Dict of images [N, H, W, C] as `checked_images` gives them, and "label" int32 [N] where the
        file has labels.

    Raises:
        ValueError: If the file cannot be read, has no such split or names it in two ways, or holds
            no images.
    """
    with _opened(path) as archive:
        known_split(str(path), split, _splits(archive), HINT)
        image_name = _only_one(path, archive.files, (split, f"x_{split}"))
        label_name = _only_one(path, archive.files, (f"{split}_label", f"y_{split}"))
        understood = {name for name in (image_name, label_name) if name is not None}
        others = {
            name for name in archive.files if split in name.split("_") or name.lower() in LABELS
        } - understood
        arrays = {
            name: _read(path, lambda name=name: archive[name]) for name in understood | others
        }
    for name in others:
        if arrays[name].ndim < 3:  # labels by a name that would be passed over in silence
            raise ValueError(
                f"{str(path)!r} holds an array that nothing reads. Received: {name!r}.{HINT}"
            )
    images = checked_images(arrays[str(image_name)], f"{image_name!r} in {str(path)!r}")
    examples = {IMAGE: with_channel(images)}
    if label_name is not None:
        examples["label"] = checked_labels(
            arrays[label_name], len(images), f"{label_name!r} in {str(path)!r}"
        )
    return examples


def splits_of_archive(path: Path) -> set[str]:
    """The splits that an .npz file names.

    Raises:
        ValueError: If it cannot be read.
    """
    with _opened(path) as archive:
        return _splits(archive)


def _splits(archive):
    return {
        name.removeprefix("x_")
        for name in archive.files
        if not name.endswith("_label") and not name.startswith("y_")
    }


@contextlib.contextmanager
def _opened(path):
    # Opened here, as `np.load` leaves a file open that it refuses.
    with _read(path, lambda: open(path, "rb")) as file:
        archive = _read(path, lambda: np.load(file, allow_pickle=False))
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError(
                f"{str(path)!r} is no .npz file but a single array. "
                "Write it with `np.savez(path, train=images)`, or name it .npy."
            )
        yield archive


def _read(path, function):
    try:
        return function()
    except FileNotFoundError:
        raise ValueError(f"There is no file {str(path)!r}.") from None
    except UNREADABLE as error:
        raise ValueError(
            f"{str(path)!r} is not an .npz file of plain arrays: {error} ({type(error).__name__})."
        ) from None


def _only_one(path, names, choices):
    """The one of `choices` that is among the names, or None."""
    found = [name for name in choices if name in names]
    if len(found) > 1:
        raise ValueError(
            f"{str(path)!r} must name an array in one way. Received: "
            f"{' and '.join(map(repr, found))}."
        )
    return found[0] if found else None
