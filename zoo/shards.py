"""A batch as the parts of it that replicas take.

Losses are sums over a replica's rows divided by the size of the whole batch, and statistics of a
batch are those of the whole: so replicas together take the step that one device takes on the whole
batch.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tensorflow as tf


class _Current(threading.local):
    """The shard that is being traced: replicas of one process trace in threads of their own."""

    shard: "Shard | None" = None


_current = _Current()


class Shard(NamedTuple):
    """A replica's rows of a batch.

    Attributes:
        rows: Int32 tensor [b]: their numbers in the whole batch.
        weights: Float32 tensor [b], 0 where a row only fills the shape; None where all count.
        size: Number of rows of the whole batch that count.
        num_replicas: Number of shards.
    """

    rows: tf.Tensor
    weights: tf.Tensor | None
    size: int | tf.Tensor
    num_replicas: int

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """This shard's part of the mean of `values` [b, ...] over the rows of the whole batch: the
        parts add up to it."""
        if self.num_replicas == 1 and self.weights is None:
            return tf.reduce_mean(values, axis=0)
        if self.weights is not None:
            values = values * tf.reshape(self.weights, [-1] + [1] * (values.shape.rank - 1))
        return tf.reduce_sum(values, axis=0) / tf.cast(self.size, values.dtype)

    def weigh(
        self, term: tf.Tensor | tuple[tf.Tensor, tf.Tensor]
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """A per-example term, or a pair of it and weights, without the rows that only fill the
        shape."""
        if self.weights is None:
            return term
        values, weights = term if isinstance(term, tuple) else (term, 1.0)
        return values, weights * self.weights

    @contextlib.contextmanager
    def as_batch(self) -> Iterator[None]:
        """Within it, `batch_mean` is over the whole batch that this is a shard of."""
        outer, _current.shard = _current.shard, self
        try:
            yield
        finally:
            _current.shard = outer


def batch_mean(values: tf.Tensor) -> tf.Tensor:
    """The mean over a batch of per-example `values` [B, ...], for losses that are functions of it:
    over all replicas' rows where there are several. Differentiable."""
    shard = _current.shard
    if shard is None:
        return tf.reduce_mean(values, axis=0)
    if shard.num_replicas == 1:
        return shard.mean(values)
    return tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, shard.mean(values)
    )


def gathered(values: tf.Tensor) -> tf.Tensor:
    """The rows of the whole batch of per-example `values` [b, ...]: over all replicas' rows where
    there are several. Differentiable.

    Rows that only fill a shape are among them: `gathered_weights` tells which.
    """
    shard = _current.shard
    if shard is None or shard.num_replicas == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)


def gathered_weights(num_rows: int | tf.Tensor) -> tf.Tensor:
    """1 for each row of the whole batch that counts, 0 for one that only fills the shape: float32
    [B], in the order of `gathered`.

    Args:
        num_rows: b, the number of rows here.
    """
    shard = _current.shard
    if shard is None or shard.weights is None:
        return gathered(tf.ones([num_rows]))
    return gathered(shard.weights)


def part_of_mean(values: tf.Tensor) -> tf.Tensor:
    """This shard's part of a mean over the batch, as penalties are taken: the mean over replicas of
    what it gives is the mean.

    Args:
        values: [b, ...].
    """
    shard = _current.shard
    if shard is None:
        return tf.reduce_mean(values, axis=0)
    return shard.num_replicas * shard.mean(values)


def weights_of_sum(num_rows: int | tf.Tensor) -> tf.Tensor:
    """What to weigh rows by for a sum over the batch, as moving averages are taken: the mean over
    replicas of their weighed sums is the sum. Float32 [b].

    Args:
        num_rows: b, the number of rows here.
    """
    shard = _current.shard
    if shard is None:
        return tf.ones([num_rows])
    ones = tf.ones([num_rows]) if shard.weights is None else shard.weights
    return shard.num_replicas * ones


def rows(num_rows: int | tf.Tensor) -> tf.Tensor:
    """The numbers of the rows here in the whole batch: int32 [b].

    Args:
        num_rows: b.
    """
    shard = _current.shard
    return tf.range(num_rows) if shard is None else shard.rows


def part_of_rows(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """This shard's part of some rows of the batch: the mean over replicas of what it gives are the
    rows.

    Args:
        values: [b, ...], rows of this shard.
        places: Float [K] in [0, 1), from the first row of the whole batch to its end.

    Returns:
        [K, ...].
    """
    shard = _current.shard
    size = tf.shape(values)[0] if shard is None else shard.size
    numbers = tf.cast(places * tf.cast(size, tf.float32), tf.int32)
    if shard is None or shard.num_replicas == 1:
        return tf.gather(values, numbers)
    length = tf.shape(values)[0]
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    numbers -= tf.cast(replica, tf.int32) * length
    here = (numbers >= 0) & (numbers < length)
    found = tf.gather(values, tf.clip_by_value(numbers, 0, length - 1))
    here = tf.reshape(here, [-1] + [1] * (values.shape.rank - 1))
    return tf.where(here, shard.num_replicas * found, tf.zeros_like(found))


def place_of_rows(num_rows: int | tf.Tensor) -> tf.Tensor:
    """Where this replica's rows stand in what `gathered` gives: int32 [b]."""
    shard = _current.shard
    first = 0
    if shard is not None and shard.num_replicas > 1:
        first = num_rows * tf.cast(
            tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32
        )
    return first + tf.range(num_rows)


def whole(length: int, size: int | tf.Tensor | None = None) -> Shard:
    """A batch of `length` rows as its only shard; the first `size` of them count, a tensor, or
    all."""
    rows = tf.range(length)
    if size is None:
        return Shard(rows, None, length, 1)
    return Shard(rows, tf.cast(rows < size, tf.float32), size, 1)


def take(
    batch: Mapping[str, tf.Tensor],
    length: int,
    size: int | tf.Tensor | None,
    replica: tf.Tensor,
    num_replicas: int,
) -> tuple[dict[str, tf.Tensor], Shard]:
    """The rows of one replica: (batch, Shard).

    Args:
        batch: Dict of tensors [B, ...].
        length: B, a Python integer.
        size: Number of rows that count, the first ones: a tensor, or None for all.
        replica: Integer tensor: which shard.
        num_replicas: Python integer R. Shards have ceil(B / R) rows; those beyond the end repeat
            the last row with weight 0.
    """
    each = -(-length // num_replicas)
    rows = replica * each + tf.range(each)
    all_count = size is None and length % num_replicas == 0
    size = length if size is None else size
    weights = None if all_count else tf.cast(rows < size, tf.float32)
    rows = tf.minimum(rows, size - 1)
    part = {name: tf.gather(values, rows) for name, values in batch.items()}
    return part, Shard(rows, weights, size, num_replicas)
