"""Several latents as one distribution: what `encode` and `prior` give of a model that has
several."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from zoo.inference.handlers import Given, Handler, Typical
from zoo.inference.trace import Trace
from zoo.typing import Distribution


class Joint:
    """q(z1, z2, ...|x) or p(z1, z2, ...) of a model; outcomes are dicts from name to tensor.

    Args:
        run: Runs the model under a handler.
        infers: True for q, False for p.
    """

    def __init__(self, run: Callable[[Handler], Trace], infers: bool) -> None:
        self._run = run
        self._infers = infers

    def given(self, name: str, z: Mapping[str, tf.Tensor]) -> Distribution:
        """The distribution of one latent, where those before it are those of `z`: a dict of all
        latents."""
        site = self._at(z)[name]
        return site.posterior if self._infers else site.prior

    def log_prob(self, z: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Nats [..., B]: the sum over latents."""
        trace = self._at(z)
        return trace.log_q if self._infers else trace.log_p

    def mean(self) -> dict[str, tf.Tensor]:
        """Each latent's mean where those before it are at their means; a class at its most probable
        value."""
        trace = self._run(Typical(infers=self._infers))
        return {name: site.z for name, site in trace.items()}

    def _at(self, z):
        return self._run(Given(z, infers=self._infers, explains=not self._infers))
