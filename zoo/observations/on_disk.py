"""Images that are read when they are looked at: what a data set larger than memory is."""

import math
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from zoo import machine

# Images that one thread reads at once.
CHUNK = 64


class OnDisk:
    """Images [N, *shape], uint8, that are read when they are looked at.

    They have what an array has. Slices and selections of rows are `OnDisk` again and read nothing;
    `np.asarray` reads, in as many threads as there are cores.

    Args:
        read: Function (numbers of images, int array [n]) -> uint8 array [n, *shape]. Threads call
            it at once.
        shape: Shape of one image.
        numbers: What `read` calls the rows, int [N].
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, read: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], numbers: np.ndarray
    ) -> None:
        self._read = read
        self._image_shape = tuple(shape)
        self._numbers = np.asarray(numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._image_shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What they take in memory, once they are read."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, rows: Any) -> "OnDisk":
        return OnDisk(self._read, self._image_shape, np.atleast_1d(self._numbers[rows]))

    def cached(self) -> "OnDisk":
        """The same images. Each is read once and then kept, in a temporary file of `nbytes` bytes
        that goes with them."""
        with tempfile.TemporaryFile() as file:
            pixels = np.memmap(file, np.uint8, "w+", shape=self.shape)
        is_kept = np.zeros(len(self), bool)

        def read(rows):
            missing = np.unique(rows[~is_kept[rows]])
            if len(missing):
                pixels[missing] = self._read(self._numbers[missing])
                is_kept[missing] = True  # only now: threads read at once
            return pixels[rows]

        return OnDisk(read, self._image_shape, np.arange(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        images = np.empty(self.shape, np.uint8)

        def fill(first):
            images[first : first + CHUNK] = self._read(self._numbers[first : first + CHUNK])

        starts = range(0, len(self), CHUNK)
        if len(starts) == 1:  # a batch, which some thread of a stream reads
            fill(0)
        elif starts:
            with ThreadPoolExecutor(machine.cores()) as pool:
                list(pool.map(fill, starts))  # raises what a thread has raised
        return images.astype(dtype or np.uint8, copy=False)
