"""The steps of a `CompiledModel` on the replicas of a `tf.distribute` strategy: several devices, or
several machines."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from zoo import compat, shards
from zoo.engine.execution import generator_states
from zoo.engine.updates import passes

if TYPE_CHECKING:
    from zoo.engine.steps import Steps


def make_strategy(name: str) -> tf.distribute.Strategy:
    """A strategy by name. It has to be made before TensorFlow does anything else.

    Args:
        name: "mirrored", all devices of this machine; or "multi_worker", this process and others,
            as the environment variable TF_CONFIG or Slurm's variables describe them.

    Raises:
        ValueError: If the name is another one, or the environment describes no workers.
    """
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name != "multi_worker":
        raise ValueError(f"`strategy` must be 'mirrored' or 'multi_worker'. Received: {name!r}.")
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if "SLURM_PROCID" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=tf.distribute.cluster_resolver.SlurmClusterResolver()
        )
    raise ValueError(
        "The strategy 'multi_worker' needs to know its workers. Start it by Slurm, or set "
        "TF_CONFIG in each process, as in "
        """TF_CONFIG='{"cluster": {"worker": ["host0:9999", "host1:9999"]}, """
        """"task": {"type": "worker", "index": 0}}'."""
    )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the only one, or the first of several
    workers."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().jobs:
        return True
    return resolver.task_type == "chief" or (
        "chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0
    )


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return strategy.num_replicas_in_sync > len(strategy.extended.worker_devices)


def share_of(strategy: tf.distribute.Strategy | None) -> tuple[int, int, int] | None:
    """Which replicas run in this process: (first, end, number of all); None: all of them."""
    if strategy is None or not is_multi_worker(strategy):
        return None
    resolver, here = strategy.cluster_resolver, len(strategy.extended.worker_devices)
    before = resolver.task_id
    if resolver.task_type == "worker" and "chief" in resolver.cluster_spec().jobs:
        before += 1
    return before * here, (before + 1) * here, strategy.num_replicas_in_sync


class Replicas:
    """Takes steps on shards of a batch, one for each replica.

    Args:
        model: A `CompiledModel` that was made and compiled in the strategy's scope.
        strategy: A `tf.distribute.Strategy`.
    """

    def __init__(self, model: "Steps", strategy: tf.distribute.Strategy) -> None:
        self.model = model
        self.strategy = strategy
        self.num_replicas = strategy.num_replicas_in_sync
        # Functions of the variables' values: one program serves all replicas, each of which has
        # variables of its own. XLA compiles the gradient and no more, since updates synchronize;
        # where the loss itself does, nothing.
        self._gradients, self._terms = self._gradients_of_values, self._terms_of_values
        if model.execution == "xla-block" and not model.communicates:
            self._gradients, self._terms = (
                tf.function(function, jit_compile=True, autograph=False)
                for function in (self._gradients, self._terms)
            )

    def train(
        self,
        batch: Mapping[str, tf.Tensor],
        length: int,
        size: tf.Tensor | None,
        first_row: tf.Tensor,
    ) -> None:
        """One training step on the whole batch [B, ...], of which `size` rows count; None: all."""
        self.strategy.run(self._train_shard, args=(batch, length, size))

    def test(
        self,
        batch: Mapping[str, tf.Tensor],
        length: int,
        size: tf.Tensor | None,
        first_row: tf.Tensor,
    ) -> None:
        """Evaluates a batch [B, ...] whose first row is `first_row` of the data set."""
        self.strategy.run(self._test_shard, args=(batch, length, size, first_row))

    # -- In a replica

    def _take(self, batch, length, size):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return shards.take(batch, length, size, tf.cast(replica, tf.int32), self.num_replicas)

    def _train_shard(self, batch, length, size):
        model = self.model
        batch, shard = self._take(batch, length, size)
        for number, updates in enumerate(passes(model.updates)):
            gradients, terms, moved = self._gradients(self._values(), batch, shard, number)
            for place, value in moved.items():
                # Statistics of a replica's rows; counters and generators are the same everywhere.
                if value.dtype.is_floating:
                    value = tf.distribute.get_replica_context().all_reduce(
                        tf.distribute.ReduceOp.MEAN, value
                    )
                self._movable()[int(place)].assign(value)
            for update in updates:
                self._apply(update, gradients[update.name])
            if number == 0:
                model.track(terms)
        model.training_state[0].assign_add(1)

    def _test_shard(self, batch, length, size, first_row):
        batch, shard = self._take(batch, length, size)
        self.model.track(self._terms(self._values(), batch, shard, first_row))

    def _apply(self, update, gradients):
        optimizer = self.model.optimizer_of(update)
        limits = (optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
        if any(limit is not None for limit in limits):
            # Keras clips what a replica has before it adds up. Here the sum is clipped, which a
            # second clipping of its parts leaves alone.
            summed = tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.SUM, gradients
            )
            clipped = compat.clip(optimizer, summed)
            gradients = [gradient / self.num_replicas for gradient in clipped]
        optimizer.apply(gradients, list(update.weights))  # adds up over the replicas

    # -- As functions of the variables' values

    def _state(self):
        """What a step reads: all weights, the states of Keras's generators, the step, and the
        optimizers' counters and scales."""
        counters = [variable for variable in self.model.training_state if not variable.shape]
        return [*self.model.weights, *generator_states(self.model), *counters]

    def _movable(self):
        """What a forward pass may move: batch statistics, whose mean over the replicas is kept, and
        generators, which are alike in all."""
        return [*self.model.non_trainable_weights, *generator_states(self.model)]

    def _values(self):
        return [tf.convert_to_tensor(variable.value) for variable in self._state()]

    def _with(self, values):
        return keras.StatelessScope(
            list(zip(self._state(), values, strict=True)), collect_losses=True
        )

    def _gradients_of_values(self, values, batch, shard, number):
        """The gradients of the updates of pass `number`, the terms, and what the pass has moved."""
        model = self.model
        with self._with(values):
            before = [variable.value for variable in self._movable()]
            updates = passes(model.updates)[number]
            weights = {u.name: [weight.value for weight in u.weights] for u in updates}
            with tf.GradientTape(persistent=len(updates) > 1) as tape:
                tape.watch(weights)
                losses, terms = model.shard_losses(batch, shard)
            gradients = {
                name: tape.gradient(
                    losses[name], own, unconnected_gradients=tf.UnconnectedGradients.ZERO
                )
                for name, own in weights.items()
            }
            del tape
            after = [variable.value for variable in self._movable()]
            moved = {
                str(i): value
                for i, (value, old) in enumerate(zip(after, before, strict=True))
                if value is not old
            }
            return gradients, terms, moved

    def _terms_of_values(self, values, batch, shard, first_row):
        with self._with(values):
            return self.model.shard_terms(batch, shard, first_row)
