"""A SavedModel that unpacks its weights (`zoo.packing`) into ordinary variables while it is loaded.

In the file lies one variable of strings. The variables that the model reads have an initializer
each, which inflates its string: the loader of TF Serving runs it once, as it runs those of lookup
tables, and requests are answered at full speed.
"""

import functools
import hashlib
from collections.abc import Sequence

import tensorflow as tf

from zoo.packing import multiples, pack


class PackedWeights(tf.Module):
    """The weights of a model as an export tracks them.

    Args:
        variables: The `tf.Variable`s that the exported functions read.
    """

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        super().__init__()
        content = [pack(variable.numpy()) for variable in variables]
        self.packed = tf.Variable(tf.constant(content, tf.string))
        self.unpacked = [
            _Unpacked(variable, self.packed, number, content[number])
            for number, variable in enumerate(variables)
        ]


class _Unpacked(tf.saved_model.experimental.TrackableResource):
    """Stands for a variable in an export: created there without a value, which its initializer
    takes from `packed[number]`."""

    def __init__(
        self, variable: tf.Variable, packed: tf.Variable, number: int, content: bytes
    ) -> None:
        super().__init__()
        self._shape, self._dtype = variable.shape, variable.dtype
        self._packed, self._number = packed, number
        self._is_whole = multiples(variable.numpy())[0] == 0.0
        # Variables of one name in one process are one: the name says what is in it.
        self._name = f"weights_{hashlib.sha256(content).hexdigest()[:32]}"
        self._resource_handle_value = variable.handle  # what the functions have captured

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=self._dtype, shape=self._shape, shared_name=self._name)

    def _initialize(self):
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=self._value())

    def _value(self):
        """`unpack` in a graph."""
        content = tf.io.decode_compressed(self._packed[self._number], "ZLIB")
        size = self._shape.num_elements()
        if self._is_whole:
            content = tf.strings.substr(content, 4, size * self._dtype.size)
            flat = tf.io.decode_raw(content, self._dtype)
        else:
            flat = _unrounded(content, tf.constant(size))
        return tf.reshape(flat, self._shape)


# One function of a graph for all of its weights.
@functools.partial(
    tf.function,
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)],
    autograph=False,
)
def _unrounded(content, size):
    """Step, quotients and remainders as `pack` lays them out -> float32 [size]."""
    step = tf.io.decode_raw(tf.strings.substr(content, 0, 4), tf.float32)
    low = tf.io.decode_raw(tf.strings.substr(content, 4, size), tf.uint8)
    high = tf.io.decode_raw(tf.strings.substr(content, 4 + size, size), tf.int8)
    pairs = tf.io.decode_raw(tf.strings.substr(content, 4 + 2 * size, (size + 1) // 2), tf.uint8)
    quotients = 256.0 * tf.cast(high, tf.float32) + tf.cast(low, tf.float32) - 128.0
    remainders = tf.reshape(tf.stack([pairs % 16, pairs // 16], axis=-1), [-1])[:size]
    return step * (16.0 * quotients + tf.cast(remainders, tf.float32))
