"""The global generators of random numbers, left as they were: whoever loads a model has perhaps
seeded them for something else.

TensorFlow and Keras have no public way to read the state of theirs. What is private of the two
stands here.
"""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
from tensorflow.python.eager import context


@contextlib.contextmanager
def generators_left_alone() -> Iterator[None]:
    """Restores the generators of Python, NumPy, TensorFlow and Keras at the end of the `with`,
    whatever was drawn or seeded within.

    Kernels that drew before go on where they were, unless `tf.random.set_seed` is called within,
    which restarts them.
    """
    python, numpy, tensorflow, keras = (
        random.getstate(),
        np.random.get_state(),
        _tensorflow_state(),
        _keras_state(),
    )
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        _restore_tensorflow(tensorflow)
        _restore_keras(keras)


def _tensorflow_state():
    """(seed, generator of the seeds of single operations, its state); there is no generator before
    the first seed."""
    eager = context.context()
    generator = getattr(eager, "_rng", None)
    return eager._seed, generator, generator and generator.getstate()


def _restore_tensorflow(state):
    eager = context.context()
    eager._seed, generator, of_generator = state
    if generator is not None:
        generator.setstate(of_generator)
        eager._rng = generator
    elif hasattr(eager, "_rng"):
        del eager._rng


def _keras_state():
    """(seed, generator, its state): Keras makes the generator at its first draw."""
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    seed = global_state.get_global_attribute(GLOBAL_RANDOM_SEED)
    return seed, generator, None if generator is None else np.asarray(generator.state)


def _restore_keras(state):
    seed, generator, of_generator = state
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)
    if generator is not None:
        generator.state.assign(of_generator)
