"""Distribution layers for Keras 3: parameters in, `tfd.Distribution` out."""

from zoo.layers.base import DistributionLayer
from zoo.layers.columns import Columns
from zoo.layers.counts import (
    Multinomial,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from zoo.layers.likelihoods import Bernoulli, ContinuousBernoulli, DiscretizedLogistic, Normal
from zoo.layers.missing import SelfMasking
from zoo.layers.noise import Dropout, GaussianNoise
from zoo.layers.posteriors import Categorical, DiagonalNormal, FullCovarianceNormal
from zoo.layers.priors import Conditional, StandardNormal, UniformCategorical, VampPrior
from zoo.layers.quantizers import VectorQuantizer
from zoo.layers.sample import Sample

__all__ = [
    "Bernoulli",
    "Categorical",
    "Columns",
    "Conditional",
    "ContinuousBernoulli",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DistributionLayer",
    "Dropout",
    "FullCovarianceNormal",
    "GaussianNoise",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "Sample",
    "SelfMasking",
    "StandardNormal",
    "UniformCategorical",
    "VampPrior",
    "VectorQuantizer",
    "ZeroInflatedNegativeBinomial",
]
