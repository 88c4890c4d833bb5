"""Values of every kind, and what may come of them: a result, or an error of one line."""

import re
import time
import warnings

import keras
import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# The longest message of an error; those of TensorFlow quote graphs.
LONGEST = 1000
SECONDS = 60


def tried(number):
    """The same examples each time."""
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Odd:
    """An object that is nothing in particular."""

    def __repr__(self):
        return "Odd()"


# Integers are small or absurd: a great number of epochs, or units, is no mistake, and takes its
# time and memory.
NUMBERS = st.sampled_from(
    [
        -(2**63),
        -1,
        0,
        1,
        2,
        3,
        2**63,
        2**70,
        -0.5,
        0.0,
        0.5,
        1.0,
        1.5,
        3.0,
        1e-30,
        float("nan"),
        float("inf"),
        -float("inf"),
        True,
        False,
    ]
)
NUMPY_NUMBERS = st.sampled_from(
    [
        np.int8(2),
        np.uint64(3),
        np.float32(0.5),
        np.float64("nan"),
        np.bool_(True),
        np.array(2),
        np.str_("a"),
    ]
)
TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "a", "test", "train", "../..", "\0", "x" * 300, "é☃", "1", "[:3]", "{}", "%s"]
    ),
    st.text(max_size=8),
)
SHAPES = st.sampled_from(
    [
        (),
        (0,),
        (1,),
        (2,),
        (4, 4),
        (4, 4, 1),
        (3, 4, 4),
        (2, 4, 4, 1),
        (6, 4, 4, 1),
        (0, 4, 4, 1),
        (2, 1, 4, 4),
        (2, 16),
        (3, 2),
        (6, 3),
        (6,),
        (6, 1),
    ]
)
DTYPES = st.sampled_from(
    [
        "uint8",
        "int8",
        "int32",
        "int64",
        "uint64",
        "bool",
        "float16",
        "float32",
        "float64",
        "complex64",
        "object",
        "U3",
        "datetime64[s]",
    ]
)


@st.composite
def arrays(draw):
    """Arrays of odd shapes and types."""
    shape, dtype = draw(SHAPES), draw(DTYPES)
    kind = draw(st.sampled_from(["zeros", "ones", "random", "nan", "large", "negative"]))
    values = np.random.default_rng(0).random(shape)
    values = {
        "zeros": values * 0,
        "ones": values * 0 + 1,
        "large": values * 200,
        "negative": -values - 1,
    }.get(kind, values)
    if dtype in ("uint8", "uint64", "bool"):
        values = np.abs(values)
    values = np.asarray(values)
    array = (
        values.astype("int64").astype(dtype)
        if dtype.startswith("datetime")
        else values.astype(dtype)
    )
    if kind == "nan" and array.dtype.kind == "f":
        array = np.full(shape, np.nan, dtype)
    return array


def as_tensor(array):
    try:
        return tf.constant(array)
    except (TypeError, ValueError, tf.errors.OpError):
        return array


def as_stream(array):
    try:
        return tf.data.Dataset.from_tensors(tf.constant(array))
    except (TypeError, ValueError, tf.errors.OpError):
        return iter([array])


ARRAYS = st.one_of(
    arrays(),
    arrays().map(as_tensor),
    arrays().map(lambda array: np.asarray(array).tolist()),
    arrays().map(as_stream),
    arrays().map(lambda array: iter([array])),
)
OBJECTS = st.sampled_from(
    [
        None,
        Odd(),
        Odd,
        len,
        b"bytes",
        {},
        {1, 2},
        range(3),
        keras.layers.Dense(2),
        np.dtype("int8"),
        Ellipsis,
    ]
)
NESTED = st.one_of(
    st.lists(st.one_of(NUMBERS, TEXTS, OBJECTS), max_size=3),
    st.tuples(ARRAYS, ARRAYS),
    st.dictionaries(
        st.sampled_from(["image", "label", "condition", "a", 1]),
        st.one_of(ARRAYS, NUMBERS, TEXTS),
        max_size=3,
    ),
)
ANYTHING = st.one_of(NUMBERS, NUMPY_NUMBERS, TEXTS, ARRAYS, OBJECTS, NESTED)


def assert_one_line(error, allowed):
    message = str(error)
    assert isinstance(error, allowed), f"{type(error).__name__}: {message}"
    assert message.strip() and "\n" not in message.strip(), (
        f"not one line: {type(error).__name__}: {message}"
    )
    assert len(message) <= LONGEST, f"{len(message)} characters: {message}"


def outcome(function, allowed=(ValueError, TypeError)):
    """The result, or None where one of the allowed errors was raised in one line."""
    started, result = time.monotonic(), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of numbers that overflow
        try:
            result = function()
        except Exception as error:
            assert_one_line(error, allowed)
    assert time.monotonic() - started < SECONDS
    return result


SCRATCH = re.compile(r"\..+\.([a-z0-9_]{8}|[0-9a-f]{8}\.\d+)")


def scratch_in(directory):
    return [path for path in directory.rglob(".*") if SCRATCH.fullmatch(path.name)]
