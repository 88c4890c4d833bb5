"""Images of TFRecord files, each record a `tf.train.Example` that holds an encoded picture: as TFDS
writes them, and others.

Records are read one by one where they stand, so that any order of them can be walked: shuffles are
over the whole data set, and a run goes on exactly where it was stopped.
"""

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.data.encoded import as_images
from zoo.data.examples import IMAGE, checked_labels
from zoo.data.form import AS_THEY_ARE, Form

# Names of the picture and of the class number in an example, the first that there is.
PICTURES = ("image", "image/encoded")
LABELS = ("label", "image/class/label")
# Of a record: its length and that number's checksum before it, a checksum after it.
BEFORE, AFTER = 12, 4


class Records:
    """Pictures in TFRecord files.

    Every record is read once, which finds a damaged one, and notes where it stands.

    Args:
        files: At least one.
        feature: Name of the encoded picture in an example; None: one of `PICTURES`.

    Raises:
        ValueError: If a file is damaged or ends early, or an example holds no encoded picture.
    """

    def __init__(self, files: Sequence[Path], feature: str | None = None) -> None:
        self.files = files
        lengths = [_lengths(file) for file in files]
        self._file = np.repeat(np.arange(len(files)), [len(each) for each in lengths])
        self._length = np.concatenate(lengths)
        self._start = np.concatenate(
            [np.cumsum(each + BEFORE + AFTER) - each - AFTER for each in lengths]
        )
        self._first = np.cumsum([0, *map(len, lengths)])
        if not len(self):
            raise ValueError(f"There are no records. Received: {len(files)} files, all empty.")
        self.feature = feature or self._found(PICTURES)
        if self.feature is None:
            raise ValueError(
                f"An example must hold an encoded picture as {' or '.join(map(repr, PICTURES))}. "
                f"Received: {sorted(self.example(0))} in {self.name(0)}."
            )

    def __len__(self) -> int:
        return len(self._length)

    def name(self, number: int) -> str:
        file = int(self._file[number])
        return f"record {number - self._first[file]} of {self.files[file]}"

    def open(self, number: int) -> BytesIO:
        values = self.example(number)[self.feature].bytes_list.value
        return BytesIO(values[0] if len(values) else b"")

    def example(self, number: int) -> Any:
        """The features of an example, by name."""
        return tf.train.Example.FromString(self._bytes(number)).features.feature

    def labels(self) -> np.ndarray | None:
        """Class numbers int32 [N], where the examples hold them."""
        name = self._found(LABELS)
        if name is None:
            return None
        # As tuples: a field of an example keeps the whole of it, picture and all.
        values = [tuple(self.example(number)[name].int64_list.value) for number in range(len(self))]
        if not all(len(value) == 1 for value in values):
            return None
        return checked_labels(np.array(values), len(self), f"{name!r} of {self.files[0]}")

    def _found(self, names):
        features = self.example(0)
        return next((name for name in names if name in features), None)

    def _bytes(self, number):
        with open(self.files[int(self._file[number])], "rb") as file:
            file.seek(int(self._start[number]))
            return file.read(int(self._length[number]))


def _lengths(file):
    """The lengths of the records of a file, int64 [n]; checksums are compared on the way."""
    lengths = tf.data.TFRecordDataset(str(file)).map(tf.strings.length).batch(10_000)
    try:
        parts = [batch.astype(np.int64) for batch in lengths.as_numpy_iterator()]
    except tf.errors.OpError as error:
        # Without the name of the op, and what stands after the reason.
        reason = re.sub(r"^\{\{.*\}\} | \[Op:.*", "", error.message.splitlines()[0])
        raise ValueError(
            f"{str(file)!r} is damaged: {reason}. Restore it, or prepare the data anew."
        ) from None
    return np.concatenate([np.zeros(0, np.int64), *parts])


def read_records(
    files: Sequence[Path],
    form: Form = AS_THEY_ARE,
    feature: str | None = None,
) -> dict[str, Any]:
    """The pictures of TFRecord files, in the order of the files.

    Returns:
        Dict of images, `OnDisk` [N, H, W, C], and "label" int32 [N], where the examples hold it.

    Raises:
        ValueError: As `Records` does, and `as_images`.
    """
    records = Records(files, feature)
    images, kept = as_images(records, form)
    labels = records.labels()
    return {IMAGE: images} | ({} if labels is None else {"label": labels[kept]})
