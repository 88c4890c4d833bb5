"""What the latents of a trained model hold, and whether they hold anything: numbers and a callback
that watches them during training."""

import logging
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import keras
import numpy as np
import tensorflow as tf

from zoo.evaluation.generation import sliced_wasserstein
from zoo.evaluation.likelihood import ACTIVE_VARIANCE
from zoo.inference.handlers import FromPosterior
from zoo.models.base import Model
from zoo.models.latent_variable import LatentVariableModel
from zoo.random import EVALUATION_STEP, RowNoise, Stream, draw

logger = logging.getLogger("zoo")

LOGGED = ("active_units", "kl", "mutual_information", "marginal_kl", "prior_distance")
ROWS = 100  # that go through a model at once
CHUNK = 100  # rows of the N x N table of densities that are held at once


def is_readable(model: Model) -> TypeGuard[LatentVariableModel]:
    """Whether it has one latent vector, and a posterior of it."""
    return list(model.latents) == ["z"] and len(model.latents["z"].event_shape) == 1


def kl_by_latent(
    model: LatentVariableModel, examples: Any, num_examples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """KL(q || p) of each latent, by name in the order in which they are drawn: nats an example.

    Args:
        model: A model with latents.
        examples: x [N, ...], or a dict of data.
        num_examples: How many of them, the first, are looked at.
        seed: Of binarization and latents.
    """
    examples = examples if isinstance(examples, dict) else {model.key: examples}
    data = model.standardize({name: array[:num_examples] for name, array in examples.items()})
    num_rows = len(next(iter(data.values())))

    @tf.function(autograph=False)
    def measure(batch, rows):
        noise = RowNoise(seed, EVALUATION_STEP, rows)
        batch = model.prepare(batch, noise)
        return model.kl_by_latent(model.run(FromPosterior(noise), batch))

    sums = dict.fromkeys(model.latents, 0.0)
    for first in range(0, num_rows, ROWS):
        rows = np.arange(first, min(first + ROWS, num_rows))
        batch = {name: tf.constant(np.asarray(array[rows])) for name, array in data.items()}
        for name, nats in measure(batch, tf.constant(rows, tf.int32)).items():
            sums[name] += float(tf.reduce_sum(nats))
    return {name: total / num_rows for name, total in sums.items()}


class LatentReader:
    """Reads what the latents of a model hold, from a fixed set of examples; traced once.

    Args:
        model: A model with one latent vector: `zoo.VAE` and what changes it, but those with several
            latents.
        examples: x [N, ...], or a dict of data (with "condition" or "label" where the model takes
            one).
        num_examples: How many of them, the first, are looked at.
        seed: Of binarization and latents.

    Raises:
        ValueError: If the model has several latents or none, or there are fewer than two examples.
    """

    def __init__(
        self, model: LatentVariableModel, examples: Any, num_examples: int = 1000, seed: int = 0
    ) -> None:
        if not is_readable(model):
            raise ValueError(
                "Only a model with one latent vector z can be read. Received: "
                f"{type(model).__name__}."
            )
        examples = examples if isinstance(examples, dict) else {model.key: examples}
        data = model.standardize({name: array[:num_examples] for name, array in examples.items()})
        self.data = {name: np.asarray(array) for name, array in data.items()}
        self.num_rows = len(next(iter(self.data.values())))
        if self.num_rows < 2:
            raise ValueError(
                f"At least two {model.observation.noun}s are needed. Received: {self.num_rows}."
            )
        self.model, self.seed = model, seed
        # Not by XLA: a reading takes 40 ms instead of 34, and the first one half the time.
        self._read = tf.function(self._read_batch, autograph=False)

    def _read_batch(self, batch):
        noise = RowNoise(self.seed, EVALUATION_STEP, tf.range(self.num_rows))
        batch = self.model.prepare(batch, noise)
        trace = self.model.run(FromPosterior(noise), batch)
        posterior, prior = trace.posterior, trace.prior
        z = trace["z"].z[0]  # [N, D]
        chunks = [z[first : first + CHUNK] for first in range(0, self.num_rows, CHUNK)]
        # log q(z_i) = log 1/N sum_j q(z_i | x_j)
        log_aggregate = [
            tf.reduce_logsumexp(posterior.log_prob(chunk[:, None]), axis=1) for chunk in chunks
        ]
        aggregate = tf.concat(log_aggregate, axis=0) - tf.math.log(float(self.num_rows))
        other_noise = RowNoise(self.seed + 1, EVALUATION_STEP, tf.range(self.num_rows))
        values = {
            "mean": posterior.mean(),
            "z": z,
            "prior draw": draw(prior, other_noise, Stream.LATENT),
            "kl": self.model.kl(trace),
            "information": posterior.log_prob(z) - aggregate,
        }
        if self.model.has_kl_per_dim:
            values["kl per dimension"] = trace["z"].kl_per_dim()
        return values

    def __call__(self) -> dict[str, Any]:
        """The numbers at the model's present weights.

        Returns:
            Dict of `active_units` (latent dimensions with Var_x E[z] > 0.01) out of `latent_dim`;
            in nats the mean `kl`, and where the posterior is diagonal `kl_per_dim` [D]; its two
            parts, `mutual_information` I(x; z), of which `num_examples` N can show log N at most,
            and the rest, `marginal_kl` = KL(q(z) || p(z)) (for a prior that depends on a condition:
            on average over it); `prior_distance`, the sliced Wasserstein distance between draws of
            q(z) and of p(z); and `noun`, what an example is called.

        Reference:
            Hoffman & Johnson, "ELBO surgery", NIPS workshop on advances in approximate Bayesian
            inference, 2016.
        """
        values = {
            name: value.numpy().astype(np.float64) for name, value in self._read(self.data).items()
        }
        kl, information = values["kl"].mean(), values["information"].mean()
        numbers = {
            "active_units": int((values["mean"].var(axis=0) > ACTIVE_VARIANCE).sum()),
            "latent_dim": math.prod(values["mean"].shape[1:]),
            "num_examples": self.num_rows,
            "noun": self.model.observation.noun,
            "kl": float(kl),
            "mutual_information": float(information),
            "marginal_kl": float(kl - information),
            "prior_distance": sliced_wasserstein(
                values["z"], values["prior draw"], num_directions=100
            ),
        }
        if "kl per dimension" in values:
            numbers["kl_per_dim"] = values["kl per dimension"].mean(axis=0)
        return numbers


def collapse(numbers: Mapping[str, Any]) -> str | None:
    """What says that the posterior has collapsed onto the prior, with what usually helps; or None
    where a latent dimension is active.

    Few nats alone are no collapse: active dimensions that cost 0.1 nats tell examples apart all the
    same, if badly.
    """
    if numbers["active_units"]:
        return None
    return (
        f"Posterior collapse: {numbers['active_units']} of {numbers['latent_dim']} latent "
        f"dimensions are active (variance of posterior means above {ACTIVE_VARIANCE}), and "
        f"KL(q || p) is {numbers['kl']:.3f} nats: the decoder ignores z. What usually helps: "
        "a weight of the KL that rises from 0 (zoo.BetaVAE with beta=zoo.schedules.Linear(0.0, "
        "1.0, steps)), nats that cost nothing (objective=zoo.objectives.FreeBits(...)), a decoder "
        "that starts at the mean of the data (start_at_mean), a lower learning rate."
    )


def collapse_of(model: Model, examples: Any) -> str | None:
    """`collapse` of a model by these examples; None of a model without one latent vector."""
    return collapse(LatentReader(model, examples)()) if is_readable(model) else None


class LatentMonitor(keras.callbacks.Callback):
    """Adds the numbers of `LatentReader` to the logs of every epoch, and says when the posterior
    has collapsed.

    Put it before callbacks that read the logs. `kl_per_dim` of the last epoch stays in the
    attribute `numbers`.

    Args:
        examples: As in `LatentReader`; of the validation data.
        num_examples: How many of them, the first, are looked at: 300 take a few milliseconds.
    """

    model: LatentVariableModel  # that which is trained; Keras's own annotation says less
    _reader: LatentReader  # there once training has begun

    def __init__(self, examples: Any, num_examples: int = 300) -> None:
        super().__init__()
        self.examples, self.num_examples = examples, num_examples
        self.numbers: dict[str, Any] | None = None
        self._told = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._reader = LatentReader(self.model, self.examples, self.num_examples)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.numbers = numbers = self._reader()
        if logs is not None:
            logs |= {
                f"latent_{name}": value
                for name, value in numbers.items()
                if name not in ("latent_dim", "num_examples", "noun", "kl_per_dim")
            }
        message = collapse(numbers)
        if message and not self._told:
            logger.warning(message)
        self._told = message is not None


def most_information(numbers: Mapping[str, Any]) -> str:
    """What bounds the estimate of I(x; z), in words."""
    number = numbers["num_examples"]
    return f"{number:,} {numbers['noun']}s can show {np.log(number):.2f} at most"


def table(numbers: Mapping[str, Any]) -> str:
    """The numbers of `LatentReader` as lines of text."""
    lines = [
        f"{numbers['active_units']:>9} of {numbers['latent_dim']} latent dimensions are active",
        f"{numbers['kl']:>9.3f} nats KL(q(z|x) || p(z)), which are",
        f"{numbers['mutual_information']:>9.3f} nats of information about the {numbers['noun']} "
        f"({most_information(numbers)}) and",
        f"{numbers['marginal_kl']:>9.3f} nats KL(q(z) || p(z)), between the aggregate "
        "posterior and the prior",
        f"{numbers['prior_distance']:>9.3f} sliced Wasserstein distance between their draws",
    ]
    if "kl_per_dim" in numbers:
        ordered = np.sort(numbers["kl_per_dim"])[::-1]
        nats = " ".join(f"{value:.2f}" for value in ordered)
        lines.append(f"          KL by dimension, nats: {nats}")
    return "\n".join(lines)
