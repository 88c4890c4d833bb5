"""What is odd: detectors of anomalies, which learn from rows that are known, or hoped, to be
normal."""

from zoo.extras import need

need("metrics", "Detectors")

from zoo.detection.conformal import p_values, threshold
from zoo.detection.detector import Detector
from zoo.detection.tables import Settings

__all__ = ["Detector", "Settings", "p_values", "threshold"]
