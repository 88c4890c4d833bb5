"""The global generators of random numbers, left as they were: whoever loads a model has perhaps
seeded them for something else.
"""

import contextlib
import random
from collections.abc import Iterator

import numpy as np

from zoo import compat


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
        compat.tensorflow_generator(),
        compat.keras_generator(),
    )
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        compat.restore_tensorflow_generator(tensorflow)
        compat.restore_keras_generator(keras)
