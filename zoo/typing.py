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


@runtime_checkable
class MaskedNetwork(Protocol):
    """A network of codes int [B, *codes_shape] -> logits float32 [B, N, K], some of which are
    masked.

    Attributes:
        num_codes: K.
        mask_code: What stands for a code that is masked.
    """

    num_codes: int
    mask_code: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


@runtime_checkable
class CausalNetwork(Protocol):
    """A network of codes int [B, *codes_shape] -> logits float32 [B, N, K], of which the i-th see
    the codes before the i-th alone, and which gives them one by one as well.

    Attributes:
        num_codes: K.
    """

    num_codes: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def start(self, num_rows: "int | tf.Tensor") -> Any:
        """What `step` keeps of the codes before: a nest of tensors [B, ...]."""

    def step(
        self,
        previous: "tf.Tensor",
        position: "tf.Tensor",
        cache: Any,
        condition: "tf.Tensor | None" = None,
    ) -> "tuple[tf.Tensor, Any]":
        """The logits of one position, float32 [B, K], and the cache for the next.

        Args:
            previous: Int32 [B]: the code before; whatever stands there for the first position.
            position: Int32 scalar, 0 ... N - 1: one after the other.
            cache: What the step before gave, or `start`.
            condition: [B, ...], or None.
        """
        ...


__all__ = [
    "CausalNetwork",
    "Distribution",
    "LikelihoodLayer",
    "MaskedNetwork",
    "PosteriorLayer",
]
