"""Distribution layers for Keras 3: parameters in, `tfd.Distribution` out."""

from zoo.layers.base import DistributionLayer
from zoo.layers.code_priors import AutoregressiveCodes, CodePrior, MaskedCodes, UniformCodes
from zoo.layers.colour import CategoricalLevels, DiscretizedLogisticMixture
from zoo.layers.columns import Columns
from zoo.layers.counts import (
    Multinomial,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
)
from zoo.layers.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Laplace,
    Normal,
)
from zoo.layers.missing import SelfMasking
from zoo.layers.noise import Dropout, GaussianNoise
from zoo.layers.posteriors import Categorical, DiagonalNormal, FullCovarianceNormal
from zoo.layers.priors import Conditional, StandardNormal, UniformCategorical, VampPrior
from zoo.layers.quantizers import (
    FSQ,
    GroupedQuantizer,
    LookupFree,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from zoo.layers.sample import Sample

__all__ = [
    "FSQ",
    "AutoregressiveCodes",
    "Bernoulli",
    "Categorical",
    "CategoricalLevels",
    "CodePrior",
    "Columns",
    "Conditional",
    "ContinuousBernoulli",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "DistributionLayer",
    "Dropout",
    "FullCovarianceNormal",
    "GaussianNoise",
    "GroupedQuantizer",
    "Laplace",
    "LookupFree",
    "MaskedCodes",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "Quantizer",
    "ResidualQuantizer",
    "Sample",
    "SelfMasking",
    "StandardNormal",
    "UniformCategorical",
    "UniformCodes",
    "VampPrior",
    "VectorQuantizer",
    "ZeroInflatedNegativeBinomial",
]
