"""`keras.Model` whose `fit` and `evaluate` run many batches in one compiled call.

Keras compiles one training step and dispatches it once a batch; for the dense networks of this
field the dispatch and the input pipeline cost more than the mathematics. Here one call trains on a
block of batches: gather, binarize, forward, backward, update and metrics are one loop inside one
program. Everything around it (epochs, validation, callbacks, history) is Keras's own `fit`.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.compat import op_determinism_is_on, strategy_of
from zoo.engine.execution import assert_hooks_are_called, mode_of
from zoo.engine.feeding import Feeding
from zoo.engine.inputs import as_stream, only_x, refuse, sizes, split, with_first_batch_checked
from zoo.engine.replicas import Replicas
from zoo.engine.updates import check_optimizers
from zoo.validation import shown

logger = logging.getLogger("zoo")

if keras.config.backend() != "tensorflow":
    raise ImportError(
        "zoo needs Keras on TensorFlow. Received: the Keras backend "
        f"{keras.config.backend()!r}. Set KERAS_BACKEND=tensorflow before Python starts."
    )


class CompiledModel(Feeding):
    """A model that defines `loss_terms` and gets `fit`, `evaluate` and `train_on_batch` in compiled
    blocks.

    A subclass defines

    - `standardize(x)`: what a user passes to `fit` as a dict of arrays, or a dict-valued
      `tf.data.Dataset`; raises on what does not fit;
    - `prepare(batch, noise)`: rows as they are stored -> what the model is trained on (cast,
      binarized);
    - `loss_terms(batch, noise, training)`: dict of per-example tensors [B] that holds "loss"; a
      pair of tensors [B] is values and weights; it hands `training` to the networks;
    - `term_names`: the keys of `loss_terms`, which become the metrics.

    Keras's `train_step`, `test_step`, `compute_loss` and `compute_metrics` are never called; a
    model that overrides one is refused. Penalties of the networks (`kernel_regularizer`,
    `add_loss`) are part of the loss that is minimized and reported.

    Args:
        seed: Non-negative integer: shuffling and every draw are functions of (seed, step, row).
    """

    # -- Keras's contract

    def compile(
        self,
        optimizer: str | dict[str, Any] | keras.optimizers.Optimizer = "adam",
        *,
        optimizers: Mapping[str, str | dict[str, Any] | keras.optimizers.Optimizer] | None = None,
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
        steps_per_execution: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Sets the optimizer and how to execute. Training begins with step 0.

        Args:
            optimizer: As in Keras; of a model whose step has several updates, that of the first.
            optimizers: Name -> optimizer of each other update (`updates`), such as
                {"discriminator": "adam"}.
            jit_compile: "auto" (by device, kind of network and, from the first `fit` on, length of
                the run), True (XLA) or False.
            run_eagerly: Run step by step in Python, for debugging.
            steps_per_execution: Batches per compiled call; None: 30, or an epoch where that is
                shorter.

        Raises:
            ValueError: If a loss or metrics are given: the model brings its own; or an argument is
                out of range.
            TypeError: If the model overrides a hook of Keras that is never called.
        """
        assert_hooks_are_called(self, CompiledModel)
        surplus = sorted(
            name
            for name, value in kwargs.items()
            if value is not None and (name, value) != ("auto_scale_loss", True)
        )
        if surplus:
            raise ValueError(
                f"{type(self).__name__} brings its own loss and metrics: `compile` takes "
                "`optimizer`, `optimizers`, `jit_compile`, `run_eagerly` and "
                "`steps_per_execution`. Received: "
                f"{', '.join(f'{name}={shown(kwargs[name])}' for name in surplus)}."
            )
        optimizers = dict(optimizers or {})
        check_optimizers(type(self).__name__, self.updates, optimizers)
        for name, value in {"optimizer": optimizer, **optimizers}.items():
            if not isinstance(value, str | dict | keras.optimizers.Optimizer):
                raise ValueError(
                    f"`{name}` must be the name of a Keras optimizer, or one. Received: "
                    f"{name}={shown(value)}."
                )
            if (
                self._strategy
                and isinstance(value, keras.optimizers.Optimizer)
                and strategy_of(value) is not self._strategy
            ):
                raise ValueError(
                    "The optimizer was made outside of the model's strategy: make it in "
                    "`strategy.scope()` as well."
                )
        run_eagerly = validation.boolean("run_eagerly", run_eagerly)
        if run_eagerly and self._strategy:
            raise ValueError(
                "A model on several devices cannot run eagerly. Received: run_eagerly=True in a "
                f"{type(self._strategy).__name__}."
            )
        if not (jit_compile == "auto" or isinstance(jit_compile, bool)):
            raise ValueError(
                "`jit_compile` must be 'auto', True or False. Received: "
                f"jit_compile={shown(jit_compile)}."
            )
        if steps_per_execution is not None:
            steps_per_execution = validation.integer("steps_per_execution", steps_per_execution)
        self._requested = {"jit_compile": jit_compile, "steps_per_execution": steps_per_execution}
        self._is_fixed = False
        self.deterministic = op_determinism_is_on()
        self._mode = mode = mode_of(self, jit_compile, run_eagerly)
        if jit_compile is True and mode == "tf-loop":
            logger.warning(
                "XLA was asked for, but a layer or op determinism on a GPU does not allow it: "
                "training runs as tf-loop."
            )
        self._number_noise_layers()
        # Keras's own compiled functions (`predict`) never use XLA under op determinism.
        with self._scope():
            super().compile(
                optimizer=optimizer,
                jit_compile=mode == "xla-block" and not self.deterministic,
                run_eagerly=run_eagerly,
            )
            self.other_optimizers = {
                name: keras.optimizers.get(value) for name, value in optimizers.items()
            }
        self._counter.variable.assign(0)
        with self._scope():
            self._trackers = {name: self.make_metric(name) for name in self.term_names}
        self._replicas = Replicas(self, self._strategy) if self._strategy else None

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if not config:
            return config
        if self.built:
            # A file that is written before the first step holds the optimizer's variables as well.
            self.build_optimizer()
        others = {
            name: keras.saving.serialize_keras_object(optimizer)
            for name, optimizer in self.other_optimizers.items()
        }
        return {
            "optimizer": config["optimizer"],
            **({"optimizers": others} if others else {}),
            "run_eagerly": self.run_eagerly,
            **self._requested,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.build_optimizer()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._trackers.values()) if self.compiled else []

    def fit(
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: None = None,
        sample_weight: None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
        initial_step: int = 0,
    ) -> keras.callbacks.History:
        """Keras's `fit`; data come as arrays, a dict of arrays, or batches of either: in a
        `tf.data.Dataset`, a `keras.utils.PyDataset`, a PyTorch DataLoader or a generator.

        A `fit` begins with a whole pass over arrays. One that goes on, by `initial_epoch`, begins
        where that epoch does. Callbacks that want to be called after batches get shorter blocks,
        unless `compile` was told `steps_per_execution`.

        Beyond Keras's, `initial_step` is the number of steps of epoch `initial_epoch` that a run
        took before it was stopped: the epoch goes on after them.

        Raises:
            ValueError: If the data do not fit the model, are empty, or bring targets or weights; or
                an argument is out of range.
        """
        self._assert_compile_called("fit")
        refuse(y=y, class_weight=class_weight, sample_weight=sample_weight)
        epochs = validation.integer("epochs", epochs)
        initial_epoch = validation.integer("initial_epoch", initial_epoch, least=0)
        initial_step = validation.integer("initial_step", initial_step, least=0)
        batch_size, validation_batch_size = sizes(
            batch_size=batch_size, validation_batch_size=validation_batch_size
        )
        steps_per_epoch, validation_steps = sizes(
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps
        )
        shuffle = validation.boolean("shuffle", shuffle)
        if not isinstance(validation_freq, (list, tuple, set)):  # numbers of epochs
            validation_freq = validation.integer("validation_freq", validation_freq)
        if not (validation.is_number(validation_split) and 0 <= validation_split < 1):
            raise ValueError(
                "`validation_split` must be a fraction in [0, 1). Received: "
                f"validation_split={shown(validation_split)}."
            )
        passes = epochs - initial_epoch
        data = self.standardize(as_stream(x, 1 if steps_per_epoch else passes))
        if validation_split and validation_data is None:
            data, validation_data = split(data, validation_split)
        elif validation_data is not None:
            validation_data = self.standardize(
                as_stream(only_x(validation_data, "validation_data"), passes)
            )
        self._count_examples(data, training=True)
        first_step = int(self._counter.value())
        self._train_feed = self._feed(
            data,
            batch_size,
            shuffle,
            steps_per_epoch,
            callbacks,
            first_step,
            initial_epoch,
            initial_step,
        )
        length, num_steps = self._train_feed.steps_per_epoch, None
        if length is not None and first_step == initial_epoch * length + initial_step:
            num_steps = epochs * length
        self.fix_execution(num_steps, self._train_feed.batch_size or 32)
        validated = {}
        if validation_data is not None:
            self._test_feed = self._test_feed_of(
                validation_data, validation_batch_size or batch_size, validation_steps, callbacks
            )
            validated = {
                "validation_data": self._test_feed.dataset(),
                "validation_steps": self._test_feed.steps_per_epoch,
            }
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
                **validated,
            )

    def fix_execution(self, num_steps: int | None, batch_size: int) -> None:
        """Fixes how the model runs before its first step, where `compile` was left the choice: it
        is without XLA where compilation takes longer than it saves in a run of `num_steps`. `fit`
        does so by itself. What is saved from then on holds the choice.

        Args:
            num_steps: Length of the whole run, with the steps that were taken before; None: long.
            batch_size: B.
        """
        fixed, self._is_fixed = self._is_fixed, True
        open_to_choice = self._requested["jit_compile"] == "auto" and self._strategy is None
        if fixed or not open_to_choice or self.execution != "xla-block":
            return
        if mode_of(self, "auto", False, num_steps, batch_size) == "tf-loop":
            self._mode, self.jit_compile, self._requested["jit_compile"] = "tf-loop", False, False
            self.train_function = self.test_function = self.predict_function = None

    def evaluate(
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: None = None,
        steps: int | None = None,
        callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Keras's `evaluate`, with the same noise each time: binarization and latents are functions
        of (seed, row)."""
        if "_use_cached_eval_dataset" in kwargs:  # the validation of a running `fit`
            return super().evaluate(callbacks=callbacks, return_dict=return_dict, **kwargs)
        self._assert_compile_called("evaluate")
        refuse(y=y, sample_weight=sample_weight)
        batch_size, steps = sizes(batch_size=batch_size, steps=steps)
        self._test_feed = self._test_feed_of(
            self.standardize(as_stream(x)), batch_size, steps, callbacks
        )
        with self._steps_counted_as(self._test_feed):
            return super().evaluate(
                self._test_feed.dataset(),
                verbose=verbose,
                steps=self._test_feed.steps_per_epoch,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None = None,
    ) -> np.ndarray:
        """Keras's `predict`, of whatever `fit` takes."""
        batch_size, steps = sizes(batch_size=batch_size, steps=steps)
        data = self.standardize(as_stream(x))
        if isinstance(data, tf.data.Dataset):
            data = with_first_batch_checked(data, self.check_first_block)
        return super().predict(
            data, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
        )

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Keras's `predict_on_batch`, of arrays or tensors, or a dict of them."""
        return super().predict_on_batch(self.standardize(x))

    def make_train_function(self, force: bool = False) -> None:
        if self.train_function is not None and not force:
            return
        self.build_optimizer()  # creates variables, which a compiled function must not
        run = self._make_runner(self._replicas.train if self._replicas else self._train_batch)

        def train_function(iterator):
            logs = None
            for block in self._next_blocks(iterator, self._train_feed, self._counter.value()):
                logs = run(block)
            # No block: a call that was made before the run was stopped.
            return logs or self.get_metrics_result()

        self.train_function = train_function

    def make_test_function(self, force: bool = False) -> None:
        if self.test_function is not None and not force:
            return
        run = self._make_runner(self._replicas.test if self._replicas else self._test_batch)

        def test_function(iterator):
            for block in self._next_blocks(iterator, self._test_feed, None):
                logs = run(block)
            return logs

        self.test_function = test_function
