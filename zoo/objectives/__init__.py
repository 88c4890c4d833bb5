"""What training minimizes, and how its gradient is estimated.

Objectives are objects that any model takes where they are defined; the bounds they share are pure functions. An objective's value is minus
its bound, in nats per example; its gradient is its own. Where the two need different formulas the loss is
`with_gradient_of(value, surrogate)`.
"""

from zoo.objectives.bounds import WeightSums as WeightSums
from zoo.objectives.bounds import importance_weighted_bound as importance_weighted_bound
from zoo.objectives.classes import Enumeration as Enumeration
from zoo.objectives.classes import Relaxation as Relaxation
from zoo.objectives.objective import Objective as Objective
from zoo.objectives.reparameterized import ELBO as ELBO
from zoo.objectives.reparameterized import DoublyReparameterized as DoublyReparameterized
from zoo.objectives.reparameterized import FreeBits as FreeBits
from zoo.objectives.reparameterized import ImportanceWeighted as ImportanceWeighted
from zoo.objectives.reparameterized import PathDerivative as PathDerivative
from zoo.objectives.score_function import VIMCO as VIMCO
from zoo.objectives.score_function import ScoreFunction as ScoreFunction
