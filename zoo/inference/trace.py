"""What one pass of a model leaves: its latents by name, each with where it was drawn from and where
it comes from."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.random import RowNoise
from zoo.tensors import static_sizes
from zoo.typing import Distribution

tfd = tfp.distributions

T = TypeVar("T")


class Latent(NamedTuple):
    """What is known of a latent before any data are seen.

    Attributes:
        event_shape: Shape of one draw.
        family: Name of the posterior's family in TFP.
        is_class: Whether it is one of K classes, as a one-hot vector.
        is_reparameterized: Whether gradients pass through a draw of q.
        has_analytic_kl: Whether KL(q || p) is a formula.
        has_kl_per_dim: Whether it is one for each dimension.
    """

    event_shape: tuple[int, ...]
    family: str
    is_class: bool
    is_reparameterized: bool
    has_analytic_kl: bool
    has_kl_per_dim: bool


def _left(value: T | None, what: str) -> T:
    """What a pass has left; ValueError where it has left nothing of the kind."""
    if value is None:
        raise ValueError(f"What is asked for needs a pass with {what}. Received: one without.")
    return value


class Site:
    """One latent of one pass.

    Leading dimensions: S samples, or K classes where a class runs over all of its values, before B
    rows. A latent that is given no draw of another one may lack them.

    Attributes:
        posterior: q, the distribution given x and the latents before it.
        prior: p, the distribution given the latents before it in the generative program.
        z: What the program goes on with: float tensor [S, B, *event].
        drawn: The same through which gradients reach the parameters of q, where `z` stops them.
        prior_sees_z: Whether the prior may depend on this latent's own draw, through latents that
            the guide drew after it.

    Raises:
        ValueError: If the posterior is asked for where nothing is inferred, or the prior where
            nobody asked the program for it.
    """

    def __init__(
        self,
        z: tf.Tensor,
        posterior: Distribution | None = None,
        prior: Distribution | None = None,
        drawn: tf.Tensor | None = None,
    ) -> None:
        self.z = z
        self._posterior = posterior
        self._prior = prior
        self.drawn = z if drawn is None else drawn
        self.prior_sees_z = False

    @property
    def posterior(self) -> Distribution:
        return _left(self._posterior, "a posterior")

    @posterior.setter
    def posterior(self, distribution: Distribution) -> None:
        self._posterior = distribution

    @property
    def prior(self) -> Distribution:
        return _left(self._prior, "a prior")

    @prior.setter
    def prior(self, distribution: Distribution) -> None:
        self._prior = distribution

    @functools.cached_property
    def log_q(self) -> tf.Tensor:
        """log q(z|x) at the draw: nats [S, B]."""
        return self.posterior.log_prob(self.z)

    @functools.cached_property
    def log_p(self) -> tf.Tensor:
        """log p(z) at the draw: nats [S, B]."""
        return self.prior.log_prob(self.z)

    @property
    def has_analytic_kl(self) -> bool:
        """Whether KL(q || p) is a formula: TFP knows it, and p does not move with the draw."""
        return not self.prior_sees_z and self._formula is not None

    @functools.cached_property
    def _formula(self) -> tf.Tensor | None:
        """KL(q || p) as TFP knows it, made once for a pass; None where it knows none."""
        try:
            return tfd.kl_divergence(self._posterior, self._prior)
        except NotImplementedError:  # how TFP says so
            return None

    def kl(self, analytic: bool = True) -> tf.Tensor:
        """KL(q || p) in nats: [B], or [S, B] where q or p is given another draw.

        Args:
            analytic: Whether to take the formula where there is one. Otherwise it is log q - log p
                at the draw, whose mean is the KL.
        """
        if analytic and not self.prior_sees_z and self._formula is not None:
            return self._formula
        return self.log_q - self.log_p

    def kl_per_dim(self) -> tf.Tensor:
        """KL of each latent dimension in nats [..., B, D], where both are diagonal normals."""
        q, p = (tfd.Normal(normal.loc, normal.stddev()) for normal in (self.posterior, self.prior))
        return tfd.kl_divergence(q, p)

    @property
    def has_kl_per_dim(self) -> bool:
        """Whether `kl_per_dim` is defined: both are diagonal normals, and p does not move with the
        draw."""
        diagonal = all(
            isinstance(d, tfd.MultivariateNormalDiag) for d in (self._posterior, self._prior)
        )
        return diagonal and not self.prior_sees_z

    def facts(self) -> Latent:
        """What of it holds for every pass."""
        q = self.posterior
        return Latent(
            event_shape=static_sizes(q.event_shape),
            family=_family(q),
            is_class=isinstance(q, tfd.OneHotCategorical),
            is_reparameterized=q.reparameterization_type == tfd.FULLY_REPARAMETERIZED,
            has_analytic_kl=self.has_analytic_kl,
            has_kl_per_dim=self.has_kl_per_dim,
        )


def _family(distribution: Distribution) -> str:
    """The name of its class in TFP: layers add to the class what Keras needs."""
    return next(
        c.__name__
        for c in type(distribution).__mro__
        if c.__module__.startswith("tensorflow_probability")
    )


class Trace(Mapping):
    """The latents of one pass by name, and what they explain. A mapping from name to `Site`.

    Attributes:
        likelihood: p(x|z): batch [S, B], or [K, B].
        terms: What objectives and regularizers report of the pass: name -> nats [B], or a scalar.
        data: The batch that the pass was of, a dict.
        noise: The draws of the batch's rows; None of a pass that draws nothing.
        training: Whether the networks did what they do in training alone.
        enumerated: Name of the class that runs over all K values in the place of samples, or None.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self._likelihood: Distribution | None = None
        self.data: Mapping[str, Any] = {}
        self.noise: RowNoise | None = None
        self.training: bool | None = None
        self.enumerated: str | None = None
        self.terms: dict[str, tf.Tensor] = {}
        self._observed: tuple[tf.Tensor, tf.Tensor | None] | None = None

    def observe(self, x: tf.Tensor, observed: tf.Tensor | None = None) -> None:
        """Says what was seen: x as the likelihood takes it, and 1 where an element of it was seen;
        None where all were."""
        self._observed = x, observed

    @property
    def likelihood(self) -> Distribution:
        return _left(self._likelihood, "a likelihood")

    @likelihood.setter
    def likelihood(self, distribution: Distribution) -> None:
        self._likelihood = distribution

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def z(self) -> tf.Tensor | dict[str, tf.Tensor]:
        """The draw of the only latent, or the draws of several by name."""
        draws = {name: site.z for name, site in self.items()}
        return next(iter(draws.values())) if len(draws) == 1 else draws

    @property
    def posterior(self) -> Distribution:
        """q(z|x) of the only latent."""
        (site,) = self.values()
        return site.posterior

    @property
    def prior(self) -> Distribution:
        """p(z) of the only latent."""
        (site,) = self.values()
        return site.prior

    @property
    def log_q(self) -> tf.Tensor:
        """log q(z|x) of all latents: nats [S, B]."""
        return _sum(site.log_q for site in self.values())

    @property
    def log_p(self) -> tf.Tensor:
        """log p(z) of all latents: nats [S, B]."""
        return _sum(site.log_p for site in self.values())

    @functools.cached_property
    def log_likelihood(self) -> tf.Tensor:
        """log p(x|z) of what was seen: nats [S, B]."""
        x, observed = _left(self._observed, "an x")
        if observed is None:
            return self.likelihood.log_prob(x)
        return self.likelihood.log_prob(x, observed=observed)

    @property
    def log_joint(self) -> tf.Tensor:
        """log p(x, z): nats [S, B]."""
        return self.log_likelihood + self.log_p

    @property
    def log_weights(self) -> tf.Tensor:
        """log p(x, z) - log q(z|x) of each sample: nats [S, B]."""
        return self.log_joint - self.log_q

    def expect(self, values: tf.Tensor) -> tf.Tensor:
        """The mean over what was drawn: over samples, or over classes by q(y|x).

        Args:
            values: [S, B], [K, B], or [B] where they depend on no draw.

        Returns:
            Tensor [B].
        """
        if values.shape.rank < 2:
            return values
        if self.enumerated is None:
            return tf.reduce_mean(values, axis=0)
        return tf.reduce_sum(tf.transpose(self.class_probs) * values, axis=0)

    @property
    def class_probs(self) -> tf.Tensor:
        """q(y|x) of the class that runs over all of its values: [B, K]."""
        name = _left(self.enumerated, "a class that runs over all of its values")
        return self[name].posterior.probs_parameter()


def _sum(values: Iterator[tf.Tensor]) -> tf.Tensor:
    """The sum of tensors [S, B] or [B], which broadcast."""
    total, *others = values
    for value in others:
        total = total + value
    return total
