"""What training minimizes, and how its gradient is estimated.

Objectives are objects that any model takes where they are defined; the bounds they share are pure
functions. An objective's value is minus its bound, in nats per example; its gradient is its own. A
regularizer is the part of it that is subtracted from E_q[log p(x|z)].
"""

from zoo.inference import ELBO as ELBO
from zoo.inference import KL as KL
from zoo.inference import VIMCO as VIMCO
from zoo.inference import Capacity as Capacity
from zoo.inference import DensityRatio as DensityRatio
from zoo.inference import DoublyReparameterized as DoublyReparameterized
from zoo.inference import Enumeration as Enumeration
from zoo.inference import FreeBits as FreeBits
from zoo.inference import ImportanceWeighted as ImportanceWeighted
from zoo.inference import Objective as Objective
from zoo.inference import PathDerivative as PathDerivative
from zoo.inference import Regularizer as Regularizer
from zoo.inference import Relaxation as Relaxation
from zoo.inference import ScoreFunction as ScoreFunction
from zoo.inference import TotalCorrelation as TotalCorrelation
from zoo.inference import WeightedKL as WeightedKL
from zoo.inference import WeightSums as WeightSums
from zoo.inference import importance_weighted_bound as importance_weighted_bound
