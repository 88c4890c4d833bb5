"""Types for annotations that their packages show no type checker."""

from typing import TYPE_CHECKING

import tensorflow_probability as tfp

if TYPE_CHECKING:
    from tensorflow_probability.python.distributions import Distribution
else:
    # TFP's namespaces are filled at run time, so that a checker sees variables in them.
    Distribution = tfp.distributions.Distribution

__all__ = ["Distribution"]
