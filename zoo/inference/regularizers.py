"""What an objective subtracts from E_q[log p(x|z)], in nats: parts that any model with latents
takes.

VAE          KL(q(z|x) || p(z))
BetaVAE      beta KL
CapacityVAE  gamma |KL - C|
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.inference.trace import Trace
from zoo.random import RowNoise
from zoo.schedules import Schedule, as_schedule
from zoo.shards import batch_mean

# Nats that are nothing.
TINY = 1e-8
# All latents together, where a regularizer may tell them apart.
ALL = "all latents"


@dataclasses.dataclass(frozen=True)
class Context:
    """What a regularizer may ask for beside the pass.

    Attributes:
        kl_by_latent: Function of a trace: KL(q || p) of each latent by name, nats [B].
        noise: The draws of the batch's rows; None of a pass that draws nothing.
        step: Training steps so far, an int32 scalar.
        num_examples: Number of examples of the data, a float32 scalar.
        terms: What a regularizer reports: name -> nats [B], or a scalar.
    """

    kl_by_latent: Callable[[Trace], Mapping[str, tf.Tensor]]
    noise: RowNoise | None
    step: tf.Tensor
    num_examples: tf.Tensor | None = None
    terms: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)

    def kl(self, trace: Trace) -> tf.Tensor:
        """KL(q || p) of all latents: nats [B]."""
        return tf.add_n(list(self.kl_by_latent(trace).values()))


class Regularizer(keras.layers.Layer):
    """The contract: `nats(trace, context)` gives nats [B], or a scalar where they are the batch's.

    It may have weights of its own. Named parts that it wants to be told go into `context.terms`.
    """

    # Whether it is KL(q || p) itself: the objective is then a bound on log p(x).
    is_kl = False
    # Whether it is a function of means over the batch (`zoo.shards.batch_mean`), or of all of its
    # rows.
    batch_statistics = False
    # Whether it is a function of the number of examples.
    needs_num_examples = False
    # Names of what it puts into `context.terms`.
    reports: tuple[str, ...] = ()

    def check(self, model: keras.Model) -> None:
        """Raises ValueError, with the reason, where the regularizer is not defined for a model."""

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        """What is subtracted from E_q[log p(x|z)]: nats [B] or [].

        Args:
            trace: The pass.
            context: What is known beside it.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="zoo")
class KL(Regularizer):
    """KL(q(z|x) || p(z)): with it the objective is the ELBO. Kingma & Welling, ICLR 2014, eq. 3."""

    is_kl = True

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        return context.kl(trace)


@keras.saving.register_keras_serializable(package="zoo")
class WeightedKL(Regularizer):
    """beta KL(q(z|x) || p(z)). Higgins et al., ICLR 2017, eq. 4.
    https://openreview.net/forum?id=Sy2fzU9gl

    Args:
        beta: Non-negative number, or schedule of the training step.
    """

    def __init__(self, beta: float | Schedule, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta = as_schedule(beta, "beta")

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        return self.beta(context.step) * context.kl(trace)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": keras.saving.serialize_keras_object(self.beta)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WeightedKL":
        return cls(**{**config, "beta": keras.saving.deserialize_keras_object(config["beta"])})


@keras.saving.register_keras_serializable(package="zoo")
class BalancedKL(Regularizer):
    """beta sum_l gamma_l KL_l, with weights that hold back the groups that carry little while beta
    is below 1: a warm-up in which no group of a deep hierarchy dies.

        gamma_l = L r_l / sum_k r_k,    r_l = s_l E[|KL_l|],

    where the mean is over the batch, s_l is the number of elements of latent l, and no gradient
    passes through gamma. From beta = 1 on it is KL(q || p).

    Vahdat & Kautz, "NVAE: a deep hierarchical variational autoencoder", NeurIPS 2020, appendix,
    "balancing the KL". https://arxiv.org/abs/2007.03898

    Args:
        beta: Non-negative number, or schedule of the training step, such as
            `zoo.schedules.Linear(0, 1, num_steps)`.
    """

    batch_statistics = True

    def __init__(self, beta: float | Schedule, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta = as_schedule(beta, "beta")

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        kls = tf.stack([batch_mean(kl) for kl in context.kl_by_latent(trace).values()])  # [L]
        sizes = tf.constant([float(math.prod(site.facts().event_shape)) for site in trace.values()])
        beta = self.beta(context.step)
        shares = tf.stop_gradient(sizes * tf.abs(kls))
        # Of groups that carry nothing yet, all alike.
        balanced = len(trace) * (shares + TINY) / tf.reduce_sum(shares + TINY)
        return beta * tf.reduce_sum(tf.where(beta < 1.0, balanced, 1.0) * kls)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": keras.saving.serialize_keras_object(self.beta)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BalancedKL":
        return cls(**{**config, "beta": keras.saving.deserialize_keras_object(config["beta"])})


@keras.saving.register_keras_serializable(package="zoo")
class Capacity(Regularizer):
    """gamma sum_l |KL_l - C_l|, of the batch's mean KL: single examples may take more nats than C,
    or fewer.

    Burgess et al., "Understanding disentangling in beta-VAE", 2018, eq. 8,
    https://arxiv.org/abs/1804.03599; with a capacity for each latent, Dupont, NeurIPS 2018, eq. 7,
    https://arxiv.org/abs/1804.00104

    Args:
        capacities: C in nats: a non-negative number or a schedule of the training step, for all
            latents together; or a dict of them for each latent by name.
        gamma: What one nat beside the capacity costs.
    """

    batch_statistics = True

    def __init__(
        self,
        capacities: float | Schedule | Mapping[str, float | Schedule],
        gamma: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gamma = validation.non_negative("gamma", gamma)
        by_name = capacities if isinstance(capacities, Mapping) else {ALL: capacities}
        self.capacities = {
            name: as_schedule(capacity, f"capacity of {name}") for name, capacity in by_name.items()
        }

    def check(self, model: keras.Model) -> None:
        unknown = [name for name in self.capacities if name not in (ALL, *model.latents)]
        if unknown:
            raise ValueError(
                f"`capacities` must name latents, {', '.join(model.latents)}. Received: "
                f"{unknown[0]!r}."
            )

    def nats(self, trace: Trace, context: Context) -> tf.Tensor:
        by_latent = context.kl_by_latent(trace)
        by_latent = {ALL: tf.add_n(list(by_latent.values())), **by_latent}
        step = context.step
        return self.gamma * tf.add_n(
            [tf.abs(batch_mean(by_latent[name]) - c(step)) for name, c in self.capacities.items()]
        )

    def get_config(self) -> dict[str, Any]:
        capacities = {
            name: keras.saving.serialize_keras_object(c) for name, c in self.capacities.items()
        }
        return {**super().get_config(), "capacities": capacities, "gamma": self.gamma}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Capacity":
        capacities = {
            name: keras.saving.deserialize_keras_object(c)
            for name, c in config["capacities"].items()
        }
        return cls(**{**config, "capacities": capacities})
