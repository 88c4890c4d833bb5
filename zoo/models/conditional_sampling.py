"""Rows of a table that have some values: draws of p(x_other | x_given).

    p(x_other | x_given) = E[p(x_other | z)] over p(z | x_given)
                        ~= sum_s w_s p(x_other | z_s),   z_s ~ p(z),
                           w_s proportional to p(x_given | z_s)

The prior proposes, not q(z|x): a posterior that was trained on whole rows knows nothing of rows of
which a column or two are seen.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo import validation
from zoo.inference.handlers import FromPrior
from zoo.models.importance_sampling import chunks_of_rows
from zoo.models.imputation import Imputing
from zoo.observations import Table
from zoo.random import RowNoise, Stream


class ConditionalSampling(Imputing):
    """What models of tables draw where some of a row is given."""

    _drawing_of_mode = None  # (execution mode, compiled function)

    def sample_given(
        self, num_rows: int, given: Mapping[str, Any], *, num_samples: int = 256, seed: int = 0
    ) -> Any:
        """`num_rows` draws of p(x | some of its columns), as a DataFrame.

        Each row draws z from `num_samples` proposals of the prior by how probable they make what is
        given (sampling importance resampling), and the other columns given that z: exact as
        `num_samples` grows. Row i is a function of (seed, i).

        Args:
            num_rows: N.
            given: Column -> value, such as {"income": ">50K"}.
            num_samples: Proposals of each row; more where what is given is rare.
            seed: Of all draws.

        Raises:
            ValueError: If the model is not of tables, or takes a condition; there is no such
                column; or an argument is out of range.
        """
        if not isinstance(self.observation, Table) or self.condition_shape is not None:
            raise ValueError(
                "Columns are given to models of tables without a condition. Received: "
                f"{type(self).__name__} of {self.observation.noun}s."
            )
        num_rows = validation.integer("num_rows", num_rows)
        num_samples, seed = validation.integer("num_samples", num_samples), validation.seed(seed)
        data = self.as_data(self.observation.rows_given(given, num_rows))
        if self._drawing_of_mode is None or self._drawing_of_mode[0] != self.execution:
            jit = self.execution == "xla-block"
            function = tf.function(self._draw_given, jit_compile=jit, autograph=False)
            self._drawing_of_mode = self.execution, function
        parts = [
            self._drawing_of_mode[1](part, tf.constant(seed, tf.uint32), rows, num_samples)[:size]
            for part, rows, size in chunks_of_rows(data, num_rows)
        ]
        return self.observation.to_user(tf.concat(parts, axis=0))

    def _draw_given(self, data, seed, rows, num_samples):
        noise = RowNoise(seed, 0, rows)
        trace = self.run(FromPrior(noise, num_samples), data)
        shares = tf.nn.softmax(trace.log_likelihood, axis=0)  # [S, B]
        u = noise.uniform(Stream.RESAMPLE, ())  # [B]
        below = tf.cast(tf.cumsum(shares, axis=0) <= u, tf.int32)
        # Where the sum of all shares was rounded below 1, u may lie beyond it.
        chosen = tf.minimum(tf.reduce_sum(below, axis=0), num_samples - 1)
        latents = {
            name: tf.gather(tf.einsum("sb...->bs...", site.z), chosen, batch_dims=1)[None]
            for name, site in trace.items()
        }
        drawn = self.completions(latents, data, noise, 1)[0]
        return tf.where(data["observed"] > 0, data[self.key], drawn)
