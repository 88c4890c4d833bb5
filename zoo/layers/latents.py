"""Several latents by name: one distribution over all of them."""

import itertools

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.random import Stream, draw

tfd = tfp.distributions


class Latents:
    """A joint distribution in which each latent is given those before it, as in q(z1, z2|x) = q(z1|x) q(z2|z1).

    An outcome is a dict from name to tensor [..., B, *event_shape]. It has what models ask of a distribution.

    Args:
        parts: Name -> `tfd.Distribution`, or function from the dict of all earlier outcomes to one.
    """

    def __init__(self, **parts):
        self.parts = parts
        self._computed = {}  # name -> (the latents before it, the distribution given them)

    def given(self, name, z=None):
        """The distribution of latent `name`, where the latents before it are those of `z`.

        Asked again with the same tensors it is the same distribution: a network with dropout scores what it drew.
        """
        part = self.parts[name]
        if not callable(part):
            return part
        before = [z[parent] for parent in itertools.takewhile(lambda other: other != name, self.parts) if parent in z]
        parents, distribution = self._computed.get(name, ((), None))
        if distribution is None or len(parents) != len(before) or any(a is not b for a, b in zip(parents, before, strict=True)):
            distribution = part(z)
            self._computed[name] = before, distribution
        return distribution

    def log_prob(self, z):
        """Nats [..., B]: the sum over latents."""
        return tf.add_n([self.given(name, z).log_prob(z[name]) for name in self.parts])

    def mean(self):
        """Each latent's mean where those before it are at their means: a dict."""
        z = {}
        for name in self.parts:
            z[name] = self.given(name, z).mean()
        return z

    @property
    def reparameterization_type(self):
        """Fully reparameterized if every latent is."""
        z = self.mean()
        types = {self.given(name, z).reparameterization_type for name in self.parts}
        return types.pop() if len(types) == 1 else tfd.NOT_REPARAMETERIZED


@draw.register(Latents)
def draw_latents(distribution, noise, stream=Stream.LATENT, num_samples=None, first_sample=0):
    z = {}
    for number, name in enumerate(distribution.parts):
        z[name] = draw(distribution.given(name, z), noise.of_latent(number), stream, num_samples, first_sample)
    return z
