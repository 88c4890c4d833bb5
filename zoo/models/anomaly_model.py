"""What is normal as a mixture of models, and how odd a row is beside normal rows that none of them
has seen.

    score     s(x) = -log p(x),  p(x) = 1/M sum_m p_m(x)
    p-value   (1 + number of calibration scores that are at least s(x)) / (n + 1)
    anomaly   where the p-value is at most the wanted rate of false alarms

Bates, Candes, Lei, Romano & Sesia, "Testing for outliers with conformal p-values", Annals of
Statistics 51, 2023. https://arxiv.org/abs/2104.08279
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.inference import WeightSums
from zoo.inference.handlers import FromPosterior, Handler
from zoo.models.answers import SCORE_SAMPLES, SEED, Answer, row_noise
from zoo.models.base import Data
from zoo.models.importance_sampling import MOST_SAMPLES, ROW_CHUNKS
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Observation
from zoo.random import EVALUATION_STEP, RowNoise
from zoo.typing import Distribution
from zoo.validation import shown


@keras.saving.register_keras_serializable(package="zoo")
class AnomalyModel(LatentVariableModel):
    """A mixture of models of normal data that says how odd a row is. All quantities are in nats.

    Scores, log p(x) and evaluation are those of the mixture. What asks for latents (`encode`,
    `decode`, `sample`, `reconstruct`) is asked of the first member.

    Args:
        members: Models with latents, which have one observation and no condition.
        observation: What x is, where users hand it in by another scale than members see it.
        num_calibration: n, number of normal rows that `calibrate` takes. With none, nothing is
            called an anomaly.
        false_alarm_rate: Wanted rate of normal rows that are called anomalies, in (0, 1).
        seed: Every draw is a function of (seed, step, row).

    Raises:
        ValueError: If members do not fit each other, or an argument is out of range.
    """

    def __init__(
        self,
        members: Sequence[LatentVariableModel],
        *,
        observation: Observation | None = None,
        num_calibration: int = 0,
        false_alarm_rate: float = 0.05,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        _assert_members(members)
        first = members[0]
        super().__init__(
            first.likelihood_layer,
            objective=first.objective,
            observation=first.observation if observation is None else observation,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        self.regularizer = first.regularizer
        self.members = list(members)
        self.num_calibration = validation.integer("num_calibration", num_calibration, least=0)
        self.false_alarm_rate = rate(false_alarm_rate)
        self.calibration = self.add_weight(
            shape=(self.num_calibration,), initializer="zeros", trainable=False, name="calibration"
        )

    # -- The mixture

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, Any]:
        """The mean of the members' losses and terms: each learns by itself."""
        terms = [member.loss_terms(batch, noise, training) for member in self.members]
        return {
            name: tf.add_n([each[name] for each in terms]) / len(terms) for name in self.term_names
        }

    def importance_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        noise: RowNoise,
        num_samples: int | tf.Tensor,
        chunk: int = MOST_SAMPLES,
    ) -> tuple[WeightSums, tf.Tensor]:
        """As those of one model; the weights of all members count, by 1/M each."""
        sums, log_likelihoods = zip(
            *(member.importance_sums(batch, noise, num_samples, chunk) for member in self.members),
            strict=True,
        )
        log_members, num_members = math.log(len(sums)), len(sums)
        return (
            WeightSums(
                _log_sum([each.log_sum for each in sums]) - log_members,
                _log_sum([each.log_sum_squares for each in sums]) - 2.0 * log_members,
            ),
            tf.add_n(list(log_likelihoods)) / num_members,
        )

    def importance_weighted_log_prob(
        self, x: Any, noise: RowNoise, num_samples: int, condition: Any = None
    ) -> tf.Tensor:
        data = self.as_data(x, condition)
        bounds = [
            member.importance_weighted_log_prob(data, noise, num_samples) for member in self.members
        ]
        return _log_sum(bounds) - math.log(len(bounds))

    def as_data(self, x: Any, condition: Any = None) -> dict[str, Any]:
        return Data(super().as_data(x, condition))

    # -- The first member's latents

    def program(
        self, latent: Handler, data: Mapping[str, Any], training: bool | None = None
    ) -> Distribution:
        return self.members[0].program(latent, data, training)

    def encode(self, x: Any, condition: Any = None, *, training: bool | None = None) -> Any:
        return self.members[0].encode(self.as_data(x, condition), training=training)

    def prior(self, condition: Any = None, *, training: bool | None = None) -> Any:
        return self.members[0].prior(condition, training=training)

    def decode(
        self, z: Any, condition: Any = None, *, training: bool | None = None
    ) -> Distribution:
        return self.members[0].decode(z, condition, training=training)

    @property
    def decoder(self) -> keras.layers.Layer:
        """The first member's, whose bias `start_at_mean` sets."""
        return self.members[0].decoder

    def latent_parameters(self, x: Any, condition: Any = None) -> dict[str, tf.Tensor]:
        return self.members[0].latent_parameters(self.as_data(x, condition))

    # -- Oddness

    def calibrate(self, x: Any, num_samples: int = SCORE_SAMPLES, seed: int = 0) -> None:
        """Sets the scores that others are compared with. Images are binarized as in evaluation.

        Args:
            x: Normal rows [n, ...] that training did not see, n as in the constructor; or a dict
                of data.

        Raises:
            ValueError: If there are more or fewer.
        """
        self.set_calibration(self.scores(x, num_samples, seed))

    def scores(self, x: Any, num_samples: int = SCORE_SAMPLES, seed: int = 0) -> np.ndarray:
        """-log p(x) of rows as calibration takes them, images binarized: nats [N].

        Args:
            x: Rows [N, ...], or a dict of data.
            num_samples: Importance samples of each member.
            seed: Of binarization and latents.
        """
        stored, scores = self.standardize(x), []
        num_rows = len(stored[self.key])
        for first in range(0, num_rows, ROW_CHUNKS[-1]):
            rows = np.arange(first, min(first + ROW_CHUNKS[-1], num_rows))
            noise = RowNoise(validation.seed(seed), EVALUATION_STEP, tf.constant(rows, tf.int32))
            part = {name: tf.constant(np.asarray(array[rows])) for name, array in stored.items()}
            batch = self.prepare(part, noise)
            sums, _ = self.importance_sums(batch, noise, num_samples)
            scores.append(-sums.log_mean(num_samples).numpy())
        return np.concatenate(scores)

    def set_calibration(self, scores: Any) -> None:
        """Sets the calibration scores [n] themselves, in nats.

        Raises:
            ValueError: If there are more or fewer.
        """
        scores = np.sort(np.asarray(scores, np.float32))
        if scores.shape != (self.num_calibration,):
            raise ValueError(
                f"There must be {self.num_calibration} calibration rows. Received: {shown(scores)}."
            )
        self.calibration.assign(scores)

    @property
    def threshold(self) -> float:
        """The score in nats above which a row is an anomaly; infinity where there are too few
        calibration rows for any."""
        n = self.num_calibration
        # The (1 - rate) (n + 1)-th least score. 0.95 x 20 is 19.000000000000004 for some rates.
        place = math.ceil((1.0 - self.false_alarm_rate) * (n + 1) - 1e-9)
        return float(self.calibration[place - 1]) if place <= n else math.inf

    def anomaly(self, x: Any, noise: RowNoise) -> dict[str, tf.Tensor]:
        """How odd rows are: dict of `score` (-log p(x), nats), `p_value` and `is_anomaly` (0 or 1),
        [B] each."""
        score = -self.importance_weighted_log_prob(x, noise, SCORE_SAMPLES)
        as_great = tf.cast(self.calibration[None, :] >= score[:, None], tf.float32)
        p_value = (1.0 + tf.reduce_sum(as_great, axis=-1)) / (self.num_calibration + 1.0)
        # (1 + k) / (n + 1) is the rate itself in one of many places: rounding must not decide it.
        is_anomaly = tf.cast(p_value <= self.false_alarm_rate + 1e-6, tf.float32)
        return {"score": score, "p_value": p_value, "is_anomaly": is_anomaly}

    def answers(self) -> dict[str, Answer]:
        def anomaly(seed, **x):
            return self.anomaly(self.observation.of_served(x), row_noise(seed))

        answers = super().answers()
        if self.num_calibration:
            answers["anomaly"] = Answer(anomaly, self.observation.spec() | SEED)
        return answers


def column_nats(
    model: LatentVariableModel, data: Mapping[str, tf.Tensor], noise: RowNoise, num_samples: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """-log p(x), and how much of it each column tells.

    With self-normalized weights W_s of S samples,

        -log p(x) = sum_j sum_s W_s (-log p(x_j|z_s)) + rest
        rest      = sum_s W_s log(q(z_s|x) / p(z_s)) + log S - H(W)

    where the rest estimates KL(p(z|x) || p(z)): how odd the latents are that explain x.

    Args:
        model: A model whose likelihood tells columns apart, such as `zoo.layers.Columns`.
        data: Dict as `as_data` gives it.
        noise: `RowNoise` of B rows.
        num_samples: S.

    Returns:
        -log p(x), nats [B], and the columns' parts of it, nats [B, C]; 0 where nothing was seen.
    """
    trace = model.run(FromPosterior(noise, num_samples), data)
    log_weights = trace.log_weights  # [S, B]
    weights = tf.nn.softmax(log_weights, axis=0)
    nats = -trace.likelihood.log_prob_of_columns(data[model.key])  # [S, B, C]
    columns = tf.einsum("sb,sbc->bc", weights, nats)
    if "observed" in data:
        columns = columns * data["observed"]
    score = math.log(num_samples) - tf.reduce_logsumexp(log_weights, axis=0)
    return score, columns


def rate(value: Any) -> float:
    """A rate of false alarms as a float.

    Raises:
        ValueError: If it is no number in (0, 1).
    """
    if not (validation.is_number(value) and 0 < value < 1):
        raise ValueError(
            "`false_alarm_rate` must be a fraction in (0, 1). Received: "
            f"false_alarm_rate={shown(value)}."
        )
    return float(value)


def _assert_members(members):
    if not isinstance(members, (list, tuple)) or not members:
        raise ValueError(
            f"`members` must be a list of models with latents. Received: members={shown(members)}."
        )
    first = members[0]
    for member in members:
        if not isinstance(member, LatentVariableModel) or member.condition_shape is not None:
            raise ValueError(
                "A member must be a model with latents and without a condition. Received: "
                f"{type(member).__name__}."
            )
        if member.observation != first.observation or type(member) is not type(first):
            raise ValueError(
                "Members must be of one kind and over one observation. Received: "
                f"{type(member).__name__} over {shown(member.observation.get_config())} beside "
                f"{type(first).__name__} over {shown(first.observation.get_config())}."
            )


def _log_sum(values):
    return tf.reduce_logsumexp(tf.stack(values), axis=0)
