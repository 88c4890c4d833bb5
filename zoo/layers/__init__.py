"""Distribution layers for Keras 3: parameters in, `tfd.Distribution` out."""

from zoo.layers.base import DistributionLayer as DistributionLayer
from zoo.layers.counts import NegativeBinomial as NegativeBinomial
from zoo.layers.likelihoods import Bernoulli as Bernoulli
from zoo.layers.likelihoods import ContinuousBernoulli as ContinuousBernoulli
from zoo.layers.likelihoods import DiscretizedLogistic as DiscretizedLogistic
from zoo.layers.likelihoods import Normal as Normal
from zoo.layers.noise import Dropout as Dropout
from zoo.layers.noise import GaussianNoise as GaussianNoise
from zoo.layers.posteriors import Categorical as Categorical
from zoo.layers.posteriors import DiagonalNormal as DiagonalNormal
from zoo.layers.posteriors import FullCovarianceNormal as FullCovarianceNormal
from zoo.layers.priors import Conditional as Conditional
from zoo.layers.priors import StandardNormal as StandardNormal
from zoo.layers.priors import UniformCategorical as UniformCategorical
from zoo.layers.priors import VampPrior as VampPrior
from zoo.layers.quantizers import VectorQuantizer as VectorQuantizer
from zoo.layers.sample import Sample as Sample
