"""A model's architecture as text: kept beside its weights, and built again without running
anybody's code.

Keras builds what is registered here, its own layers and this package's, and what the user has
imported (`zoo.own_layers`); it imports nothing that a text names, and refuses Python code in one
(`Lambda`).
"""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import keras

from zoo.engine.compiled import CompiledModel
from zoo.generators import generators_left_alone
from zoo.own_layers import unknown_parts

FINE_TUNING_RATE = 3e-4
# Arguments of Keras's layers and initializers that its older versions do not know, at their
# defaults. A configuration that says them means nothing by them.
SAYS_NOTHING = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}


def as_text(model: keras.Model) -> str:
    """The model's configuration, as JSON.

    Raises:
        ValueError: If a part of the user's own says nothing of itself.
    """
    try:
        return json.dumps(keras.saving.serialize_keras_object(model), indent=1) + "\n"
    except (NotImplementedError, TypeError) as error:  # how Keras, and JSON, say so
        reason = " ".join(str(error).split())
        raise ValueError(
            f"A part of the model has no `get_config` that JSON can hold: {reason}"
        ) from None


def read(path: Path) -> CompiledModel:
    """The model of a file that holds `as_text`, with weights of no meaning; the global generators
    are left alone.

    Raises:
        ValueError: If the file is missing or damaged, or names what is not registered here.
    """
    importlib.import_module("zoo.models")  # what a configuration names has to be registered
    try:
        configuration = json.loads(path.read_text(encoding="utf-8"))
        unknown = unknown_parts(configuration)
        if unknown:
            raise LookupError(
                f"nothing here defines {', '.join(unknown)}, and code of somebody's own is not "
                "run unasked. Name the file that does: "
                '`--import FILE.py` on the command line, or `zoo.serving.import_layers("FILE.py")`'
            )
        with generators_left_alone():
            model = keras.saving.deserialize_keras_object(for_any_version(configuration))
        if not isinstance(model, CompiledModel):
            raise TypeError("it describes no model of the zoo")
    except Exception as error:  # whatever the constructors of a model's parts raise
        # Of a part that fails Keras tells in what it says of the whole, behind the whole's
        # configuration.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = " ".join(reason.partition("Full object config:")[0].split())
        raise ValueError(
            f"No Python model can be built from {str(path)!r} ({type(error).__name__}: {reason})"
        ) from None
    return model


def for_any_version(part: Any) -> Any:
    """A configuration without arguments that say nothing and that older versions refuse."""
    if isinstance(part, list):
        return [for_any_version(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: for_any_version(value)
        for name, value in part.items()
        if name not in SAYS_NOTHING or value != SAYS_NOTHING[name]
    }


def in_float32(model: CompiledModel) -> CompiledModel:
    """A compiled model with the same weights whose layers all compute in float32; the model itself
    where none has a policy of mixed precision."""
    text = as_text(model)
    single = re.sub('"mixed_b?float16"', '"float32"', text)
    if single == text:
        return model
    with generators_left_alone():
        copy = ready(keras.saving.deserialize_keras_object(json.loads(single)))
    copy.set_weights(model.get_weights())
    return copy


def ready(model: CompiledModel) -> CompiledModel:
    """The same model, compiled: to evaluate, or to train further (with Adam at 3e-4)."""
    others = {update.name: keras.optimizers.Adam(FINE_TUNING_RATE) for update in model.updates[1:]}
    model.compile(keras.optimizers.Adam(FINE_TUNING_RATE), optimizers=others)
    return model
