"""Inference: the passes of a model, what is minimized of them, and how its gradient is
estimated."""

from zoo.inference.bounds import WeightSums as WeightSums
from zoo.inference.bounds import importance_weighted_bound as importance_weighted_bound
from zoo.inference.classes import Enumeration as Enumeration
from zoo.inference.classes import Relaxation as Relaxation
from zoo.inference.density_ratio import DensityRatio as DensityRatio
from zoo.inference.objective import Objective as Objective
from zoo.inference.regularizers import KL as KL
from zoo.inference.regularizers import Capacity as Capacity
from zoo.inference.regularizers import Context as Context
from zoo.inference.regularizers import Regularizer as Regularizer
from zoo.inference.regularizers import WeightedKL as WeightedKL
from zoo.inference.reparameterized import ELBO as ELBO
from zoo.inference.reparameterized import DoublyReparameterized as DoublyReparameterized
from zoo.inference.reparameterized import FreeBits as FreeBits
from zoo.inference.reparameterized import ImportanceWeighted as ImportanceWeighted
from zoo.inference.reparameterized import PathDerivative as PathDerivative
from zoo.inference.score_function import VIMCO as VIMCO
from zoo.inference.score_function import ScoreFunction as ScoreFunction
from zoo.inference.total_correlation import TotalCorrelation as TotalCorrelation
