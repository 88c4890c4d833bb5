"""Thresholds and p-values from scores of rows that are known to be normal: split conformal
prediction.

The score of a new normal row is as likely to take any place among n scores of other normal rows.
So p = (1 + number of them that are at least as great) / (n + 1) is at most a in a fraction of at
most a of the normal rows, whatever the model.

Bates, Candes, Lei, Romano & Sesia, "Testing for outliers with conformal p-values", Annals of
Statistics 51, 2023, eq. 2. https://arxiv.org/abs/2104.08279
"""

import math
from typing import Any

import numpy as np


def p_values(calibration: Any, scores: Any) -> np.ndarray:
    """The conformal p-value of each score, in (0, 1]: small where few normal rows are as odd.

    Args:
        calibration: Scores [n] of normal rows that no training saw; greater is odder.
        scores: Scores [N].

    Returns:
        Float64 array [N].
    """
    ordered = np.sort(np.asarray(calibration))
    as_great = len(ordered) - np.searchsorted(ordered, np.asarray(scores), side="left")
    return (1.0 + as_great) / (len(ordered) + 1.0)


def threshold(calibration: Any, false_alarm_rate: float) -> float:
    """The score above which p is at most `false_alarm_rate`: the ceil((1 - rate) (n + 1))-th least
    of n scores, and infinity where n is too small for any alarm."""
    ordered = np.sort(np.asarray(calibration))
    place = rank(len(ordered), false_alarm_rate)
    return float(ordered[place - 1]) if place <= len(ordered) else math.inf


def rank(num_scores: int, false_alarm_rate: float) -> int:
    """Which of n scores, counted from 1 and from the least, is the threshold; n + 1 for none."""
    # 0.95 x 20 is 19.000000000000004 for some rates.
    return math.ceil((1.0 - false_alarm_rate) * (num_scores + 1) - 1e-9)


def calibration_size(num_rows: int, share: float, most: int, false_alarm_rate: float) -> int:
    """How many of `num_rows` normal rows calibrate: at most `share` of them and `most`, such that
    the rate is met on average and not only kept: k / rate - 1 for a whole k, where that fits."""
    size = min(int(num_rows * share), most)
    whole = math.floor((size + 1) * false_alarm_rate + 1e-9)
    if whole >= 1:
        size = min(size, math.ceil(whole / false_alarm_rate - 1e-9) - 1)
    return size
