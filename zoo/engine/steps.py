"""A training step: losses and terms of a batch, the updates that follow from them, and the loop
over a block of batches."""

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import shards, validation
from zoo.compat import default_strategy, layers_inside
from zoo.engine.blocks import Programs
from zoo.engine.execution import has_batch_statistics, is_synchronized, mode_of
from zoo.engine.updates import StepCounter, Update, passes
from zoo.layers.noise import RowKeyedLayer
from zoo.random import EVALUATION_STEP, RowNoise, layers_draw

# Under which the step stands in Keras's files, beside a model's own variables.
STEP = "training_step"


class Steps(keras.Model):
    """What `CompiledModel` runs in blocks: see there for what a subclass defines."""

    term_names = ("loss",)
    # Whether the loss is a function of means over the batch (`zoo.shards.batch_mean`).
    batch_statistics = False
    # Whether the loss is a function of the number of examples.
    needs_num_examples = False

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        # Networks cast what they compute with; densities stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.seed = validation.seed(seed)
        self._mode = None  # what `compile` chose
        self._train_feed = self._test_feed = None
        # Of the data that `fit` and `evaluate` go through: variables, so that a compiled step
        # serves data of any number.
        self._num_examples = [
            tf.Variable(tf.constant(1.0), trainable=False, name=f"num_{part}")
            for part in ("evaluated", "trained")
        ]
        # The strategy in whose scope the model was made. Keras is not told: its `fit` would
        # distribute blocks as if they were batches, and with several machines it fails.
        self._strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        self._distribute_strategy = None
        with self._scope():
            self._counter = StepCounter()
        self.other_optimizers = {}

    # -- What a subclass defines

    def standardize(self, x: Any) -> Any:
        raise NotImplementedError

    def prepare(self, batch: Mapping[str, Any], noise: RowNoise) -> dict[str, Any]:
        raise NotImplementedError

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def updates(self) -> tuple[Update, ...]:
        """What a step changes: tuple of `Update`, of which the first is the model's own. By default
        it moves all weights, by the loss."""
        return (Update("model", "loss", self.trainable_weights),)

    def make_metric(self, name: str) -> keras.metrics.Metric:
        """The `keras.Metric` that gathers a term over the steps of an epoch: its mean over
        examples, unless a subclass says otherwise."""
        return keras.metrics.Mean(name=name)

    def check_first_block(self, table: Mapping[str, tf.Tensor]) -> None:
        """Raises ValueError where the first rows of a stream, a dict of tensors, show what no
        single batch can."""

    @property
    def execution(self) -> str:
        """How training runs: "xla-block", "tf-loop" or "eager" (`zoo.engine.execution`). Before
        `compile`, as it would."""
        return self._mode or mode_of(self, "auto", run_eagerly=False)

    def _number_noise_layers(self):
        """Each layer that draws by row gets draws of its own: its number among them."""
        for number, layer in enumerate(
            layer for layer in layers_inside(self) if isinstance(layer, RowKeyedLayer)
        ):
            layer.number = number

    @property
    def communicates(self) -> bool:
        """Whether replicas have to speak to each other within a step's gradient, which XLA cannot
        compile."""
        return self.batch_statistics or is_synchronized(layers_inside(self))

    def _scope(self):
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        return default_strategy()

    def build_optimizer(self) -> None:
        """Creates the optimizers' variables, where there are none yet."""
        with self._scope():
            for update in self.updates:
                self.optimizer_of(update).build(list(update.weights))

    def optimizer_of(self, update: Update) -> keras.optimizers.Optimizer:
        """The optimizer of an `Update`: the model's own, or that which `compile` was given for
        it."""
        return self.other_optimizers.get(update.name, self.optimizer)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of all updates, in their order."""
        return [self.optimizer_of(update) for update in self.updates]

    @property
    def training_state(self) -> list[keras.Variable]:
        """What training moves beside weights and generators: the step, and the optimizers'
        variables."""
        return [
            self._counter.variable,
            *(variable for optimizer in self.optimizers for variable in optimizer.variables),
        ]

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store[STEP] = int(self._counter.value())

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(
            {name: store[name] for name in list(store.keys()) if name != STEP}
        )
        if STEP in list(store.keys()):  # files of before hold none
            self._counter.variable.assign(int(np.asarray(store[STEP])))

    # -- One batch, and the loop over a block of them

    def shard_losses(
        self, batch: Mapping[str, tf.Tensor], shard: shards.Shard
    ) -> tuple[dict[str, tf.Tensor], dict[str, Any]]:
        """The losses and terms of rows as they are stored.

        Returns:
            Name of each update -> this shard's part of its loss, scaled as its optimizer wants it;
            and the terms to track.
        """
        noise = self._noise(self._counter.value(), shard.rows)
        with shard.as_batch(), layers_draw(noise):
            terms = self.loss_terms(self.prepare(batch, noise), noise, training=True)
        # The mean over the batch, once; nats per example. Penalties of the networks count once for
        # all shards.
        penalties = sum(self.losses) / shard.num_replicas
        losses = {
            u.name: self.optimizer_of(u).scale_loss(shard.mean(terms[u.loss]) + penalties)
            for u in self.updates
        }
        return losses, self._weighed(terms, shard)

    def shard_terms(
        self, batch: Mapping[str, tf.Tensor], shard: shards.Shard, first_row: int | tf.Tensor
    ) -> dict[str, Any]:
        """Terms to track, of rows as they are stored, `first_row` being the number of the batch's
        first in the data set."""
        noise = self._noise(EVALUATION_STEP, first_row + shard.rows)
        with shard.as_batch():
            terms = self.loss_terms(self.prepare(batch, noise), noise, training=False)
        return self._weighed(terms, shard)

    def _weighed(self, terms, shard):
        """Per-example terms with their weights; the loss is reported as it is minimized, with the
        penalties of the networks."""
        return {
            name: shard.weigh(term)
            for name, term in {**terms, "loss": terms["loss"] + sum(self.losses)}.items()
        }

    def _train_batch(self, batch, length, size, first_row):
        for number, updates in enumerate(passes(self.updates)):
            with tf.GradientTape(persistent=len(updates) > 1) as tape:
                losses, terms = self.shard_losses(batch, shards.whole(length, size))
            gradients = [
                tape.gradient(losses[update.name], list(update.weights)) for update in updates
            ]
            del tape
            for update, gradient in zip(updates, gradients, strict=True):
                self.optimizer_of(update).apply(gradient, list(update.weights))
            if number == 0:
                self.track(terms)
        self._counter.variable.assign_add(1)

    def _test_batch(self, batch, length, size, first_row):
        self.track(self.shard_terms(batch, shards.whole(length, size), first_row))

    @property
    def training_step(self) -> tf.Tensor:
        """Training batches so far, int32: what schedules are functions of. `compile` sets it to 0;
        `.keras` files keep it."""
        return self._counter.value()

    def _noise(self, step, rows):
        # Outside XLA the draws are compiled by themselves; inside it they are part of the program.
        inside_xla = self.execution == "xla-block" and not (self._strategy and self.communicates)
        return RowNoise(
            self.seed,
            tf.convert_to_tensor(step),
            rows,
            jit=self.execution != "eager" and not inside_xla,
        )

    def track(self, terms: Mapping[str, Any]) -> None:
        for name, tracker in self._trackers.items():
            term = terms[name]  # [B]: a short batch counts for as many examples as it has
            tracker.update_state(*term) if isinstance(term, tuple) else tracker.update_state(term)

    def _make_runner(self, step):
        """Block -> metrics so far, through `step` for each of its batches."""

        def one_batch(block, i):
            step(block.batch(i), block.batch_size, block.size, block.first_row[i])

        def run(block):
            def body(i):
                one_batch(block, i)
                return (i + 1,)

            tf.while_loop(
                lambda i: i < block.num_steps, body, (tf.constant(0),), parallel_iterations=1
            )
            return self.get_metrics_result()

        def run_eagerly(block):
            for i in range(block.num_steps):
                one_batch(block, i)
            return self.get_metrics_result()

        if self.execution == "eager":
            return run_eagerly
        # On replicas XLA compiles their gradients alone: see `Replicas`.
        compiled = tf.function(
            run,
            jit_compile=self.execution == "xla-block" and self._strategy is None,
            autograph=False,
        )
        if has_batch_statistics(layers_inside(self)):  # rows that fill a shape would enter them
            return lambda block: compiled(block.of_tensors())
        programs = Programs()
        return lambda block: compiled(programs.fit(block).of_tensors())
