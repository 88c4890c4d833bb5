"""What an exported model answers: the named functions of its SavedModel.

Every tensor leads with the batch dimension, every row of an answer is a function of its own row of
the question, and all draws come from the `seed` in the question. See `zoo/serving/saved_model.py`
for why.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo.models.answers import row_noise as row_noise
from zoo.observations import Counts, Image, Rows, Vector

DEFAULT_SIGNATURE = "reconstruct"
# By the name under which a server is handed one.
OBSERVATIONS = {kind.key: kind for kind in (Counts, Image, Rows, Vector)}


class Signature(NamedTuple):
    """A question that a model answers.

    Attributes:
        function: Tensors [B, ...] by name -> dict of tensors [B, ...]: texts, codes as int32, and
            float32.
        inputs: Name -> `tf.TensorSpec`.
    """

    function: Callable[..., Mapping[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]

    def traced(self) -> tf.types.experimental.ConcreteFunction:
        """The function as a graph, which is what an export holds."""
        return tf.function(self.function, autograph=False).get_concrete_function(**self.inputs)


def signatures(model: keras.Model) -> dict[str, Signature]:
    """Name -> `Signature`, of what a model of the zoo answers."""
    return {
        name: _signature(answer.function, answer.inputs) for name, answer in model.answers().items()
    }


def _signature(function, inputs):
    def checked(**arguments):
        # A server compares types and names with the signature, not shapes: [B, 784] would be
        # reshaped and answered.
        arguments = {
            name: tf.ensure_shape(value, inputs[name].shape) for name, value in arguments.items()
        }
        answer = function(**arguments)
        return {name: _as_output(name, value) for name, value in answer.items()}

    return Signature(checked, inputs)


def _as_output(name, value):
    value = tf.convert_to_tensor(value)
    if name == "codes" or value.dtype == tf.string:
        return value
    return tf.cast(value, tf.float32)


def made_up_rows(inputs: Mapping[str, tf.TensorSpec], num_rows: int) -> dict[str, np.ndarray]:
    """Something to ask a signature: dict of arrays. Fewer rows are the first ones of more.

    Grey levels for images, labels 0 and 1, any seeds, standard normal latents and conditions; in
    the columns of a table normal numbers, and texts that are no category.
    """
    return {name: _made_up(name, spec, num_rows) for name, spec in inputs.items()}


def _made_up(name, spec, num_rows):
    generator = np.random.default_rng(0)
    shape = (num_rows, *spec.shape[1:])
    if name in OBSERVATIONS:
        return OBSERVATIONS[name].made_up(shape, generator)
    if name == "library":
        return generator.integers(1, 1000, shape).astype(np.float32)
    if name == "temperature":
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    if name == "seed":
        return generator.integers(-(2**31), 2**31, shape).astype(np.int32)
    if spec.dtype == tf.string:
        return generator.choice(np.array([b"", b"?"]), shape)
    if spec.dtype.is_integer:
        return generator.integers(0, 2, shape).astype(spec.dtype.as_numpy_dtype)
    return generator.normal(size=shape).astype(np.float32)
