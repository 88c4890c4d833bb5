"""What commands do with what was typed before they begin."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.files import check_directory_target, check_file_target

if TYPE_CHECKING:
    import tensorflow as tf


def start_tensorflow(arguments: argparse.Namespace) -> "tf.distribute.Strategy | None":
    """What commands with TensorFlow begin with: it is imported, and layers of one's own; returns
    the strategy that is asked for."""
    strategy = _import_tensorflow(vars(arguments).get("strategy"))
    for name in vars(arguments).get("imports") or ():
        from zoo.own_layers import import_layers

        import_layers(name)
    return strategy


def _import_tensorflow(strategy):
    """Imports TensorFlow without the notices that its C++ side writes at any log level; returns the
    strategy of a name."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel("ERROR")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        # TensorFlow Probability first: it then loads less of itself, and starting takes 0.6 s less.
        import tensorflow_probability  # noqa: F401, I001
        import tensorflow as tf

        if strategy is not None:
            from zoo.engine.replicas import make_strategy

            # Workers connect before TensorFlow does anything else.
            strategy = make_strategy(strategy)
        with contextlib.suppress(RuntimeError):
            tf.config.list_physical_devices("GPU")
            tf.zeros([])
        return strategy
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def check_file(option: str, path: str | None) -> None:
    if path:
        check_file_target(option, path)


def check_directory(option: str, path: str | None) -> None:
    if path:
        check_directory_target(option, path)


def assignments(words: Sequence[str]) -> dict[str, str]:
    """["beta=8"] -> {"beta": "8"}."""
    pairs = [word.partition("=") for word in words]
    for word, (name, equals, _) in zip(words, pairs, strict=True):
        if not (name and equals):
            raise ValueError(f"Arguments of a recipe are written name=value. Received: {word!r}.")
    return {name: value for name, _, value in pairs}


def temperature(texts: Sequence[str]) -> float | dict[str, float]:
    """What `sample` takes, of texts such as "0.8" or "z1=0.8"; 1 of none.

    Raises:
        ValueError: If one is no number, or numbers for all and for one latent are mixed.
    """
    by_name = {}
    for text in texts:
        name, separator, number = text.rpartition("=")
        try:
            by_name[name if separator else ""] = float(number)
        except ValueError:
            raise ValueError(
                f"--temperature takes a number, or LATENT=NUMBER. Received: --temperature {text}."
            ) from None
    if "" not in by_name:
        return by_name or 1.0
    if len(by_name) > 1:
        raise ValueError(
            "--temperature is one number for all latents, or one for each that is named. Received: "
            f"{' and '.join(texts)}."
        )
    return by_name[""]
