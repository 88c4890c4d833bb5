"""Columns of numbers: standardized, by quantiles, by modes, or as they are."""

import math
import warnings
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.extras import need
from zoo.observations.column import Column
from zoo.validation import shown

# Knots of a transform by quantiles.
NUM_QUANTILES = 100
# Standard deviations of a mode within which its numbers lie, and the most modes of a column (Xu et
# al. 2019, section 4.2).
MODE_WIDTH = 4.0
MOST_MODES = 10
# Modes of fewer rows than this share are left out.
LEAST_WEIGHT = 0.005
SECONDS_OF_A_DAY = 86_400


class Number(Column):
    """A column of numbers, whose values are within `bounds`.

    Args:
        bounds: The least and the greatest value: what comes back is kept within them.
        whole: Whether what comes back is rounded.
    """

    def __init__(
        self,
        name: str,
        dtype: str = "float64",
        *,
        bounds: Sequence[float] = (-math.inf, math.inf),
        whole: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.bounds = [float(bound) for bound in bounds]
        self.whole = whole

    @classmethod
    def of(cls, name: str, values: np.ndarray, dtype: str) -> "Column":
        """The column of the values that are not missing, float64 [N]."""
        bounds = [float(np.min(values)), float(np.max(values))]
        whole = bool((values == np.round(values)).all())
        return cls(name, dtype, bounds=bounds, whole=whole, **cls.transform(values))

    @staticmethod
    def transform(values: np.ndarray) -> dict[str, Any]:
        """The arguments that are the kind's own, of such values."""
        return {}

    def values(self, numbers: np.ndarray) -> Any:
        numbers = np.clip(numbers, self.bounds[0], self.bounds[1])
        return np.round(numbers) if self.whole else numbers

    def served_values(self, numbers: tf.Tensor) -> tf.Tensor:
        numbers = tf.clip_by_value(numbers, self.bounds[0], self.bounds[1])
        return tf.round(numbers) if self.whole else numbers

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bounds": self.bounds, "whole": self.whole}


class Real(Number):
    """A number, standardized: (x - loc) / scale."""

    kind = "real"

    def __init__(
        self,
        name: str,
        dtype: str = "float64",
        *,
        loc: float = 0.0,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, dtype, **kwargs)
        self.loc = loc
        self.scale = scale

    @staticmethod
    def transform(values: np.ndarray) -> dict[str, Any]:
        return {"loc": float(np.mean(values)), "scale": float(np.std(values))}

    def encode(self, numbers: Any) -> list[Any]:
        return [(numbers - self.loc) / self.scale]

    def decode(self, encoded: Sequence[Any]) -> Any:
        return encoded[0] * self.scale + self.loc

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loc": self.loc, "scale": self.scale}


class Date(Real):
    """A moment, as the number of days since 1970, standardized."""

    kind = "date"

    def numbers(self, values: Any) -> np.ndarray:
        import pandas as pd

        moments = pd.to_datetime(
            values, errors="coerce", format="mixed", utc=self._zone is not None
        )
        if (moments.isna() & values.notna()).any():
            wrong = values[moments.isna() & values.notna()].iloc[0]
            raise ValueError(f"Column {self.name!r} must hold dates. Received: {shown(wrong)}.")
        if self._zone is not None:
            moments = moments.dt.tz_localize(None)
        since = moments - pd.Timestamp(0)
        return since.dt.total_seconds().to_numpy(np.float64) / SECONDS_OF_A_DAY

    def values(self, numbers: np.ndarray) -> Any:
        import pandas as pd

        numbers = super().values(numbers)
        moments = pd.to_datetime(np.round(numbers * SECONDS_OF_A_DAY), unit="s")
        return moments if self._zone is None else moments.tz_localize("UTC")

    @property
    def _zone(self):
        """The time zone of a dtype such as "datetime64[ns, UTC]"."""
        return self.dtype.partition(", ")[2].rstrip("]") or None


class Quantile(Number):
    """A number, by way of its quantile: a standard normal number, between knots on a straight
    line.

    Args:
        knots: Increasing values, and the normal number of each.
    """

    kind = "quantile"

    def __init__(
        self, name: str, dtype: str = "float64", *, knots: Sequence[Sequence[float]], **kwargs: Any
    ) -> None:
        super().__init__(name, dtype, **kwargs)
        self.knots = [[float(knot) for knot in side] for side in knots]

    @staticmethod
    def transform(values: np.ndarray) -> dict[str, Any]:
        # Half a step within 0 and 1: the normal number of both is infinite.
        shares = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES
        quantiles = np.quantile(values, shares)
        # Of a value that is several quantiles, their middle.
        distinct = np.unique(quantiles)
        normal = NormalDist()
        middle = [normal.inv_cdf(shares[quantiles == value].mean()) for value in distinct]
        if len(distinct) == 1:  # of nearly all rows
            return {"knots": [[distinct[0], distinct[0] + np.std(values)], [0.0, 1.0]]}
        return {"knots": [distinct.tolist(), middle]}

    def encode(self, numbers: Any) -> list[Any]:
        return [_on_lines(numbers, *self.knots)]

    def decode(self, encoded: Sequence[Any]) -> Any:
        return _on_lines(encoded[0], *reversed(self.knots))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "knots": self.knots}


class Modes(Number):
    """A number as one of K modes, and its place within that: a class, and (x - mean) / (4 std).

    Xu, Skoularidou, Cuesta-Infante & Veeramachaneni, "Modeling tabular data using conditional GAN",
    NeurIPS 2019, section 4.2 (mode-specific normalization), with the most probable mode of each
    value.

    Args:
        modes: Weights, means and standard deviations of K normals.
    """

    kind = "modes"

    def __init__(
        self, name: str, dtype: str = "float64", *, modes: Sequence[Sequence[float]], **kwargs: Any
    ) -> None:
        super().__init__(name, dtype, **kwargs)
        self.modes = [[float(number) for number in row] for row in modes]
        num_modes = len(self.modes[0])
        self.holds = (("class", num_modes), "real") if num_modes > 1 else ("real",)

    @classmethod
    def of(cls, name: str, values: np.ndarray, dtype: str) -> "Column":
        found = super().of(name, values, dtype)
        # Of a single mode there is nothing to choose.
        return found if len(found.holds) > 1 else Real.of(name, values, dtype)

    @staticmethod
    def transform(values: np.ndarray) -> dict[str, Any]:
        need("metrics", "Columns of modes")
        from sklearn.mixture import BayesianGaussianMixture

        mixture = BayesianGaussianMixture(
            n_components=min(MOST_MODES, len(values)),
            weight_concentration_prior=0.001,
            max_iter=200,
            random_state=0,
        )
        loc, scale = np.mean(values), np.std(values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged: any modes serve
            mixture.fit(((values - loc) / scale)[:, None])
        kept = mixture.weights_ > LEAST_WEIGHT
        stds = np.sqrt(mixture.covariances_[kept, 0, 0])
        modes = [mixture.weights_[kept], mixture.means_[kept, 0] * scale + loc, stds * scale]
        return {"modes": [row.tolist() for row in modes]}

    def encode(self, numbers: Any) -> list[Any]:
        weights, means, stds = (np.asarray(row) for row in self.modes)
        constant = np.log(weights) - np.log(stds)
        if not tf.is_tensor(numbers):
            log_probs = constant - ((numbers[:, None] - means) / stds) ** 2 / 2
            mode = log_probs.argmax(axis=-1)
            place = (numbers - means[mode]) / (MODE_WIDTH * stds[mode])
            return [np.where(np.isnan(numbers), np.nan, mode), place]
        means, stds = tf.constant(means, tf.float32), tf.constant(stds, tf.float32)
        log_probs = (
            tf.constant(constant, tf.float32) - tf.square((numbers[:, None] - means) / stds) / 2
        )
        mode = tf.argmax(log_probs, axis=-1, output_type=tf.int32)
        place = (numbers - tf.gather(means, mode)) / (MODE_WIDTH * tf.gather(stds, mode))
        return [tf.where(tf.math.is_nan(numbers), math.nan, tf.cast(mode, tf.float32)), place]

    def decode(self, encoded: Sequence[Any]) -> Any:
        mode, place = encoded
        _, means, stds = self.modes
        if tf.is_tensor(mode):
            mode = tf.cast(mode, tf.int32)
            means, stds = tf.gather(tf.constant(means), mode), tf.gather(tf.constant(stds), mode)
        else:
            means, stds = (np.asarray(row)[mode.astype(int)] for row in (means, stds))
        return means + MODE_WIDTH * stds * place

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "modes": self.modes}


class Positive(Number):
    """A number above 0, divided by its mean."""

    kind = "positive"
    holds = ("positive",)

    def __init__(
        self, name: str, dtype: str = "float64", *, scale: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(name, dtype, **kwargs)
        self.scale = scale

    @staticmethod
    def transform(values: np.ndarray) -> dict[str, Any]:
        return {"scale": float(np.mean(values))}

    def encode(self, numbers: Any) -> list[Any]:
        return [numbers / self.scale]

    def decode(self, encoded: Sequence[Any]) -> Any:
        return encoded[0] * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


class Count(Number):
    """A whole number from 0 on, as it is."""

    kind = "count"
    holds = ("count",)


class Binary(Column):
    """0 or 1, or a bool."""

    kind = "binary"
    holds = ("binary",)

    def values(self, numbers: np.ndarray) -> Any:
        likely = numbers >= 0.5  # a mean is a probability
        return likely if "bool" in self.dtype else likely.astype(np.float64)

    def served_values(self, numbers: tf.Tensor) -> tf.Tensor:
        return tf.cast(numbers >= 0.5, tf.float32)


def _on_lines(x, knots, values):
    """The lines through (knots, values), and on beyond both ends; of an array or a tensor."""
    knots, values = np.asarray(knots), np.asarray(values)
    slopes = np.diff(values) / np.diff(knots)
    if not tf.is_tensor(x):
        line = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(slopes) - 1)
        return values[line] + (x - knots[line]) * slopes[line]
    starts, heights, slopes = (tf.constant(part, tf.float32) for part in (knots, values, slopes))
    line = tf.reduce_sum(tf.cast(x[:, None] >= starts, tf.int32), axis=-1) - 1
    line = tf.clip_by_value(line, 0, len(knots) - 2)
    return tf.gather(heights, line) + (x - tf.gather(starts, line)) * tf.gather(slopes, line)
