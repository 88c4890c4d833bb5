"""What training minimizes, and how its gradient is estimated.

Objectives are objects that any model takes where they are defined; the bounds they share are pure
functions. An objective's value is minus its bound, in nats per example; its gradient is its own. A
regularizer is the part of it that is subtracted from E_q[log p(x|z)].
"""

from zoo.inference import (
    ELBO,
    KL,
    MIWAE,
    VIMCO,
    BalancedKL,
    Capacity,
    DensityRatio,
    DoublyReparameterized,
    Enumeration,
    FreeBits,
    ImportanceWeighted,
    Objective,
    PathDerivative,
    Regularizer,
    Relaxation,
    ScoreFunction,
    TotalCorrelation,
    WeightedKL,
    WeightSums,
    importance_weighted_bound,
)

__all__ = [
    "ELBO",
    "KL",
    "MIWAE",
    "VIMCO",
    "BalancedKL",
    "Capacity",
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
