"""Types for annotations that their packages show no type checker."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import tensorflow_probability as tfp

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow_probability.python import distributions

    class Distribution(distributions.Distribution):
        """TFP infers the types of shapes from code that goes through its own containers."""

        @property
        def batch_shape(self) -> tf.TensorShape: ...

        @property
        def event_shape(self) -> tf.TensorShape: ...
else:
    # TFP's namespaces are filled at run time, so that a checker sees variables in them.
    Distribution = tfp.distributions.Distribution


@runtime_checkable
class PosteriorLayer(Protocol):
    """A layer over latents, the zoo's or a user's own: parameters -> distribution."""

    event_shape: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


@runtime_checkable
class LikelihoodLayer(PosteriorLayer, Protocol):
    """A layer over observations: it says which."""

    observation: Any


__all__ = ["Distribution", "LikelihoodLayer", "PosteriorLayer"]
