"""When Keras's callbacks want to be called, and what that makes of blocks."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import keras

from zoo.engine.feeds import ArrayFeed
from zoo.engine.streams import StreamFeed


@runtime_checkable
class PerBlock(Protocol):
    """A callback that overrides hooks of batches and yet is content with one call a block."""

    per_block: bool


@runtime_checkable
class RestoresMetrics(Protocol):
    """A callback that brings back the metrics of the epoch that a run was stopped in."""

    restores_metrics: bool


@runtime_checkable
class SavesEvery(Protocol):
    """`ModelCheckpoint` and `BackupAndRestore`."""

    save_freq: int | str


@runtime_checkable
class WritesEvery(Protocol):
    """`TensorBoard`."""

    update_freq: int | str


def steps_asked_for(
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None,
    hooks: tuple[str, ...] = (
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_batch_begin",
        "on_batch_end",
    ),
) -> int | None:
    """After how many batches callbacks want to be called, at the most; None where once a block
    will do.

    Args:
        callbacks: Keras callbacks, in lists or not, or None. One that overrides a hook of batches
            asks for each of them; those of Keras that save every so many batches ask for that many.
            A callback with the attribute `per_block = True` asks for none.
        hooks: Names of the hooks that count.
    """
    steps = [_steps_of(callback, hooks) for callback in _each(callbacks)]
    intervals = [number for number in steps if number is not None]
    return math.gcd(*intervals) if intervals else None


def last_initial_step(
    steps_per_epoch: int | None,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None,
) -> float:
    """Where an epoch can go on: where a step is left. Where a callback brings the metrics back
    (`restores_metrics = True`), no step need be: the epoch then has its validation alone to come.
    """
    if steps_per_epoch is None:
        return math.inf
    whole = any(
        isinstance(callback, RestoresMetrics) and callback.restores_metrics
        for callback in _each(callbacks)
    )
    return steps_per_epoch if whole else steps_per_epoch - 1


def _each(callbacks):
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    if callbacks is None:
        return []
    return callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]


def _steps_of(callback, hooks):
    if isinstance(callback, (keras.callbacks.TerminateOnNaN, keras.callbacks.ProgbarLogger)):
        return None
    match callback:
        case PerBlock(per_block=True):
            return None
        case SavesEvery(save_freq=frequency) | WritesEvery(update_freq=frequency):
            return frequency if isinstance(frequency, int) else None
    overridden = (
        hook in vars(callback)
        or getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook)
        for hook in hooks
    )
    return 1 if any(overridden) else None


def end_blocks_every(feed: ArrayFeed | StreamFeed, steps: int) -> None:
    """Makes a feed's blocks end where callbacks that ask for every so many batches want to be
    called, across epochs."""
    common = math.gcd(steps, feed.steps_per_epoch or 1)
    feed.block_steps = max(
        length for length in range(1, feed.block_steps + 1) if common % length == 0
    )
