"""The Python model of an exported version: built from its configuration, with its weights."""

import importlib.metadata
import json
from pathlib import Path

import keras
import tensorflow as tf

from zoo import supported
from zoo.engine.compiled import CompiledModel
from zoo.models import architecture
from zoo.packing import unpack

CARD = Path("assets.extra") / "card.json"
CONFIGURATION = Path("assets.extra") / "model.json"
PACKED = "weights/packed/.ATTRIBUTES/VARIABLE_VALUE"


def read_model(version_directory: str | Path) -> CompiledModel:
    """The Python model of an export: built from its configuration, with its weights. Nothing that
    lies there is executed.

    Raises:
        ValueError: If the export holds no configuration, or one that cannot be built here, or the
            weights do not fit. Layers of one's own are built once `zoo.serving.import_layers` has
            run the file that defines them.
    """
    try:
        model = architecture.read(Path(version_directory) / CONFIGURATION)
    except ValueError as error:
        raise ValueError(f"{error}{_upgrade(Path(version_directory))}") from None
    read_weights(model, version_directory)
    return model


def _upgrade(version_directory):
    """Advice, where a later version of this package has written the export."""
    try:
        card = json.loads((version_directory / CARD).read_text(encoding="utf-8"))
        theirs, ours = card["versions"]["vae-zoo"], importlib.metadata.version("vae-zoo")
        is_newer = supported.parts(theirs) > supported.parts(ours)
    except (OSError, ValueError, KeyError, TypeError):  # a card that does not tell
        return ""
    if not is_newer:
        return ""
    return f" It was written by vae-zoo {theirs}, and this is {ours}: pip install --upgrade vae-zoo"


def read_weights(model: keras.Model, version_directory: str | Path) -> None:
    """Reads the weights of an exported model into one of the same architecture.

    Raises:
        ValueError: If they cannot be read or do not fit.
    """
    prefix = Path(version_directory) / "variables" / "variables"
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        if reader.has_tensor(PACKED):
            packed = reader.get_tensor(PACKED)
            values = [
                unpack(p, w.shape, w.dtype) for p, w in zip(packed, model.weights, strict=True)
            ]
        else:
            values = [
                reader.get_tensor(f"model_weights/{i}/.ATTRIBUTES/VARIABLE_VALUE")
                for i in range(len(model.weights))
            ]
        for weight, value in zip(model.weights, values, strict=True):
            weight.assign(value)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(f"The weights {str(prefix)!r} cannot be read: {error}") from None
