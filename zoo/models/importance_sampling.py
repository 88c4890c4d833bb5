"""log p(x) by importance samples of q(z|x): a bound that tightens with their number."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from zoo import validation
from zoo.inference import WeightSums, importance_weighted_bound
from zoo.inference.handlers import FromPosterior
from zoo.models.base import Model
from zoo.observations.base import is_symbolic
from zoo.random import RowNoise

# `log_prob` goes through rows and importance samples in chunks of one of these sizes: a compiled
# program serves each pair.
ROW_CHUNKS = (1, 4, 16, 64, 128)
MOST_SAMPLES = 32
SAMPLE_CHUNKS = (1, 8, MOST_SAMPLES)


class ImportanceSampling(Model):
    """What models with latents say of log p(x); a subclass defines `run`."""

    _log_prob_of_mode = None  # (execution mode, compiled function)

    def log_prob(
        self, x: Any, num_samples: int = 64, condition: Any = None, seed: int = 0
    ) -> tf.Tensor:
        """Importance-weighted bound on log p(x|c), in nats [B]; it tightens with `num_samples`.

        Rows and samples go through in chunks, so that memory is bounded and a few compiled programs
        serve any number of either.

        Raises:
            ValueError: If an argument is out of range, or x has no log-probability under the
                likelihood (grey levels under Bernoulli).
        """
        num_samples, seed = validation.integer("num_samples", num_samples), validation.seed(seed)
        data = self.as_data(x, condition)
        self.observation.assert_outcomes(data)
        x = data[self.key]
        if is_symbolic(x):
            return self._log_prob(
                data,
                tf.constant(seed, tf.uint32),
                tf.range(tf.shape(x)[0]),
                num_samples,
                min(num_samples, MOST_SAMPLES),
            )
        chunk, bounds = least_of(SAMPLE_CHUNKS, num_samples), []
        for part, rows, num_rows in chunks_of_rows(data, len(x)):
            bound = self._compiled_log_prob(
                part, tf.constant(seed, tf.uint32), rows, tf.constant(num_samples), chunk
            )
            bounds.append(bound[:num_rows])
        return tf.concat(bounds, axis=0)

    def _compiled_log_prob(self, *arguments):
        # `compile` may have chosen another.
        if self._log_prob_of_mode is None or self._log_prob_of_mode[0] != self.execution:
            function = tf.function(
                self._log_prob, jit_compile=self.execution == "xla-block", autograph=False
            )
            self._log_prob_of_mode = self.execution, function
        return self._log_prob_of_mode[1](*arguments)

    def _log_prob(self, data, seed, rows, num_samples, chunk):
        sums, _ = self.importance_sums(data, RowNoise(seed, 0, rows), num_samples, chunk)
        return sums.log_mean(num_samples)

    def importance_weighted_log_prob(
        self, x: Any, noise: RowNoise, num_samples: int, condition: Any = None
    ) -> tf.Tensor:
        """As `log_prob`, all samples at once and without a loop: what an exported signature
        holds."""
        trace = self.run(FromPosterior(noise, num_samples), self.as_data(x, condition))
        return importance_weighted_bound(trace.log_weights)

    def importance_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        noise: RowNoise,
        num_samples: int | tf.Tensor,
        chunk: int = MOST_SAMPLES,
    ) -> tuple[WeightSums, tf.Tensor]:
        """Sums over importance samples from q, `chunk` at a time.

        Args:
            batch: Dict of x as the likelihood takes it, float32 [B, ...], and what stands beside
                it.
            noise: `RowNoise` of B rows.
            num_samples: S, any positive integer, or a tensor of one.
            chunk: Samples held in memory at once; no more than S where that is a Python integer.

        Returns:
            `WeightSums` of S samples, and the sum over samples of log p(x|z), nats [B].
        """
        if not isinstance(num_samples, tf.Tensor):
            chunk = min(chunk, num_samples)

        def body(first, log_sum, log_sum_squares, log_likelihood_sum):
            trace = self.run(FromPosterior(noise, chunk, first), batch)
            # The last chunk may reach past S.
            mask = (first + tf.range(chunk) < num_samples)[:, None]
            sums = WeightSums(log_sum, log_sum_squares).add(
                tf.where(mask, trace.log_weights, -float("inf"))
            )
            log_likelihood_sum += tf.reduce_sum(tf.where(mask, trace.log_likelihood, 0.0), axis=0)
            return (first + chunk, *sums, log_likelihood_sum)

        num_rows = tf.shape(batch[self.key])[0]
        state = (tf.constant(0), *WeightSums.empty(num_rows), tf.zeros([num_rows]))
        _, *sums, log_likelihood_sum = tf.while_loop(
            lambda first, *_: first < num_samples, body, state, parallel_iterations=1
        )
        return WeightSums(*sums), log_likelihood_sum


def chunks_of_rows(
    data: Mapping[str, tf.Tensor], num_rows: int
) -> Iterator[tuple[dict[str, tf.Tensor], tf.Tensor, int]]:
    """Data [N, ...] in chunks of one of the sizes `ROW_CHUNKS`, the last filled up with its last
    row.

    Yields:
        The chunk, the numbers of its rows, and how many of them are no filling.
    """
    for first in range(0, num_rows, ROW_CHUNKS[-1]):
        size = min(ROW_CHUNKS[-1], num_rows - first)
        rows = first + tf.minimum(tf.range(least_of(ROW_CHUNKS, size)), size - 1)
        yield {name: tf.gather(values, rows) for name, values in data.items()}, rows, size


def least_of(sizes: Sequence[int], number: int) -> int:
    """The least of increasing sizes that `number` things fit into; the greatest where they fit into
    none."""
    return next((size for size in sizes if size >= number), sizes[-1])
