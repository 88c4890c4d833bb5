"""What x is: how users hand it in, how it is stored, what a step makes of it, how it is served."""

from zoo.observations.base import Observation as Observation
from zoo.observations.counts import Counts as Counts
from zoo.observations.image import Image as Image
from zoo.observations.vector import Vector as Vector
