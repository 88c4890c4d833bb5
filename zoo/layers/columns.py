"""p(x|z) of the columns of a table, each of a kind of its own."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo import validation
from zoo.layers.base import bounded_scale, raw_of_scale
from zoo.layers.independent_columns import ClassNumber, IndependentColumns
from zoo.layers.likelihoods import Likelihood
from zoo.observations import Observation, Rows, Vector
from zoo.typing import Distribution
from zoo.validation import shown

tfd = tfp.distributions

# Degrees of freedom from which on a Student t has a variance.
LEAST_FREEDOM = 3.0


class Kind(NamedTuple):
    """What a column may be.

    Attributes:
        num_params: Number of parameters of a column, for each class or component where it has some.
        distribution: Function (params [..., n, P], least scale) -> scalar distributions of n
            columns, batch [..., n].
        params_of: Function (mean [n], scale [n], number of classes or components) -> parameters
            [n, P] of columns with about this mean and scale.
        holds: What the column may hold, as `zoo.observations.Rows` calls it.
        has_size: Whether it has classes or components, whose number a column says.
    """

    num_params: int
    distribution: Callable[[tf.Tensor, float], Distribution]
    params_of: Callable[[tf.Tensor, tf.Tensor, int], list[tf.Tensor]]
    holds: str = "real"
    has_size: bool = False


# -- Kinds. Parameters of a column lie side by side; where there are classes or components, first
# all weights, then all locations, then all scales.


def _scale(raw, least):
    return least + bounded_scale(raw)


def _normal(params, least):
    loc, raw = tf.unstack(params, axis=-1)
    return tfd.Normal(loc, _scale(raw, least))


def _student_t(params, least):
    loc, raw, raw_freedom = tf.unstack(params, axis=-1)
    return tfd.StudentT(LEAST_FREEDOM + tf.nn.softplus(raw_freedom), loc, _scale(raw, least))


def _log_normal(params, least):
    loc, raw = tf.unstack(params, axis=-1)
    return tfd.LogNormal(loc, _scale(raw, least))


def _mixture(params, least):
    logits, locs, raws = tf.split(params, 3, axis=-1)
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=logits), tfd.Normal(locs, _scale(raws, least))
    )


def _bernoulli(params, least):
    return tfd.Bernoulli(logits=params[..., 0], dtype=tf.float32)


def _categorical(params, least):
    return ClassNumber(logits=params, dtype=tf.int32)


def _poisson(params, least):
    return tfd.Poisson(bounded_scale(params[..., 0]))


def _negative_binomial(params, least):
    raw_mean, raw_dispersion = tf.unstack(params, axis=-1)
    mean, dispersion = bounded_scale(raw_mean), bounded_scale(raw_dispersion)
    return tfd.NegativeBinomial(
        dispersion, logits=tf.math.log(mean / dispersion), require_integer_total_count=False
    )


def _of_location(mean, scale, size):
    return [mean, raw_of_scale(scale)]


def _of_heavy_tails(mean, scale, size):
    return [mean, raw_of_scale(scale), tf.zeros_like(mean)]


def _of_logarithm(mean, scale, size):
    mean = tf.maximum(mean, 1e-6)
    variance = tf.math.log1p(tf.square(scale / mean))
    return [tf.math.log(mean) - variance / 2.0, raw_of_scale(tf.sqrt(variance) + 1e-6)]


def _of_components(mean, scale, size):
    """Equal parts, from one standard deviation below the mean to one above."""
    places = tf.linspace(-1.0, 1.0, size) if size > 1 else tf.zeros(1)
    return [
        *(tf.zeros_like(mean) for _ in range(size)),
        *(mean + scale * places[i] for i in range(size)),
        *(raw_of_scale(scale / size) for _ in range(size)),
    ]


def _of_share(mean, scale, size):
    share = tf.clip_by_value(mean, 1e-3, 1 - 1e-3)
    return [tf.math.log(share) - tf.math.log1p(-share)]


def _of_classes(mean, scale, size):
    """Each class as often as another: the mean of their numbers tells nothing."""
    return [tf.zeros_like(mean) for _ in range(size)]


def _of_rate(mean, scale, size):
    return [raw_of_scale(tf.maximum(mean, 1e-3))]


def _of_counts(mean, scale, size):
    mean = tf.maximum(mean, 1e-3)
    surplus = tf.maximum(tf.square(scale) - mean, 1e-3 * mean)  # variance = mean + mean^2 / theta
    return [raw_of_scale(mean), raw_of_scale(tf.square(mean) / surplus)]


KINDS = {
    "normal": Kind(2, _normal, _of_location),
    "student_t": Kind(3, _student_t, _of_heavy_tails),
    "log_normal": Kind(2, _log_normal, _of_logarithm, "positive"),
    "mixture": Kind(3, _mixture, _of_components, has_size=True),
    "bernoulli": Kind(1, _bernoulli, _of_share, "binary"),
    "categorical": Kind(1, _categorical, _of_classes, "class", has_size=True),
    "poisson": Kind(1, _poisson, _of_rate, "count"),
    "negative_binomial": Kind(2, _negative_binomial, _of_counts, "count"),
}


def columns_of(columns: Any) -> list[tuple[str, int]]:
    """Columns as a user names them, as (kind, number of classes or components).

    Raises:
        ValueError: If one is no kind of column, or lacks its number.
    """
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise ValueError(
            "`columns` must be a list with the kind of each column, such as "
            f"['normal', ('categorical', 5)]. Received: columns={shown(columns)}."
        )
    found = []
    for column in columns:
        kind, size = (column, 1) if isinstance(column, str) else (*column, 1)[:2]
        if kind not in KINDS:
            raise ValueError(f"A column is one of {', '.join(KINDS)}. Received: {shown(column)}.")
        if KINDS[kind].has_size == isinstance(column, str):
            needed = f"({kind!r}, 5)" if isinstance(column, str) else repr(kind)
            raise ValueError(
                f"A column of this kind is given as {needed}. Received: {shown(column)}."
            )
        least = 2 if kind == "categorical" else 1
        found.append((kind, validation.integer(f"number of a {kind} column", size, least=least)))
    return found


@keras.saving.register_keras_serializable(package="zoo")
class Columns(Likelihood):
    """Independent columns [C] of mixed kinds: one number of each row and column, a class as its
    number 0 ... K - 1.

    | kind | parameters |
    | --- | --- |
    | "normal" | location, scale |
    | "student_t" | location, scale, degrees of freedom above 3 |
    | "log_normal" | location and scale of the logarithm |
    | ("mixture", K) | weights, locations and scales of K normals |
    | "bernoulli" | logit |
    | ("categorical", K) | logits |
    | "poisson" | rate |
    | "negative_binomial" | mean, theta: the variance is mean + mean^2 / theta |

    `distribution.log_prob(x, observed=...)` counts the columns whose `observed` is 1;
    `distribution.log_prob_of_columns(x)` tells them apart. The mean of a categorical column is its
    most probable class.

    Mattei & Frellsen, "MIWAE", ICML 2019 (Student's t with three degrees of freedom at least);
    Nazabal et al., "Handling incomplete heterogeneous data using VAEs", Pattern Recognition 107,
    2020, section 3. https://arxiv.org/abs/1807.03653

    Args:
        columns: The kind of each column, a list of C.
        least_scale: Non-negative number that is added to every scale: the density of a column
            that is constant, or discrete, grows without bound as its scale goes to 0.

    Raises:
        ValueError: If a column is of no such kind.
    """

    observes = (Vector,)  # and with it `Rows`

    def __init__(
        self, columns: Sequence[str | tuple[str, int]], least_scale: float = 0.0, **kwargs: Any
    ) -> None:
        self.columns = columns_of(columns)
        super().__init__(len(self.columns), **kwargs)
        self.least_scale = validation.non_negative("least_scale", least_scale)
        sizes = [KINDS[kind].num_params * size for kind, size in self.columns]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        self._num_params = sum(sizes)
        # Columns with parameters alike are computed as one: (kind, size) -> numbers of columns, and
        # where the parameters of each lie.
        self._alike: dict[tuple[str, int], tuple[list[int], list[list[int]]]] = {}
        for i, column in enumerate(self.columns):
            numbers, places = self._alike.setdefault(column, ([], []))
            numbers.append(i)
            places.append(list(range(starts[i], starts[i] + sizes[i])))

    @classmethod
    def of(
        cls,
        rows: Rows,
        *,
        real: str | tuple[str, int] = "student_t",
        count: str = "negative_binomial",
        least_scale: float = 0.1,
        **kwargs: Any,
    ) -> "Columns":
        """The likelihood of rows with columns such as these.

        Args:
            rows: `zoo.observations.Rows`, or a `Table`.
            real, count: Kind of the columns that hold real numbers, and counts.
            least_scale: As above.
        """
        kinds: dict[str, Any] = {
            "real": real,
            "count": count,
            "positive": "log_normal",
            "binary": "bernoulli",
        }
        columns: list[Any] = [
            kinds[column] if isinstance(column, str) else ("categorical", column[1])
            for column in rows.columns
        ]
        return cls(columns, least_scale=least_scale, **kwargs)

    @staticmethod
    def params_size(columns: Sequence[str | tuple[str, int]]) -> int:
        return sum(KINDS[kind].num_params * size for kind, size in columns_of(columns))

    @property
    def num_params(self) -> int:
        return self._num_params

    def assert_is_over(self, observation: Observation) -> None:
        super().assert_is_over(observation)
        needed = self.observation.columns
        if isinstance(observation, Rows) and observation.columns != needed:
            raise ValueError(
                f"`observation` must have the columns {shown(needed)} that the likelihood is over: "
                f"`Columns.of(observation)` is. Received: {shown(observation.columns)}."
            )

    @property
    def observation(self) -> Rows:
        held = [(KINDS[kind].holds, size) for kind, size in self.columns]
        return Rows([column if column[0] == "class" else column[0] for column in held])

    def distribution(self, params: tf.Tensor) -> Distribution:
        groups = {
            tuple(numbers): KINDS[kind].distribution(
                tf.gather(params, places, axis=-1), self.least_scale
            )
            for (kind, _), (numbers, places) in self._alike.items()
        }
        return IndependentColumns(list(groups.values()), tuple(groups))

    def params_of_mean(self, mean: tf.Tensor) -> tf.Tensor:
        """The parameters of columns with this mean, and a scale of 1."""
        return self.params_of(mean, tf.ones_like(mean))

    def params_of(self, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        flat = [tf.constant(0.0)] * self.num_params
        for (kind, size), (numbers, places) in self._alike.items():
            means = tf.gather(tf.cast(mean, tf.float32), numbers)
            scales = tf.gather(tf.cast(scale, tf.float32), numbers)
            values = KINDS[kind].params_of(means, scales, size)
            for row, of_column in enumerate(places):
                for place, value in zip(of_column, values, strict=True):
                    flat[place] = value[row]
        return tf.stack(flat)

    @property
    def statistics_shape(self) -> tuple[int, ...]:
        return (sum(self._sizes_of_statistics()),)

    def statistics(self, distribution: IndependentColumns) -> tf.Tensor:
        return distribution.statistics()

    def typical(self, statistics: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values, probabilities = [], []
        parts = tf.split(statistics, self._sizes_of_statistics(), axis=-1)
        for part, (kind, num_classes) in zip(parts, self._alike, strict=True):
            if kind != "categorical":
                values.append(part)
                probabilities.append(tf.fill(tf.shape(part), math.nan))
                continue
            probs = tf.reshape(part, [tf.shape(part)[0], -1, num_classes])
            values.append(tf.cast(tf.argmax(probs, axis=-1), tf.float32))
            probabilities.append(tf.reduce_max(probs, axis=-1))
        numbers = [number for of_kind, _ in self._alike.values() for number in of_kind]
        places = [numbers.index(number) for number in range(len(numbers))]
        return (
            tf.gather(tf.concat(values, axis=-1), places, axis=-1),
            tf.gather(tf.concat(probabilities, axis=-1), places, axis=-1),
        )

    def _sizes_of_statistics(self):
        """Numbers of statistics, one kind of columns after another."""
        return [
            len(numbers) * (size if kind == "categorical" else 1)
            for (kind, size), (numbers, _) in self._alike.items()
        ]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["event_shape"]
        columns = [[kind, size] if KINDS[kind].has_size else kind for kind, size in self.columns]
        return {**config, "columns": columns, "least_scale": self.least_scale}
