"""A detector of anomalies by scikit-learn's conventions: what is improbable under a model of normal
rows."""

import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from zoo import validation
from zoo.detection import conformal
from zoo.detection.program import Program
from zoo.detection.tables import Settings, table_vae
from zoo.generators import generators_left_alone
from zoo.models.anomaly_model import AnomalyModel, rate
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations.scaled import ScaledVector
from zoo.validation import shown

logger = logging.getLogger("zoo")

# With fewer rows than this none are spared for calibration: each is scored once by a model that did
# not see it, and the detector itself learns from all.
FEW_ROWS = 200
FOLDS = 5
CALIBRATION_SHARE = 0.2
MOST_CALIBRATION = 399
# Training steps of a member for each row, and their bounds.
STEPS_PER_ROW = 1.5
LEAST_STEPS, MOST_STEPS = 300, 1600
XLA_GAIN = 2
# Standard deviations beyond which a number is as far as can be.
FARTHEST = 1e6


class Detector(OutlierMixin, BaseEstimator):
    """Tells rows that are improbable under a model of normal ones.

    The score of a row is -log p(x), by importance sampling, under an equal mixture of models that
    differ in their first weights. A threshold on it is set by rows that training does not see, such
    that normal rows are called anomalies at the wanted rate: split conformal prediction. Of fewer
    than 200 rows all are trained on, and the threshold comes from models of five folds, each of
    which scores the rows that it did not see; the rate is then met in practice and not by proof.

    Conventions are scikit-learn's: `score_samples` is higher for what is more normal,
    `decision_function` is negative and `predict` is -1 for anomalies. PyOD's are the opposite:
    `anomaly_score` and `threshold_` are what it calls `decision_function` and `threshold_`.

    Without a model, X is a table of numbers [N, C], an array or a DataFrame, in which NaN stands
    for what is missing. It is standardized by the rows that are trained on; a constant column is
    kept as it is, so that another value in it is odd. A model with another observation takes what
    that takes, such as images.

    Equal arguments and rows give equal scores.

    Args:
        model: None, or a compiled model of the zoo, of which copies are trained: the first from
            the model's weights on, others from its kernels in another order.
        false_alarm_rate: Wanted rate of normal rows that are called anomalies, in (0, 1).
        num_members: M, number of models in the mixture.
        num_samples: Importance samples of each.
        steps: Training steps of each; by default three for two rows, 300 at least
            and 1,600 at most.
        batch_size: Rows of a step.
        settings: `zoo.detection.Settings` of the table model.
        seed: Of everything random.

    Attributes:
        threshold_: Score in nats, above which a row is an anomaly; infinity where there are too few
            rows for any alarm at that rate.
        offset_: -`threshold_`: `decision_function` is `score_samples` - `offset_`.
        calibration_scores_: Scores of normal rows that their models did not see, [n].
        n_features_in_: C, of tables.

    Images are binarized where the model's are, by the same draws for each.

    Raises:
        ValueError: If an argument is out of range, or rows do not fit.
    """

    def __init__(
        self,
        model: LatentVariableModel | None = None,
        *,
        false_alarm_rate: float = 0.05,
        num_members: int = 2,
        num_samples: int = 16,
        steps: int | None = None,
        batch_size: int = 128,
        settings: Settings | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.false_alarm_rate = false_alarm_rate
        self.num_members = num_members
        self.num_samples = num_samples
        self.steps = steps
        self.batch_size = batch_size
        self.settings = settings
        self.seed = seed

    # -- Fitting

    def fit(self, X: Any, y: Any = None) -> "Detector":
        """Learns what is normal.

        Args:
            X: Rows [N, ...], at least two.
            y: Not used.
        """
        wanted = rate(self.false_alarm_rate)
        num_members = validation.integer("num_members", self.num_members)
        generator = np.random.default_rng(validation.seed(self.seed))
        rows = self._stored(X, reset=True)
        num_rows = len(next(iter(rows.values())))
        if num_rows < FEW_ROWS:
            train = np.arange(num_rows)
        else:
            size = conformal.calibration_size(num_rows, CALIBRATION_SHARE, MOST_CALIBRATION, wanted)
            held, train = np.split(generator.permutation(num_rows), [size])
        self._scale_by(_take(rows, train))
        rows = self._scaled(rows)
        self._shapes = tuple((name, array.shape[1:]) for name, array in rows.items())
        self._steps = self._num_steps(len(train))
        if self._form() not in vars(self).get("_programs", {}):
            self._programs = {}
        program = self._program_for(rows, num_members + (FOLDS if num_rows < FEW_ROWS else 0))
        if num_rows < FEW_ROWS:
            scores = self._scores_of_folds(program, rows, generator)
        self.weights_ = [
            self._trained(program, _take(rows, train), generator, number)
            for number in range(num_members)
        ]
        if num_rows >= FEW_ROWS:
            scores = -self._log_prob(_take(rows, held))
        self.calibration_scores_ = np.sort(scores)
        self.threshold_ = conformal.threshold(scores, wanted)
        self.offset_ = -self.threshold_
        if not np.isfinite(self.threshold_):
            logger.warning(
                "%d rows are too few for a false-alarm rate of %g: nothing will be called an "
                "anomaly.",
                num_rows,
                wanted,
            )
        return self

    def _scores_of_folds(self, program, rows, generator):
        """The score of each row by a model that did not see it: [N]."""
        num_rows = len(next(iter(rows.values())))
        scores = np.empty(num_rows)
        for fold in np.array_split(generator.permutation(num_rows), min(FOLDS, num_rows)):
            rest = np.setdiff1d(np.arange(num_rows), fold)
            weights = self._trained(program, _take(rows, rest), generator)
            scores[fold] = -program.log_prob(weights, _take(rows, fold))
        return scores

    def _trained(self, program, rows, generator, number=0):
        """The weights of a member that has learned from scaled rows. Its first weights are those of
        the user's model, or the numbers of each kernel in another order, which are as good as drawn
        anew."""
        first = self._untrained
        if self.model is None or number > 0:
            first = [_shuffled(weight, generator) for weight in first]
        jitter = self._settings.jitter if self.model is None else 0.0
        return program.train(first, rows, self._steps, self._batch_size(), generator, jitter)

    @property
    def _settings(self):
        return Settings() if self.settings is None else self.settings

    def _num_steps(self, num_rows):
        if self.steps is not None:
            return validation.integer("steps", self.steps)
        return int(np.clip(round(STEPS_PER_ROW * num_rows, -2), LEAST_STEPS, MOST_STEPS))

    def _batch_size(self):
        return validation.integer("batch_size", self.batch_size)

    # -- The program that trains and scores

    def _program_for(self, rows, num_trained):
        """The compiled program for rows of this form. It is made again where it was lost: it is not
        part of a pickle."""
        key = self._form()
        if key not in self._programs:
            with generators_left_alone():
                keras.utils.set_random_seed(0)
                model = self._new_model(rows)
            # A Student t is made of many small operations, which XLA makes one: it pays sooner
            # than where a likelihood is plain.
            model.fix_execution(XLA_GAIN * self._steps * num_trained, self._batch_size())
            self._programs[key] = Program(
                model, validation.integer("num_samples", self.num_samples)
            )
            self._untrained = model.get_weights()
        return self._programs[key]

    def _form(self):
        """What a program is made for."""
        return (
            self._shapes,
            self._steps,
            self.model is None and self._missing,
            self.settings,
            self.num_samples,
            id(self.model),
        )

    def _new_model(self, rows):
        if self.model is None:
            return table_vae(rows["vector"].shape[1], self._missing, self._steps, self._settings)
        model = type(self.model).from_config(self.model.get_config())
        model.compile_from_config(self.model.get_compile_config())
        model.set_weights(self.model.get_weights())
        return model

    def _log_prob(self, rows):
        """log p(x) of scaled rows under the mixture, nats [N]."""
        program = self._program_for(rows, len(self.weights_))
        members = [program.log_prob(weights, rows) for weights in self.weights_]
        return np.logaddexp.reduce(members, axis=0) - np.log(len(members))

    # -- Rows

    def _stored(self, X: Any, reset: bool = False) -> dict[str, Any]:
        """Rows as a user hands them in, checked: dict of arrays [N, ...]."""
        if isinstance(self.model, LatentVariableModel) and self.model.compiled:
            return self.model.standardize(X)
        if self.model is not None:
            raise ValueError(
                "`model` must be a compiled model with latents, or None. Received: "
                f"model={shown(self.model)}."
            )
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        gaps = np.isnan(X)
        if reset:
            self._missing = bool(gaps.any())
        elif gaps.any() and not self._missing:
            raise ValueError(
                "Rows may have gaps where the rows of `fit` had some. Received: "
                f"{int(gaps.any(axis=1).sum())} rows with NaN."
            )
        return {"vector": X}

    def _scale_by(self, rows):
        """Keeps mean and standard deviation of the columns of a table; of a constant column 1."""
        if self.model is not None:
            return
        X = rows["vector"]
        empty = np.flatnonzero(np.isnan(X).all(axis=0))
        if len(empty):
            raise ValueError(
                f"A column must hold a number to learn from. Received: column {empty[0]}, where "
                "all are NaN."
            )
        self.loc_ = np.nanmean(X, axis=0)
        scale = np.nanstd(X, axis=0)
        # Of a constant, rounding may leave a little.
        self.scale_ = np.where(scale > 1e-10 * np.maximum(np.abs(self.loc_), 1e-300), scale, 1.0)

    def _scaled(self, rows: dict[str, Any]) -> dict[str, Any]:
        if self.model is not None:
            return rows
        scaled = (rows["vector"] - self.loc_) / self.scale_
        return {"vector": np.clip(scaled, -FARTHEST, FARTHEST).astype(np.float32)}

    # -- Scores

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(x) of each row, in nats [N]: higher is more normal."""
        check_is_fitted(self)
        return self._log_prob(self._scaled(self._stored(X)))

    def anomaly_score(self, X: Any) -> np.ndarray:
        """-log p(x) of each row, in nats [N]: higher is odder."""
        return -self.score_samples(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` - `offset_`, in nats [N]: negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for anomalies, 1 for other rows: integers [N]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:
        """The share of normal rows that are as odd as each row is, its own counted: [N], in
        (0, 1]. Those of `predict` -1 are at most `false_alarm_rate`."""
        return conformal.p_values(self.calibration_scores_, self.anomaly_score(X))

    def contributions(self, X: Any) -> np.ndarray:
        """What each column adds to the anomaly score: nats [N, C], 0 where nothing was seen.

        -log p(x_j|z) averaged over z given x. What the columns leave of the score is how odd z
        itself is, an estimate of KL(p(z|x) || p(z)): see `zoo.models.anomaly_model.column_nats`.
        Columns differ in what is usual for them: compare with those of normal rows.

        Raises:
            ValueError: If the model's likelihood does not tell columns apart.
        """
        check_is_fitted(self)
        rows = self._scaled(self._stored(X))
        program = self._program_for(rows, len(self.weights_))
        log_probs = np.stack([program.log_prob(weights, rows) for weights in self.weights_])
        shares = np.exp(log_probs - np.logaddexp.reduce(log_probs, axis=0))  # [M, N]
        columns = np.stack([program.columns(weights, rows) for weights in self.weights_])
        return np.einsum("mn,mnc->nc", shares, columns)

    # -- What is kept

    def as_model(self) -> AnomalyModel:
        """The fitted mixture with its threshold, as a model that saves, exports and answers
        `anomaly`. Of its 64 importance samples a member its scores come out a little lower."""
        check_is_fitted(self)
        rows = {name: np.zeros((1, *shape)) for name, shape in self._shapes}
        program, members = self._program_for(rows, len(self.weights_)), []
        for weights in self.weights_:
            # A copy without the optimizer that trained it.
            member = type(program.model).from_config(program.model.get_config())
            member.set_weights(weights)
            members.append(member)
        observation = None
        if self.model is None:
            observation = ScaledVector(self.loc_.tolist(), self.scale_.tolist(), self._missing)
        model = AnomalyModel(
            members,
            observation=observation,
            num_calibration=len(self.calibration_scores_),
            false_alarm_rate=self.false_alarm_rate,
        )
        model.set_calibration(self.calibration_scores_)
        return model

    def save(self, path: str | Path) -> None:
        """Writes `as_model()` to a `.keras` file."""
        self.as_model().save(path)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled programs are made again where they are needed.
        state = super().__getstate__()
        return {**state, "_programs": {}} if "_programs" in state else state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _shuffled(weight, generator):
    """A kernel with its numbers in another order; a bias as it is."""
    if weight.ndim < 2:
        return weight
    return generator.permutation(weight.ravel()).reshape(weight.shape)


def _take(rows, numbers):
    return {name: array[numbers] for name, array in rows.items()}
