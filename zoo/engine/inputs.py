"""What users pass to `fit` and `evaluate`, before a model looks at it; batches that Python brings
become `tf.data`."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np
import tensorflow as tf

from zoo import validation


def as_stream(x: Any, passes: int = 1) -> Any:
    """What brings batches as a `tf.data.Dataset`; arrays, dicts of them and data sets as they are.

    A `keras.utils.PyDataset`, PyTorch's DataLoader and whatever else can be walked again and again
    is walked once an epoch, in its own order and in this process. A generator is walked once.

    Args:
        x: What a user passes as data.
        passes: How often it will be walked.

    Raises:
        ValueError: If it brings no batch at all, or is a generator that would be walked several
            times.
    """
    if isinstance(x, keras.utils.PyDataset):
        return _stream(lambda: _batches_of_pydataset(x), x.num_batches, "a PyDataset")
    if isinstance(x, Iterator):
        if passes > 1:
            raise ValueError(
                "A generator can be walked once. Pass `steps_per_epoch` for one that never ends, "
                f"or a keras.utils.PyDataset. Received: a {type(x).__name__} for {passes} epochs."
            )
        first, whole = _peek(x)
        return _stream_like(first, lambda: whole, None)
    if _is_loader(x):
        return _stream(lambda: iter(x), _length(x), f"a {type(x).__name__}")
    return x


def as_arrays(x: Any) -> Any:
    """What brings batches as a dict of whole arrays, or an array; arrays and dicts of them as they
    are.

    Raises:
        ValueError: If it never ends, or brings pairs.
    """
    stream = as_stream(x)
    if not isinstance(stream, tf.data.Dataset):
        return stream
    if stream.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("The data set is infinite: `.take(steps)` of it can be measured.")
    batches = list(stream.as_numpy_iterator())
    if not batches or isinstance(batches[0], tuple):
        raise ValueError(
            "Batches must be images or dicts. Received: "
            f"{'pairs' if batches else 'a data set without a batch'}."
        )
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *batches)


def with_first_batch_checked(
    stream: tf.data.Dataset, check: Callable[[dict[str, tf.Tensor]], None]
) -> tf.data.Dataset:
    """The same stream, which calls `check` with its first batch, a dict of tensors, as that comes
    by; what it raises stops the stream."""

    def look(number, batch):
        def look_at(*values):
            check(dict(zip(batch, values, strict=True)))
            return True

        with tf.control_dependencies(
            [
                tf.cond(
                    number == 0,
                    lambda: tf.py_function(look_at, list(batch.values()), tf.bool),
                    lambda: True,
                )
            ]
        ):
            return tf.nest.map_structure(tf.identity, batch)

    return stream.enumerate().map(look)


def sizes(**values: Any) -> list[int | None]:
    """Positive integers, or None where a value is None, in their order.

    Raises:
        ValueError: If one is neither.
    """
    return [
        None if value is None else validation.integer(name, value) for name, value in values.items()
    ]


def refuse(**arguments: Any) -> None:
    """Raises ValueError for what a generative model has no use for."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"A generative model has no `{name}`: pass images alone, or a dict {{'image': "
                f"..., 'condition': ...}}. Received: {name} of type {type(value).__name__}."
            )


def only_x(data: Any, argument: str) -> Any:
    """x of (x,), (x, None) or (x, None, None); a dict, an array or a data set as it is."""
    if not isinstance(data, (tuple, list)) or len(data) == 0:
        return data
    if any(part is not None for part in data[1:]):
        raise ValueError(
            f"`{argument}` holds targets or weights, which a generative model does not use. "
            "Pass images alone, or a dict."
        )
    return data[0]


def split(data: Any, fraction: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last `fraction` of every array is for validation, as in Keras."""
    if isinstance(data, tf.data.Dataset):
        raise ValueError(
            "`validation_split` needs arrays. Received: a tf.data.Dataset and "
            f"validation_split={fraction}."
        )
    num_rows = len(next(iter(data.values())))
    boundary = int(num_rows * (1 - fraction))
    if not 0 < boundary < num_rows:
        raise ValueError(
            "`validation_split` leaves no examples on one side. Received: "
            f"validation_split={fraction}, {num_rows} examples."
        )
    return {k: v[:boundary] for k, v in data.items()}, {k: v[boundary:] for k, v in data.items()}


@runtime_checkable
class _Indexed(Protocol):
    """Arrays, lists, texts and mappings."""

    def __getitem__(self, index: Any, /) -> Any: ...


def _is_loader(x):
    """Whether `x` is walked by batches, and no array, list, text or mapping."""
    return isinstance(x, Iterable) and not isinstance(x, (_Indexed, tf.data.Dataset, Set))


def _length(x):
    try:
        return len(x)
    except TypeError:  # how PyTorch says that a loader's length is not known
        return None


def _batches_of_pydataset(x):
    for index in range(x.num_batches) if x.num_batches is not None else itertools.count():
        yield x[index]
    x.on_epoch_end()


def _stream(batches, length, what):
    first = next(iter(batches()), None)
    if first is None:
        raise ValueError(f"There are no images. Received: {what} without a batch.")
    return _stream_like(first, batches, length)


def _peek(iterator):
    first = next(iterator, None)
    if first is None:
        raise ValueError("There are no images. Received: a generator that has come to its end.")
    return first, itertools.chain([first], iterator)


def _stream_like(first, batches, length):
    """The data set of `batches()`, whose elements have the form of `first` but for their number of
    rows."""
    first = _arrays(first)
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), first
    )
    stream = tf.data.Dataset.from_generator(
        lambda: map(_arrays, batches()), output_signature=signature
    )
    if length is None:
        return stream
    return stream.apply(tf.data.experimental.assert_cardinality(length))


def _arrays(batch):
    """A batch with arrays for whatever holds its numbers; (x,) and (x, None) are x."""
    if isinstance(batch, (list, tuple)):
        batch = tuple(batch)
        if all(part is None for part in batch[1:]):
            return _arrays(batch[0])
    return tf.nest.map_structure(np.asarray, batch)
