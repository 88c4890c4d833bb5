"""Who draws a model's latents: from the posterior, from the prior, or not at all.

A model names each latent once, in the order of its program:

    z = latent(
        "z", prior=lambda: self.prior(condition), posterior=lambda: self.encode(x, condition)
    )

and never asks where `z` comes from. What `latent` is decides that, and builds no distribution that
it does not need: inference calls both functions, generation the first alone. Each pass takes a new
one; its `trace` then holds what was drawn.

The idea is that of effect handlers in Pyro and NumPyro (Bingham et al., JMLR 20, 2019; Phan,
Pradhan & Jankowiak, 2019, https://arxiv.org/abs/1912.11554).
"""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.inference.trace import Site, Trace
from zoo.random import RowNoise, Stream, draw, gumbel
from zoo.tensors import static_sizes
from zoo.typing import Distribution
from zoo.validation import shown

tfd = tfp.distributions

Builder = Callable[[], Distribution]


class Handler:
    """The contract: `latent(name, prior, posterior)` gives the draw of a latent.

    Where q factorizes in another order than p, a model has a guide, which names the latents with
    their posteriors and runs first; the program then gets what the guide drew, and adds the priors.

    Raises:
        ValueError: If a latent is named twice, or by the program alone where the guide draws.
    """

    # Whether posteriors and priors are built.
    infers = True
    explains = True

    def __init__(self) -> None:
        self.trace = Trace()
        self._named_by_program: list[str] | None = None  # None while posteriors are named

    def __call__(
        self, name: str, prior: Builder | None = None, posterior: Builder | None = None
    ) -> tf.Tensor:
        if self._named_by_program is not None:
            return self._of_guide(name, prior, self._named_by_program)
        if name in self.trace:
            raise ValueError(
                f"Each latent is named once in a pass. Received: {name!r} a second time."
            )
        q = posterior() if self.infers and posterior is not None else None
        p = prior() if self.explains and prior is not None else None
        if q is None and self.infers:
            raise ValueError(f"Latent {name!r} has no posterior to be inferred by. Received: none.")
        site = self.site(name, q, p)
        self.trace.sites[name] = site
        return site.z

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        """The latent as this pass draws it."""
        raise NotImplementedError

    def now_explain(self) -> None:
        """Between the guide and the program: the draws are there, the priors are not."""
        self._named_by_program = []

    def assert_all_explained(self) -> None:
        """Raises ValueError where the program has left out a latent that the guide drew."""
        if self._named_by_program is None:
            return
        missing = [name for name in self.trace if name not in self._named_by_program]
        if missing:
            raise ValueError(
                "The program must name each latent that the guide draws. "
                f"Received: none for {missing[0]!r}."
            )

    def _of_guide(self, name, prior, named):
        if name not in self.trace:
            raise ValueError(
                "The guide must draw each latent that the program names. "
                f"Received: none for {name!r}."
            )
        if name in named:
            raise ValueError(
                f"Each latent is named once in a pass. Received: {name!r} a second time."
            )
        site, order = self.trace[name], list(self.trace)
        if self.explains:
            site.prior = prior()
        # The prior is given what the program has named before; of that, the guide may have drawn
        # some from `z`.
        site.prior_sees_z = any(order.index(other) > order.index(name) for other in named)
        named.append(name)
        return site.z

    @property
    def number(self) -> int:
        """The number of the latent that is drawn next: its place among those of the pass. Keys of
        draws hold it."""
        return len(self.trace)


class FromPosterior(Handler):
    """Inference: z ~ q, S samples of each latent.

    Args:
        noise: `RowNoise` of B rows.
        num_samples: S.
        first_sample: Number of the first sample.
        leaf: Function of a draw that gives what the program goes on with: `tf.stop_gradient`, or
            what watches it besides. The draw itself by default.
    """

    def __init__(
        self,
        noise: RowNoise,
        num_samples: int = 1,
        first_sample: int | tf.Tensor = 0,
        leaf: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.noise = self.trace.noise = noise
        self.num_samples = num_samples
        self.first_sample = first_sample
        self.leaf = leaf

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        noise = self.noise.of_latent(self.number)
        z = draw(posterior, noise, Stream.LATENT, self.num_samples, self.first_sample)
        return Site(z if self.leaf is None else self.leaf(z), posterior, prior, drawn=z)


class FromPrior(Handler):
    """Generation: z ~ p; posteriors are never built.

    Args:
        noise: `RowNoise` of B rows.
        num_samples: S, or None for one draw without that dimension.
        first_sample: Number of the first sample.
        temperatures: Name -> what the scale of a normal latent is multiplied by, 1 where it is not
            named. Below 1, draws are nearer to the mode, and less diverse.

    Raises:
        ValueError: If a latent that has a temperature is not normal.
    """

    infers = False

    def __init__(
        self,
        noise: RowNoise,
        num_samples: int | None = None,
        first_sample: int | tf.Tensor = 0,
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.noise = self.trace.noise = noise
        self.num_samples = num_samples
        self.first_sample = first_sample
        self.temperatures = temperatures or {}

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        noise = self.noise.of_latent(self.number)
        z = draw(prior, noise, Stream.LATENT, self.num_samples, self.first_sample)
        temperature = self.temperatures.get(name, 1.0)
        return Site(z if temperature == 1.0 else _at(temperature, z, prior, name), prior=prior)


def _at(temperature, z, prior, name):
    """A draw of a normal latent whose scale is multiplied by a temperature."""
    if not _is_normal(prior):
        raise ValueError(
            f"Normal latents have a temperature. Received: a temperature of {temperature:g} for "
            f"{name!r}, which is drawn from a {prior.name}."
        )
    mean = prior.mean()
    return mean + temperature * (z - mean)


def _is_normal(distribution):
    if isinstance(distribution, tfd.Independent):
        return _is_normal(distribution.distribution)
    return isinstance(distribution, tfd.Normal | tfd.MultivariateNormalLinearOperator)


class EveryClass(Handler):
    """Inference in which a class runs over all K of its values, in the place of samples.

    The others are drawn once for each class, by the same noise.

    Args:
        noise: `RowNoise` of B rows.
        name: The class.
    """

    def __init__(self, noise: RowNoise, name: str) -> None:
        super().__init__()
        self.noise = self.trace.noise = noise
        self.trace.enumerated = name

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        if name == self.trace.enumerated:
            return Site(every_class(posterior, tf.shape(self.noise.rows)[0]), posterior, prior)
        return Site(
            draw(posterior, self.noise.of_latent(self.number), Stream.LATENT), posterior, prior
        )


def every_class(posterior: Distribution, num_rows: int | tf.Tensor) -> tf.Tensor:
    """All outcomes of a class for each row, one-hot: [K, B, K]."""
    (num_classes,) = static_sizes(posterior.event_shape)
    classes = tf.broadcast_to(tf.eye(num_classes)[:, None], [num_classes, num_rows, num_classes])
    return tf.ensure_shape(classes, [num_classes, None, num_classes])


class Relaxed(Handler):
    """Inference with one draw of each latent, where a class is a point of the simplex:
    softmax((logits + Gumbel) / temperature).

    Args:
        noise: `RowNoise` of B rows.
        name: The class.
        temperature: Positive number, or scalar tensor.
    """

    explains = False

    def __init__(self, noise: RowNoise, name: str, temperature: float | tf.Tensor) -> None:
        super().__init__()
        self.noise = self.trace.noise = noise
        self.name = name
        self.temperature = temperature

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        noise = self.noise.of_latent(self.number)
        if name != self.name:
            return Site(draw(posterior, noise, Stream.LATENT), posterior)
        return Site(relaxed(posterior, noise, self.temperature), posterior)


def relaxed(posterior: Distribution, noise: RowNoise, temperature: float | tf.Tensor) -> tf.Tensor:
    """A point of the simplex for each row, drawn near the outcomes of a class: [B, K]."""
    noisy = posterior.logits_parameter() + gumbel(noise, Stream.LATENT, posterior.event_shape)
    return tf.nn.softmax(noisy / temperature)


class Typical(Handler):
    """No draws: each latent at its mean given those before it, and a class at its most probable
    value.

    Args:
        infers: Whether by the posteriors; by the priors otherwise.
    """

    def __init__(self, *, infers: bool = True) -> None:
        super().__init__()
        self.infers, self.explains = infers, not infers

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        return Site(typical(posterior if self.infers else prior), posterior, prior)


def typical(distribution: Distribution) -> tf.Tensor:
    """The mean; of a class the most probable value, one-hot."""
    mean = distribution.mean()
    if isinstance(distribution, tfd.OneHotCategorical):
        return tf.one_hot(tf.argmax(mean, axis=-1), mean.shape[-1])
    return mean


class Given(Handler):
    """Values that are there already: to score them, or to go on from them.

    Args:
        values: Name -> tensor [..., B, *event].
        infers, explains: Which distributions to build.
    """

    def __init__(
        self, values: Mapping[str, tf.Tensor], *, infers: bool = True, explains: bool = True
    ) -> None:
        super().__init__()
        self.values = values
        self.infers, self.explains = infers, explains

    def site(self, name: str, posterior: Distribution | None, prior: Distribution | None) -> Site:
        if name not in self.values:
            received = shown(list(self.values))
            raise ValueError(
                f"Every latent needs a value. Received: {received}, and none for {name!r}."
            )
        return Site(self.values[name], posterior, prior)
