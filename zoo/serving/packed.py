"""Weights in ten bits each: a SavedModel that unpacks them into ordinary variables while it is loaded.

A matrix is rounded to whole multiples of a power of two, 90 to 180 of them to its standard deviation, and the multiples are deflated:
9 to 10 bits a weight, for a change of log p(x) that is a hundredth of its standard error over MNIST's test images (`zoo push` measures
the rounded weights, so the published numbers hold it). Vectors, such as biases, stay as they are.

In the file lies one variable of strings. The variables that the model reads have an initializer each, which inflates its string: the
loader of TF Serving runs it once, as it runs those of lookup tables, and requests are answered at full speed.
"""

import hashlib
import zlib

import numpy as np
import tensorflow as tf

# Multiples of the step in a standard deviation, at least: the step is the power of two below.
RESOLUTION = 90


def pack(array):
    """Bytes that `unpack` makes the array of again: exact for vectors and for what was packed before, else rounded to the step.

    Deflated: the step as float32, the low bytes of the multiples, their high bytes (int16 in two's complement). A step of 0 says that the
    array's own bytes follow.
    """
    step, multiples = _multiples(array)
    planes = array.tobytes() if step == 0.0 else multiples.astype("<i2").reshape(-1, 1).view(np.uint8).T.tobytes()
    return zlib.compress(np.float32(step).tobytes() + planes, 9)


def unpack(packed, shape, dtype):
    """The array of this shape and dtype.

    Raises:
        ValueError: If the bytes are not those of such an array.
    """
    try:
        content = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"packed weights cannot be inflated: {error}") from None
    step, planes = np.frombuffer(content[:4], np.float32)[0], content[4:]
    size = np.prod(shape, dtype=int)
    if len(planes) != size * (2 if step else np.dtype(dtype).itemsize):
        raise ValueError(f"packed weights of {len(planes)} bytes do not fit the shape {tuple(shape)}")
    if not step:
        return np.frombuffer(planes, dtype).reshape(shape)
    multiples = np.frombuffer(planes, np.uint8).reshape(2, size).T.copy().view("<i2")
    return (multiples.astype(np.float32) * step).reshape(shape)


def round_weights(model):
    """Gives a model the weights that a packed export of it holds."""
    for weight in model.weights:
        array = np.asarray(weight)
        weight.assign(unpack(pack(array), array.shape, array.dtype))


def _multiples(array):
    """(step, integers): the array is nearly step * integers; (0, None) where it is to be kept as it is."""
    spread = array.std() if array.ndim > 1 and array.dtype == np.float32 else 0.0
    if not spread or not np.isfinite(spread):
        return 0.0, None
    step = 2.0 ** np.floor(np.log2(spread / RESOLUTION))
    multiples = np.round(array / step)
    return (0.0, None) if np.abs(multiples).max() > np.iinfo(np.int16).max else (step, multiples)


class PackedWeights(tf.Module):
    """The weights of a model as an export tracks them.

    Args:
        variables: The `tf.Variable`s that the exported functions read.
    """

    def __init__(self, variables):
        super().__init__()
        content = [pack(variable.numpy()) for variable in variables]
        self.packed = tf.Variable(content, dtype=tf.string)
        self.unpacked = [_Unpacked(variable, self.packed, number, content[number]) for number, variable in enumerate(variables)]


class _Unpacked(tf.saved_model.experimental.TrackableResource):
    """Stands for a variable in an export: created there without a value, which its initializer takes from `packed[number]`."""

    def __init__(self, variable, packed, number, content):
        super().__init__()
        self._shape, self._dtype = variable.shape, variable.dtype
        self._packed, self._number = packed, number
        self._is_whole = _multiples(variable.numpy())[0] == 0.0
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
            return tf.reshape(tf.io.decode_raw(tf.strings.substr(content, 4, size * self._dtype.size), self._dtype), self._shape)
        step = tf.io.decode_raw(tf.strings.substr(content, 0, 4), tf.float32)
        low = tf.io.decode_raw(tf.strings.substr(content, 4, size), tf.uint8)
        high = tf.io.decode_raw(tf.strings.substr(content, 4 + size, size), tf.int8)
        return tf.reshape(step * (256.0 * tf.cast(high, tf.float32) + tf.cast(low, tf.float32)), self._shape)
