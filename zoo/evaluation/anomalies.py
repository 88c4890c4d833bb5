"""How well a score tells anomalies from normal rows."""

from typing import Any

import numpy as np

from zoo.extras import need
from zoo.models.anomaly_model import AnomalyModel
from zoo.models.base import Model


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
