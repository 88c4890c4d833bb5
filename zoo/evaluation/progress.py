"""What a long evaluation has measured so far: files that it goes on from."""

import hashlib
import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.files import remove_half_written, write_atomically
from zoo.models.base import Model

# Examples that are held at once to tell whether they are the same.
CHUNK = 10_000


class Progress:
    """Batches that were measured, each in a file of its own, beneath a directory.

    They are of one model, with its weights, and of the same examples: others have files of their
    own.

    Args:
        directory: Where they are kept; it need not exist. None: nowhere.
        model: A built model.
        examples: Dict of arrays [N, ...].
        options: What else a measurement is a function of.
    """

    def __init__(
        self,
        directory: str | Path | None,
        model: Model,
        examples: Mapping[str, Any],
        **options: Any,
    ) -> None:
        self._directory = None
        if directory is not None:
            self._directory = Path(directory) / _digest(model, examples, options)
            self._directory.mkdir(parents=True, exist_ok=True)
            remove_half_written(self._directory)

    def measured(
        self, first_row: int, measure: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """What is known of the batch that begins at a row; where nothing is, it is measured and
        kept."""
        if self._directory is None:
            return measure()
        path = self._directory / f"{first_row}.npz"
        if path.is_file():
            with np.load(path) as archive:
                return dict(archive)
        values = measure()
        content = io.BytesIO()
        arrays: dict[str, Any] = dict(values)
        np.savez(content, **arrays)
        write_atomically(path, content.getbuffer())
        return values

    def remove(self) -> None:
        """Removes the files: all is measured."""
        if self._directory is not None:
            shutil.rmtree(self._directory)


def _digest(model, examples, options):
    digest = hashlib.sha256(repr((type(model).__name__, sorted(options.items()))).encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).data)
    for name, array in sorted(examples.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        for first in range(0, len(array), CHUNK):
            digest.update(np.ascontiguousarray(array[first : first + CHUNK]).data)
    return digest.hexdigest()[:16]
