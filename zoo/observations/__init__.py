"""What x is: how users hand it in, how it is stored, what a step makes of it, how it is served."""

from zoo.observations.base import Observation
from zoo.observations.counts import Counts
from zoo.observations.image import Image
from zoo.observations.rows import Rows
from zoo.observations.scaled import ScaledVector
from zoo.observations.table import Table
from zoo.observations.vector import Vector

__all__ = [
    "Counts",
    "Image",
    "Observation",
    "Rows",
    "ScaledVector",
    "Table",
    "Vector",
]
