"""Counts: how often each of G things was seen, and how much was seen in all."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np
import tensorflow as tf

from zoo.observations.base import Observation, is_symbolic
from zoo.observations.numbers import as_batch, as_rows
from zoo.random import RowNoise

# Beyond it float32 has no place for each integer.
GREATEST = 2**24
EXPECTED = f"Counts must be whole numbers in 0 ... {GREATEST}"
# Under which AnnData objects keep raw counts beside an X that may be normalized.
LAYER = "counts"
WHERE_RAW_COUNTS_ARE = (
    "Normalized data are no counts: raw ones are usually in `adata.layers['counts']` or "
    "`adata.raw.X`."
)


@runtime_checkable
class Annotated(Protocol):
    """An `anndata.AnnData`: cells in rows, genes in columns."""

    X: Any
    layers: Mapping[str, Any]
    obs: Any


@runtime_checkable
class Sparse(Protocol):
    """A matrix or an array of `scipy.sparse`."""

    nnz: Any

    def toarray(self) -> np.ndarray: ...


@keras.saving.register_keras_serializable(package="zoo")
class Counts(Observation):
    """Counts [G] of one example, such as a cell's transcripts of each gene. Messages say "cell".

    The sum over an example, its library size, tells how deeply it was looked at, and is no fact
    about it: the encoder gets log(1 + counts), and the likelihood the library size beside its
    parameters.

    They are arrays, sparse ones of `scipy.sparse`, or AnnData: of that the layer "counts", or X
    where there is none.

    Args:
        shape: G, or (G,).

    Reference:
        Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15,
        2018.
    """

    key = "counts"
    noun = "cell"

    def __init__(self, shape: int | tuple[int, ...]) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)

    def check(self, x: Any) -> dict[str, Any]:
        counts = as_rows(_matrix_of(x), "count", self.shape)
        low, high = counts.min(), counts.max()
        if not (low >= 0 and high <= GREATEST):  # written so that NaN fails as well
            raise ValueError(f"{EXPECTED}. Received: {counts.dtype} in [{low:g}, {high:g}].")
        if counts.dtype.kind == "f" and (counts != np.round(counts)).any():
            raise ValueError(
                f"{EXPECTED}. Received: fractions, such as "
                f"{float(counts[counts != np.round(counts)][0]):g}. {WHERE_RAW_COUNTS_ARE}"
            )
        return {self.key: counts.astype(np.int32)}

    def check_stream(self, x: Any) -> dict[str, tf.Tensor]:
        x = as_batch(x, "count", self.shape)
        values = tf.cast(x, tf.float64)
        good = tf.reduce_all((values >= 0) & (values <= GREATEST) & (values == tf.round(values)))
        message = f"{EXPECTED}. Received: a batch with others."
        with tf.control_dependencies([tf.debugging.Assert(good, [message])]):
            return {self.key: tf.cast(x, tf.int32)}

    def prepare(self, stored: Mapping[str, Any], noise: RowNoise) -> dict[str, tf.Tensor]:
        return self._with_library(tf.cast(stored[self.key], tf.float32))

    def as_tensors(self, x: Any) -> dict[str, tf.Tensor]:
        if not is_symbolic(x):
            checked = self.check(x)[self.key]
            x = x if tf.is_tensor(x) else checked
        return self._with_library(tf.cast(x, tf.float32))

    def _with_library(self, counts):
        # An empty example has a mean of 0 whatever its parameters; a library of 1 keeps its
        # logarithm finite.
        return {self.key: counts, "library": tf.maximum(tf.reduce_sum(counts, axis=-1), 1.0)}

    def companions(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor | None]:
        return {"library": data.get("library")}

    def companion_spec(self) -> dict[str, tf.TensorSpec]:
        return {"library": tf.TensorSpec([None], tf.float32, name="library")}

    def moments(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        counts = self.check(x)[self.key]
        mean, std = (
            tf.constant(f(counts, axis=0, dtype=np.float64), tf.float32) for f in (np.mean, np.std)
        )
        return mean, std

    def encoder_input(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.math.log1p(data[self.key])

    @staticmethod
    def made_up(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.poisson(3.0, shape).astype(np.float32)

    def blank(self) -> dict[str, tf.Tensor]:
        return self._with_library(super().blank()[self.key])


def _matrix_of(x):
    """The counts of whatever holds them, as an array or what becomes one."""
    if isinstance(x, Annotated):
        x = x.layers.get(LAYER, x.X)
    return x.toarray() if isinstance(x, Sparse) else x
