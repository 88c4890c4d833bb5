"""`keras.Model` whose `fit` and `evaluate` run many batches in one compiled call.

Keras compiles one training step and dispatches it once a batch; for the dense networks of this field the dispatch and the input
pipeline cost more than the mathematics. Here one call trains on a block of batches: gather, binarize, forward, backward, update and
metrics are one loop inside one program. Everything around it (epochs, validation, callbacks, history) is Keras's own `fit`.
"""

import contextlib
import logging

import keras
import tensorflow as tf
from tensorflow.python.distribute.distribute_lib import _get_default_strategy
from tensorflow.python.framework.config import is_op_determinism_enabled

from zoo import shards
from zoo.blocks import BLOCK_STEPS, SingleBatchFeed, StreamFeed, array_feed
from zoo.random import EVALUATION_STEP, RowNoise
from zoo.replicas import Replicas

logger = logging.getLogger("zoo")

if keras.config.backend() != "tensorflow":
    raise ImportError(
        f"zoo needs Keras on TensorFlow. Received: the Keras backend {keras.config.backend()!r}. Set KERAS_BACKEND=tensorflow "
        "before Python starts."
    )

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)

# What was fastest where: zoo_xla_block, zoo_tf_loop and zoo_tf_step of benchmarks/train_step.py, with numbers in its README. The GPU's rows
# are not measured yet: they follow Keras's rule that XLA pays there.
FASTEST = {
    ("cpu", "dense"): "xla-block",
    ("cpu", "convolutional"): "tf-loop",
    ("gpu", "dense"): "xla-block",
    ("gpu", "convolutional"): "xla-block",
}


def execution_mode(jit_compile, run_eagerly, device, network, deterministic=False):
    """How training runs.

    Args:
        jit_compile: "auto" (what was fastest), True (XLA) or False.
        run_eagerly: Whether to run step by step in Python.
        device: "cpu" or "gpu".
        network: "dense" or "convolutional".
        deterministic: Whether op determinism is on. XLA's programs for a GPU are not covered by it, those for a CPU repeat themselves to
            the bit in any case.

    Returns:
        "xla-block": a block of steps is one XLA program. "tf-loop": the same loop over TensorFlow's own kernels. "eager".
    """
    if run_eagerly:
        return "eager"
    mode = FASTEST[device, network] if jit_compile == "auto" else "xla-block" if jit_compile else "tf-loop"
    return "tf-loop" if deterministic and device == "gpu" else mode


class CompiledModel(keras.Model):
    """A model that defines `loss_terms` and gets `fit`, `evaluate` and `train_on_batch` in compiled blocks.

    A subclass defines

    - `standardize(x)`: what a user passes to `fit` as a dict of arrays, or a dict-valued `tf.data.Dataset`; raises on what does not fit;
    - `prepare(batch, noise)`: rows as they are stored -> what the model is trained on (cast, binarized);
    - `loss_terms(batch, noise, training)`: dict of per-example tensors [B] that holds "loss"; a pair of tensors [B] is values and weights;
    - `term_names`: the keys of `loss_terms`, which become the metrics.

    Args:
        seed: Non-negative integer: shuffling and every draw are functions of (seed, step, row).
    """

    term_names = ("loss",)
    # Whether the loss is a function of means over the batch (`zoo.shards.batch_mean`).
    batch_statistics = False

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise ValueError(f"`seed` must be an integer in 0 ... 2**32 - 1. Received: seed={seed!r}.")
        self.seed = seed
        self._train_feed = self._test_feed = None
        # The strategy in whose scope the model was made. Keras is not told: its `fit` would distribute blocks as if they were batches, and
        # with several machines it fails.
        self._strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        self._distribute_strategy = None

    # -- What a subclass defines

    def standardize(self, x):
        raise NotImplementedError

    def prepare(self, batch, noise):
        raise NotImplementedError

    def loss_terms(self, batch, noise, training):
        raise NotImplementedError

    # -- Keras's contract

    def compile(self, optimizer="adam", *, jit_compile="auto", run_eagerly=False, steps_per_execution=None, **kwargs):
        """Sets the optimizer and how to execute.

        Args:
            optimizer: As in Keras.
            jit_compile: "auto" (by device and kind of network), True (XLA) or False.
            run_eagerly: Run step by step in Python, for debugging.
            steps_per_execution: Batches per compiled call; None: 30, or an epoch where that is shorter.

        Raises:
            ValueError: If a loss or metrics are given: the model brings its own.
        """
        given = sorted(name for name, value in kwargs.items() if value not in (None, "auto", True))
        if given:
            raise ValueError(
                f"{type(self).__name__} brings its own loss and metrics: `compile` takes `optimizer`, `jit_compile`, `run_eagerly` and "
                f"`steps_per_execution`. Received: {', '.join(f'{name}={kwargs[name]!r}' for name in given)}."
            )
        if run_eagerly and self._strategy:
            raise ValueError(
                f"A model on several devices cannot run eagerly. Received: run_eagerly=True in a {type(self._strategy).__name__}."
            )
        if getattr(optimizer, "_distribution_strategy", self._strategy) is not self._strategy and self._strategy:
            raise ValueError("The optimizer was made outside of the model's strategy: make it in `strategy.scope()` as well.")
        self._requested = {"jit_compile": jit_compile, "steps_per_execution": steps_per_execution}
        layers = self._flatten_layers()
        device = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
        network = "convolutional" if any(isinstance(layer, CONVOLUTIONS) for layer in layers) else "dense"
        self.deterministic = is_op_determinism_enabled()
        mode = execution_mode(jit_compile, run_eagerly, device, network, self.deterministic)
        if mode == "xla-block" and not all(layer.supports_jit for layer in layers):
            mode = "tf-loop"
        if jit_compile is True and mode == "tf-loop":
            logger.warning("XLA was asked for, but a layer or op determinism on a GPU does not allow it: training runs as tf-loop.")
        self.execution = mode
        # Keras's own compiled functions (`predict`) never use XLA under op determinism.
        with self._scope():
            super().compile(optimizer=optimizer, jit_compile=mode == "xla-block" and not self.deterministic, run_eagerly=run_eagerly)
        with self._scope():
            self._trackers = {name: keras.metrics.Mean(name=name) for name in self.term_names}
        self._replicas = Replicas(self, self._strategy) if self._strategy else None

    def _scope(self):
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    @property
    def distribute_strategy(self):
        return _get_default_strategy()

    def get_compile_config(self):
        config = super().get_compile_config()
        return config and {"optimizer": config["optimizer"], "run_eagerly": self.run_eagerly, **self._requested}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.build_optimizer()

    def build_optimizer(self):
        """Creates the optimizer's variables, where there are none yet."""
        with self._scope():
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self):
        return list(self._trackers.values()) if self.compiled else []

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        initial_step=0,
    ):
        """Keras's `fit`; data come as arrays, a dict of arrays or a `tf.data.Dataset` of either in batches.

        Beyond Keras's, `initial_step` is the number of steps of epoch `initial_epoch` that a run took before it was stopped: the epoch goes
        on after them.

        Raises:
            ValueError: If the data do not fit the model, are empty, or bring targets or weights.
        """
        self._assert_compile_called("fit")
        _refuse(y=y, class_weight=class_weight, sample_weight=sample_weight)
        block_steps = self._requested["steps_per_execution"] or BLOCK_STEPS
        if self.execution == "eager":
            block_steps = 1
        data = self.standardize(x)
        if validation_split and validation_data is None:
            data, validation_data = _split(data, validation_split)
        elif validation_data is not None:
            validation_data = self.standardize(_only_x(validation_data, "validation_data"))
        self._train_feed = self._feed(
            data, batch_size, shuffle, steps_per_epoch, block_steps, int(tf.convert_to_tensor(self._step)), initial_step
        )
        validation = {}
        if validation_data is not None:
            self._test_feed = self._feed(validation_data, validation_batch_size or batch_size, False, validation_steps, block_steps)
            validation = {"validation_data": self._test_feed.dataset(), "validation_steps": self._test_feed.steps_per_epoch}
        logger.info(
            "Training runs as %s in blocks of %d steps, in %s%s; %s.",
            self.execution,
            self._train_feed.block_steps,
            self.dtype_policy.name,
            ", deterministic" if self.deterministic else "",
            self._train_feed.where,
        )
        with self._steps_counted_as(self._train_feed):
            return super().fit(
                x=self._train_feed.dataset(),
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                shuffle=False,  # the feed has shuffled
                initial_epoch=initial_epoch,
                steps_per_epoch=self._train_feed.steps_per_epoch,
                validation_freq=validation_freq,
                **validation,
            )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Keras's `evaluate`, with the same noise each time: binarization and latents are functions of (seed, row)."""
        if "_use_cached_eval_dataset" in kwargs:  # the validation of a running `fit`
            return super().evaluate(callbacks=callbacks, return_dict=return_dict, **kwargs)
        self._assert_compile_called("evaluate")
        _refuse(y=y, sample_weight=sample_weight)
        block_steps = 1 if self.execution == "eager" else self._requested["steps_per_execution"] or BLOCK_STEPS
        self._test_feed = self._feed(self.standardize(x), batch_size, False, steps, block_steps)
        with self._steps_counted_as(self._test_feed):
            return super().evaluate(
                self._test_feed.dataset(),
                verbose=verbose,
                steps=self._test_feed.steps_per_epoch,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        self.build_optimizer()  # creates variables, which a compiled function must not
        run = self._make_runner(self._replicas.train if self._strategy else self._train_batch)

        def train_function(iterator):
            logs = None
            for block in self._next_blocks(iterator, self._train_feed, self._step):
                logs = run(block)
            return logs or self.get_metrics_result()  # no block: a call that was made before the run was stopped

        self.train_function = train_function

    def make_test_function(self, force=False):
        if self.test_function is not None and not force:
            return
        run = self._make_runner(self._replicas.test if self._strategy else self._test_batch)

        def test_function(iterator):
            for block in self._next_blocks(iterator, self._test_feed, None):
                logs = run(block)
            return logs

        self.test_function = test_function

    # -- One batch, and the loop over a block of them

    def shard_loss(self, batch, shard):
        """(this shard's part of the loss, scaled as the optimizer wants it; terms to track) of rows as they are stored."""
        noise = self._noise(self._step, shard.rows)
        with shard.as_batch():
            terms = self.loss_terms(self.prepare(batch, noise), noise, training=True)
        # The mean over the batch, once; nats per example. Regularizers of the networks count once for all shards.
        loss = shard.mean(terms["loss"]) + sum(self.losses) / shard.num_replicas
        return self.optimizer.scale_loss(loss), {name: shard.weigh(term) for name, term in terms.items()}

    def shard_terms(self, batch, shard, first_row):
        """Terms to track, of rows as they are stored, `first_row` being the number of the batch's first in the data set."""
        noise = self._noise(EVALUATION_STEP, first_row + shard.rows)
        with shard.as_batch():
            terms = self.loss_terms(self.prepare(batch, noise), noise, training=False)
        return {name: shard.weigh(term) for name, term in terms.items()}

    def _train_batch(self, batch, size, first_row):
        with tf.GradientTape() as tape:
            loss, terms = self.shard_loss(batch, shards.whole(size))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.track(terms)

    def _test_batch(self, batch, size, first_row):
        self.track(self.shard_terms(batch, shards.whole(size), first_row))

    @property
    def training_step(self):
        """Training batches so far, int32: what schedules are functions of. It is saved with the optimizer; 0 before `compile`."""
        return tf.cast(self._step, tf.int32) if getattr(self, "optimizer", None) is not None else tf.constant(0)

    @property
    def _step(self):
        """Training batches so far. The optimizer's first variable counts them; its `iterations` skips those that it only accumulates."""
        return getattr(self.optimizer, "inner_optimizer", self.optimizer).variables[0]

    def _noise(self, step, rows):
        # Outside XLA the draws are compiled by themselves; inside it they are part of the program.
        inside_xla = self.execution == "xla-block" and not (self._strategy and self.batch_statistics)
        return RowNoise(self.seed, tf.convert_to_tensor(step), rows, jit=self.execution != "eager" and not inside_xla)

    def track(self, terms):
        for name, tracker in self._trackers.items():
            term = terms[name]  # [B]: a short batch counts for as many examples as it has
            tracker.update_state(*term) if isinstance(term, tuple) else tracker.update_state(term)

    def _make_runner(self, step):
        """Block -> metrics so far, through `step` for each of its batches."""

        def one_batch(block, i):
            # Not tf.slice, whose begin XLA wants to know: it would compile a program for each block.
            rows = tf.gather(block.order, block.starts[i] + tf.range(block.batch_size))
            batch = {name: tf.gather(values, rows) for name, values in block.table.items()}
            step(batch, block.batch_size, block.first_row[i])

        def run(block):
            def body(i):
                one_batch(block, i)
                return (i + 1,)

            tf.while_loop(lambda i: i < block.num_steps, body, (tf.constant(0),), parallel_iterations=1)
            return self.get_metrics_result()

        def run_eagerly(block):
            for i in range(block.num_steps):
                one_batch(block, i)
            return self.get_metrics_result()

        if self.execution == "eager":
            return run_eagerly
        # On replicas XLA compiles their gradients alone: see `Replicas`.
        compiled = tf.function(run, jit_compile=self.execution == "xla-block" and self._strategy is None, autograph=False)
        return lambda block: compiled(block.of_tensors())

    # -- From what Keras iterates over to blocks

    def _feed(self, data, batch_size, shuffle, steps_per_epoch, block_steps, first_step=0, initial_step=0):
        if isinstance(data, tf.data.Dataset):
            if batch_size is not None:
                raise ValueError(f"A `tf.data.Dataset` brings its own batches: leave `batch_size` out. Received: batch_size={batch_size}.")
            if data.cardinality() == tf.data.INFINITE_CARDINALITY and steps_per_epoch is None:
                raise ValueError("The data set is infinite: pass `steps_per_epoch` (or `steps`).")
            if initial_step:
                raise ValueError(f"Only arrays go on within an epoch. Received: a tf.data.Dataset and initial_step={initial_step}.")
            return StreamFeed(data, steps_per_epoch, block_steps)
        return array_feed(data, batch_size or 32, shuffle, self.seed, steps_per_epoch, block_steps, first_step, initial_step)

    def _next_blocks(self, iterator, feed, step):
        element = next(iterator)
        if not isinstance(iterator, tf.data.Iterator):  # `train_on_batch` passes (x, y, sample_weight)
            return SingleBatchFeed().blocks(self.standardize(_only_x(element, "batch")))
        return feed.blocks(element, step)

    def _steps_counted_as(self, feed):
        return _StepsPerExecution(self, feed.block_steps if feed.counts_batches else 1)


class _StepsPerExecution:
    """Tells Keras how many batches a call covers while `fit` or `evaluate` runs; `predict` stays batch by batch."""

    def __init__(self, model, steps):
        self.model, self.steps = model, steps

    def __enter__(self):
        self.model.steps_per_execution = self.steps

    def __exit__(self, *exception):
        self.model.steps_per_execution = 1


def _refuse(**arguments):
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"A generative model has no `{name}`: pass images alone, or a dict {{'image': ..., 'condition': ...}}. "
                f"Received: {name} of type {type(value).__name__}."
            )


def _only_x(data, argument):
    """x of (x,), (x, None) or (x, None, None); a dict, an array or a data set as it is."""
    if not isinstance(data, (tuple, list)):
        return data
    if any(part is not None for part in data[1:]):
        raise ValueError(f"`{argument}` holds targets or weights, which a generative model does not use. Pass images alone, or a dict.")
    return data[0]


def _split(data, fraction):
    """The last `fraction` of every array is for validation, as in Keras."""
    if isinstance(data, tf.data.Dataset):
        raise ValueError(f"`validation_split` needs arrays. Received: a tf.data.Dataset and validation_split={fraction}.")
    num_rows = len(next(iter(data.values())))
    boundary = int(num_rows * (1 - fraction))
    if not 0 < boundary < num_rows:
        raise ValueError(f"`validation_split` leaves no examples on one side. Received: validation_split={fraction}, {num_rows} examples.")
    return {k: v[:boundary] for k, v in data.items()}, {k: v[boundary:] for k, v in data.items()}
