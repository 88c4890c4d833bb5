"""What the package takes from TensorFlow and Keras by private names, because no public one says the
same. Each function tells what for; `tests/test_compat.py` fails first where a name changes.

Not here: TensorFlow's protocol buffers, and the symbols of its C++ library (`zoo.serving.runtime`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from tensorflow.python.eager.context import Context

# Attributes of Keras's global state.
SEED, GENERATOR, CALL = "global_random_seed", "global_seed_generator", "current_call_ctx"


# -- Layers


def outermost_layer() -> keras.layers.Layer | None:
    """The layer or model whose call is running, the outermost one where calls are nested; None
    outside of all calls.

    A layer that returns a distribution returns a tensor to the layers of a functional model.
    """
    context = _keras_global(CALL)
    return None if context is None else context.entry_layer


def layers_inside(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layer itself and all layers in it at any depth, in an order that saving and loading
    keep. Public `layers` are those of the first level."""
    return list(layer._flatten_layers())


# -- Training


def clip(optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What the optimizer's `clipnorm`, `clipvalue` and `global_clipnorm` make of gradients; `apply`
    clips and steps in one."""
    # Keras's functions know the tensors of every backend.
    return cast("list[tf.Tensor]", optimizer._clip_gradients(list(gradients)))


def strategy_of(optimizer: keras.optimizers.Optimizer) -> tf.distribute.Strategy | None:
    """The strategy in whose scope an optimizer was made: its variables belong to it."""
    return optimizer._distribution_strategy


def default_strategy() -> tf.distribute.Strategy:
    """The strategy of one device, whatever strategy's scope the call is in."""
    from tensorflow.python.distribute import distribute_lib

    return distribute_lib._get_default_strategy()


def op_determinism_is_on() -> bool:
    """Whether `tf.config.experimental.enable_op_determinism` was called."""
    from tensorflow.python.framework import config

    return config.is_op_determinism_enabled()


def gpu_memory() -> list[int]:
    """Bytes of each GPU that TensorFlow may take; `get_memory_info` tells only what it took."""
    from tensorflow.python.client import device_lib

    devices = device_lib.list_local_devices()
    return [device.memory_limit for device in devices if device.device_type == "GPU"]


# -- Global generators of random numbers, which have public seeds and no public state


def tensorflow_generator() -> tuple[int | None, random.Random | None, Any]:
    """(seed, generator of the seeds of single operations, its state); there is no generator before
    the first seed."""
    eager = _eager_context()
    generator = vars(eager).get("_rng")
    return eager._seed, generator, generator and generator.getstate()


def restore_tensorflow_generator(state: tuple[int | None, random.Random | None, Any]) -> None:
    eager = _eager_context()
    eager._seed, generator, of_generator = state
    if generator is not None:
        generator.setstate(of_generator)
        eager._rng = generator
    else:
        vars(eager).pop("_rng", None)


def keras_generator() -> tuple[int | None, Any, np.ndarray | None]:
    """(seed, generator, its state): Keras makes the generator at its first draw. Before Keras 3.12
    it keeps no seed."""
    generator = _keras_global(GENERATOR)
    return _keras_global(SEED), generator, generator and np.asarray(generator.state)


def restore_keras_generator(state: tuple[int | None, Any, np.ndarray | None]) -> None:
    from keras.src.backend.common import global_state

    seed, generator, of_generator = state
    global_state.set_global_attribute(SEED, seed)
    global_state.set_global_attribute(GENERATOR, generator)
    if generator is not None:
        generator.state.assign(of_generator)


def _eager_context() -> Context:
    from tensorflow.python.eager import context

    return cast("Context", context.context())  # which makes it where there is none


def _keras_global(name):
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute(name)


# -- SavedModels


def op_definition(name: str) -> Any:
    """The `OpDef` of an op, which says whether it keeps a state; None of an unknown one."""
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(name)


def write_fingerprint(directory: str) -> None:
    """Writes `fingerprint.pb` of a SavedModel whose graph was changed; the public functions read
    it."""
    from tensorflow.python.saved_model import fingerprinting_utils

    fingerprinting_utils.write_fingerprint(directory)
