"""How well a score tells anomalies from normal rows, and which columns make a row odd."""

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.extras import need
from zoo.layers import Columns
from zoo.models.anomaly_model import AnomalyModel, column_nats
from zoo.models.base import Model
from zoo.models.latent_variable import LatentVariableModel
from zoo.observations import Table
from zoo.observations.frames import as_frame
from zoo.random import RowNoise

# Importance samples by which columns are told apart, and rows at once.
COLUMN_SAMPLES = 16
CHUNK = 500


def numbers(model: Model, scores: np.ndarray, anomaly: np.ndarray) -> dict[str, dict[str, Any]]:
    """The numbers of a detector on rows whose truth is known.

    - `auroc`: the probability that an anomaly has a greater score than a normal row
    - `average_precision`: the mean precision over the places of the anomalies
    - `false_alarm_rate`: the share of normal rows that a calibrated model calls anomalies, beside
      the rate that it was asked for and its threshold in nats

    Args:
        model: A model of the zoo.
        scores: -log p(x) of each row, nats [N].
        anomaly: Whether each is an anomaly, [N].

    Raises:
        ValueError: If rows of one of the two kinds are missing.
    """
    need("metrics", "Scores of detectors")
    from sklearn import metrics

    anomaly = np.asarray(anomaly, bool)
    if anomaly.all() or not anomaly.any():
        raise ValueError(
            "Both normal rows and anomalies are needed. Received: "
            f"{int(anomaly.sum())} anomalies among {len(anomaly)} rows."
        )
    counts = {"num_anomalies": int(anomaly.sum()), "unit": "score"}
    found: dict[str, dict[str, Any]] = {
        "auroc": {"value": float(metrics.roc_auc_score(anomaly, scores)), **counts},
        "average_precision": {
            "value": float(metrics.average_precision_score(anomaly, scores)),
            **counts,
        },
    }
    if isinstance(model, AnomalyModel) and model.num_calibration:
        alarms = scores[~anomaly] > model.threshold
        found["false_alarm_rate"] = {
            "value": float(alarms.mean()),
            "stderr_images": float(alarms.std() / np.sqrt(len(alarms))),
            "unit": "share",
            "asked": model.false_alarm_rate,
            "threshold": model.threshold,
        }
    return found


def tells_columns(model: Model) -> bool:
    """Whether `contributions` can be told of a model."""
    return isinstance(model, LatentVariableModel) and isinstance(model.likelihood_layer, Columns)


def contributions(
    model: LatentVariableModel, x: Any, num_samples: int = COLUMN_SAMPLES, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """What each column adds to -log p(x), the score of a row, as in
    `zoo.models.anomaly_model.column_nats`; of a mixture, by each member's share of p(x).

    Args:
        model: A model whose likelihood is `zoo.layers.Columns`.
        x: Rows [N, ...], as the model takes them.
        num_samples: Importance samples of each member.
        seed: Of all draws.

    Returns:
        Nats [N, C], and the names of the C columns. A column of a table that holds several numbers
        is one.

    Raises:
        ValueError: If the model does not tell columns apart.
    """
    if not tells_columns(model):
        raise ValueError(
            "Columns are told apart by the likelihood `zoo.layers.Columns`. Received: "
            f"{type(model).__name__} with {type(model.likelihood_layer).__name__}."
        )
    table = model.observation if isinstance(model.observation, Table) else None
    rows = x if table is None else as_frame(x)
    members, parts = model.members if isinstance(model, AnomalyModel) else [model], []
    for first in range(0, len(rows), CHUNK):
        part = model.as_data(rows[first : first + CHUNK])
        noise = RowNoise(seed, 0, first + tf.range(len(part[model.key])))
        told = [column_nats(member, part, noise, num_samples) for member in members]
        scores, columns = (tf.stack(values) for values in zip(*told, strict=True))
        shares = tf.nn.softmax(-scores, axis=0)  # of each member, [M, B]
        parts.append(tf.einsum("mb,mbc->bc", shares, columns).numpy())
    nats = np.concatenate(parts)
    if table is None:
        return nats, [f"column {number}" for number in range(nats.shape[1])]
    held, names = np.array(table.names), [field.name for field in table.modelled]
    return np.stack([nats[:, held == name].sum(axis=1) for name in names], axis=1), names
