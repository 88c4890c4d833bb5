"""Inference: the passes of a model, what is minimized of them, and how its gradient is
estimated."""

from zoo.inference.bounds import WeightSums, importance_weighted_bound
from zoo.inference.classes import Enumeration, Relaxation
from zoo.inference.density_ratio import DensityRatio
from zoo.inference.missing import MIWAE
from zoo.inference.objective import Objective
from zoo.inference.regularizers import (
    KL,
    BalancedKL,
    Capacity,
    Context,
    Regularizer,
    WeightedKL,
)
from zoo.inference.reparameterized import (
    ELBO,
    DoublyReparameterized,
    FreeBits,
    ImportanceWeighted,
    PathDerivative,
)
from zoo.inference.score_function import VIMCO, ScoreFunction
from zoo.inference.total_correlation import TotalCorrelation

__all__ = [
    "ELBO",
    "KL",
    "MIWAE",
    "VIMCO",
    "BalancedKL",
    "Capacity",
    "Context",
    "DensityRatio",
    "DoublyReparameterized",
    "Enumeration",
    "FreeBits",
    "ImportanceWeighted",
    "Objective",
    "PathDerivative",
    "Regularizer",
    "Relaxation",
    "ScoreFunction",
    "TotalCorrelation",
    "WeightSums",
    "WeightedKL",
    "importance_weighted_bound",
]
