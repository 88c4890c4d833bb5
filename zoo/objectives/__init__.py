"""What training minimizes: bounds on log p(x), and the estimators of their gradients."""

from zoo.objectives.bounds import WeightSums as WeightSums
from zoo.objectives.bounds import importance_weighted_bound as importance_weighted_bound
from zoo.objectives.estimators import ELBO as ELBO
from zoo.objectives.estimators import VIMCO as VIMCO
from zoo.objectives.estimators import DoublyReparameterized as DoublyReparameterized
from zoo.objectives.estimators import Enumeration as Enumeration
from zoo.objectives.estimators import FreeBits as FreeBits
from zoo.objectives.estimators import ImportanceWeighted as ImportanceWeighted
from zoo.objectives.estimators import Objective as Objective
from zoo.objectives.estimators import PathDerivative as PathDerivative
from zoo.objectives.estimators import Relaxation as Relaxation
from zoo.objectives.estimators import ScoreFunction as ScoreFunction
