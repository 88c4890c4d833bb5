"""What was not seen, given what was: by importance samples of q(z|x).

    p(x_missing | x_observed) = E[p(x_missing | z)] over p(z | x_observed)
                             ~= sum_s w_s p(x_missing | z_s),    z_s ~ q(z | x_observed),
                                w_s proportional to p(x_observed | z_s) p(z_s) / q(z_s | x_observed)

Mattei & Frellsen, "MIWAE: deep generative modelling and imputation of incomplete data sets", ICML
2019. https://arxiv.org/abs/1812.02633
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from zoo import validation
from zoo.inference.handlers import FromPosterior, Given
from zoo.inference.trace import Trace
from zoo.models.answers import SCORE_SAMPLES, SEED, Answer, row_noise
from zoo.models.importance_sampling import ImportanceSampling, chunks_of_rows, least_of
from zoo.observations.base import is_symbolic
from zoo.random import RowNoise, Stream, draw
from zoo.tensors import static_sizes
from zoo.validation import shown

# Importance samples that are weighed at once, and draws that are completed at once: with few, the
# 64 of an export are one chunk, so that it answers what `impute` does.
SAMPLE_CHUNKS = (8, SCORE_SAMPLES)
# Draws that the ends of an interval are taken from: those of 0.9 are the 50th from below and above.
INTERVAL_DRAWS = 999
INTERVAL = 0.9


class Imputation(NamedTuple):
    """Rows whose gaps are filled, each in the form in which x was handed in; what was seen is what
    it was.

    Attributes:
        imputed: The mean of p(x_missing | x_observed); of a class the most probable one.
        lower, upper: The ends of the interval that holds as much of it as was asked for, with half
            of the rest on either side. Classes have no order: theirs is the most probable one.
        draws: Rows filled by draws of p(x_missing | x_observed), one for each draw asked for:
            the data sets of multiple imputation.
        probabilities: The probability of the most probable class, float32 [B, *shape of x]; NaN of
            numbers, and 1 of a class that was seen.
    """

    imputed: Any
    lower: Any
    upper: Any
    draws: tuple[Any, ...]
    probabilities: tf.Tensor


class Filled(NamedTuple):
    """The same, but for the draws, as outcomes of the likelihood: [B, *shape] each."""

    imputed: tf.Tensor
    lower: tf.Tensor
    upper: tf.Tensor
    probabilities: tf.Tensor


class Weighed(NamedTuple):
    """Sums over importance samples, as a pass in chunks remembers them.

    Attributes:
        log_sum: log sum_s w_s, nats [B].
        statistics: Mean by the weights of what is averaged over samples, [B, *statistics_shape].
        latents: Draws of the latents by the weights, name -> [R, B, *event].
    """

    log_sum: tf.Tensor
    statistics: tf.Tensor
    latents: dict[str, tf.Tensor]


class Imputing(ImportanceSampling):
    """What models with latents say of values that were not seen."""

    _imputing_of_mode = None  # (execution mode, two compiled functions)

    def impute(
        self,
        x: Any,
        num_samples: int = 1000,
        *,
        draws: int = 0,
        interval: float = INTERVAL,
        condition: Any = None,
        seed: int = 0,
    ) -> Imputation:
        """Fills the gaps of x by p(x_missing | x_observed).

        The mean is a self-normalized importance estimate. Draws are of z by the weights (sampling
        importance resampling), and of x given that z. An interval's ends are order statistics of
        the draws, of 999 at least.

        A row is a function of what was seen of it and of (seed, its number). Rows, samples and
        draws go through in chunks, so that memory is bounded and a few compiled programs serve any
        number of them.

        Args:
            x: Rows [B, ...] with NaN for what was not seen, or a dict of data.
            num_samples: S, importance samples.
            draws: R, data sets of multiple imputation.
            interval: How much of p(x_missing | x_observed) lies between `lower` and `upper`.
            condition: [B, ...], of a conditional model.
            seed: Of all draws.

        Raises:
            ValueError: If an argument is out of range, or the model's observation has no gaps.

        Reference:
            Mattei & Frellsen, ICML 2019, of single and multiple imputation.
            https://arxiv.org/abs/1812.02633
        """
        self.assert_gaps()
        num_samples, seed = validation.integer("num_samples", num_samples), validation.seed(seed)
        draws = validation.integer("draws", draws, least=0)
        if not validation.is_number(interval) or not 0 < interval < 1:
            raise ValueError(
                "`interval` must be a number between 0 and 1. Received: "
                f"interval={shown(interval)}."
            )
        data = self.as_data(x, condition)
        x = self._x_of(x) if self._is_data(x) else x
        if is_symbolic(data[self.key]):
            noise = RowNoise.of_seed(seed, tf.shape(data[self.key])[0])
            filled, drawn = self._impute_at_once(data, noise, num_samples, draws, interval)
        else:
            filled, drawn = self._impute(data, seed, num_samples, draws, interval)
        fill = functools.partial(self.observation.fill, x)
        return Imputation(
            imputed=fill(filled.imputed),
            lower=fill(filled.lower),
            upper=fill(filled.upper),
            draws=tuple(map(fill, tf.unstack(drawn))),
            probabilities=filled.probabilities,
        )

    def _impute(self, data, seed, num_samples, draws, interval):
        """The filled rows and as many draws, [R, B, *shape]: rows, samples and draws in chunks."""
        weigh, complete = self._compiled_imputing()
        num_draws = max(draws, INTERVAL_DRAWS)
        seed, chunk = tf.constant(seed, tf.uint32), least_of(SAMPLE_CHUNKS, num_samples)
        parts = []
        for part, rows, num_rows in chunks_of_rows(data, len(data[self.key])):
            sums = weigh(part, seed, rows, tf.constant(num_samples), chunk, num_draws)
            drawn = []
            for first in range(0, num_draws, SAMPLE_CHUNKS[-1]):
                # The last chunk is filled up; its surplus is cut off below.
                numbers = tf.minimum(first + tf.range(SAMPLE_CHUNKS[-1]), num_draws - 1)
                latents = {name: tf.gather(z, numbers) for name, z in sums.latents.items()}
                drawn.append(complete(part, seed, rows, latents, tf.constant(first)))
            drawn = tf.concat(drawn, axis=0)[:num_draws]
            filled = self._filled(part, sums.statistics, drawn, interval)
            parts.append((*(values[:num_rows] for values in filled), drawn[:draws, :num_rows]))
        *filled, drawn = zip(*parts, strict=True)
        return Filled(*(tf.concat(values, axis=0) for values in filled)), tf.concat(drawn, axis=1)

    def _impute_at_once(self, data, noise, num_samples, draws, interval):
        """The same without chunks and loops."""
        num_draws = max(draws, INTERVAL_DRAWS)
        sums = self._none_weighed(tf.shape(data[self.key])[0], num_draws)
        sums = self._weigh_chunk(sums, data, noise, 0, num_samples, num_samples)
        drawn = self.completions(sums.latents, data, noise, num_draws)
        return self._filled(data, sums.statistics, drawn, interval), drawn[:draws]

    def assert_gaps(self) -> None:
        """Raises ValueError where x may have no gaps."""
        if not self.observation.missing:
            raise ValueError(
                "Values can be missing where the observation may have gaps: pass "
                "`observation=zoo.observations.Vector(30, missing=True)`. Received: "
                f"a model of {type(self.observation).__name__} without."
            )

    def importance_weighted_imputation(
        self,
        x: Any,
        noise: RowNoise,
        num_samples: int,
        condition: Any = None,
        interval: float = INTERVAL,
    ) -> Filled:
        """As `impute`, all samples at once and without a loop: what an exported signature holds."""
        data = self.as_data(x, condition)
        return self._impute_at_once(data, noise, num_samples, 0, interval)[0]

    def answers(self) -> dict[str, Answer]:
        if not self.observation.missing:
            return super().answers()

        def impute(seed, condition=None, **x):
            observation = self.observation
            filled = self.importance_weighted_imputation(
                observation.of_served(x), row_noise(seed), SCORE_SAMPLES, condition
            )
            outputs = {}
            for name in ("imputed", "lower", "upper"):
                outputs |= observation.to_served(name, filled._asdict()[name])
            return outputs

        inputs = self.observation.spec() | SEED | self.condition.spec()
        return {**super().answers(), "impute": Answer(impute, inputs)}

    # -- What a family may say otherwise

    def statistics(self, trace: Trace) -> tf.Tensor:
        """What is averaged over the samples of a pass, [S, B, *statistics_shape]: of p(x|z), as its
        layer knows."""
        return self.likelihood_layer.statistics(trace.likelihood)

    def completions(
        self,
        latents: Mapping[str, tf.Tensor],
        data: Mapping[str, tf.Tensor],
        noise: RowNoise,
        num_draws: int,
        first_draw: int | tf.Tensor = 0,
    ) -> tf.Tensor:
        """A draw of p(x|z) for each draw of the latents [R, B, *event]: [R, B, *shape]."""
        trace = self.run(Given(latents, infers=False, explains=False), data)
        return draw(trace.likelihood, noise, Stream.PIXEL, num_draws, first_draw)

    # -- Weights

    def _compiled_imputing(self):
        # `compile` may have chosen another.
        if self._imputing_of_mode is None or self._imputing_of_mode[0] != self.execution:
            jit = self.execution == "xla-block"
            functions = (
                tf.function(function, jit_compile=jit, autograph=False)
                for function in (self._weigh, self._complete)
            )
            self._imputing_of_mode = self.execution, tuple(functions)
        return self._imputing_of_mode[1]

    def _complete(self, data, seed, rows, latents, first):
        return self.completions(latents, data, RowNoise(seed, 0, rows), SAMPLE_CHUNKS[-1], first)

    def _weigh(self, data, seed, rows, num_samples, chunk, num_draws):
        noise = RowNoise(seed, 0, rows)

        def body(first, sums):
            return first + chunk, self._weigh_chunk(sums, data, noise, first, chunk, num_samples)

        _, sums = tf.while_loop(
            lambda first, sums: first < num_samples,
            body,
            (tf.constant(0), self._none_weighed(tf.shape(rows)[0], num_draws)),
            parallel_iterations=1,
        )
        return sums

    def _none_weighed(self, num_rows, num_draws):
        latents = {
            name: tf.zeros([num_draws, num_rows, *facts.event_shape])
            for name, facts in self.latents.items()
        }
        statistics = tf.zeros([num_rows, *self.likelihood_layer.statistics_shape])
        return Weighed(tf.fill([num_rows], -math.inf), statistics, latents)

    def _weigh_chunk(self, sums, data, noise, first, chunk, num_samples):
        """The sums with the samples first ... first + chunk - 1 included, as far as there are as
        many."""
        trace = self.run(FromPosterior(noise, chunk, first), data)
        size = tf.minimum(chunk, num_samples - first)
        counts = (tf.range(chunk) < size)[:, None]
        log_weights = tf.where(counts, trace.log_weights, -math.inf)  # [S, B]
        log_sum = tf.reduce_logsumexp(tf.concat([sums.log_sum[None], log_weights], axis=0), axis=0)
        shares, kept = tf.exp(log_weights - log_sum), tf.exp(sums.log_sum - log_sum)
        values = self.statistics(trace)
        statistics = _times(kept, sums.statistics) + tf.reduce_sum(_times(shares, values), axis=0)
        # Each draw so far stays with the probability of its share, and otherwise becomes one of
        # these samples by theirs. A chunk has uniform numbers of its own.
        num_draws = next(iter(sums.latents.values())).shape[0]
        of_chunk = dataclasses.replace(noise, step=first)
        u = of_chunk.uniform(Stream.RESAMPLE, (1,), num_draws)[..., 0]  # [R, B]
        edges = tf.transpose(kept + tf.cumsum(shares, axis=0))  # [B, S]
        chosen = tf.searchsorted(edges, tf.transpose(u), side="right")  # [B, R]
        # Where the sum of all shares was rounded below 1, u may lie beyond it.
        chosen = tf.minimum(chosen, size - 1)
        latents = {
            name: _chosen(z, trace[name].z, chosen, u < kept) for name, z in sums.latents.items()
        }
        return Weighed(log_sum, statistics, latents)

    def _filled(self, data, statistics, drawn, interval):
        typical, probabilities = self.likelihood_layer.typical(statistics)
        is_number = tf.math.is_nan(probabilities)
        lower, upper = (tf.where(is_number, end, typical) for end in interval_of(drawn, interval))
        x, seen = data[self.key], data["observed"] > 0
        imputed, lower, upper = (tf.where(seen, x, v) for v in (typical, lower, upper))
        return Filled(imputed, lower, upper, tf.where(seen & ~is_number, 1.0, probabilities))


def interval_of(draws: tf.Tensor, interval: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The ends of the interval that holds `interval` of what was drawn.

    They are the draws of ranks k and R + 1 - k, with k = (R + 1) (1 - interval) / 2 rounded down:
    another draw lies between them with a probability of 1 - 2 k / (R + 1).

    Args:
        draws: [R, ...].
        interval: In (0, 1).

    Returns:
        Lower and upper end, [...] each.
    """
    num_draws = static_sizes(draws.shape[:1])[0]
    rank = max(1, math.floor((num_draws + 1) * (1.0 - interval) / 2.0 + 1e-6))
    # The ends alone are looked for, not the order of all.
    last = tf.transpose(draws, [*range(1, draws.shape.rank), 0])
    upper = tf.math.top_k(last, rank).values[..., -1]
    lower = -tf.math.top_k(-last, rank).values[..., -1]
    return lower, upper


def _times(weights, values):
    """Weights [..., B] times values [..., B, *event]."""
    for _ in range(values.shape.rank - weights.shape.rank):
        weights = tf.expand_dims(weights, -1)
    return weights * values


def _chosen(before, samples, numbers, stays):
    """Draws [R, B, *event] of which those that do not stay become samples [S, B, *event] of these
    numbers [B, R]."""
    swapped = [1, 0, *range(2, samples.shape.rank)]
    new = tf.gather(tf.transpose(samples, swapped), numbers, batch_dims=1)
    new = tf.transpose(new, swapped)
    for _ in range(new.shape.rank - stays.shape.rank):
        stays = tf.expand_dims(stays, -1)
    return tf.where(stays, before, new)
