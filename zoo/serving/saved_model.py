"""Writes a model as a SavedModel for TF Serving, and checks it before anyone can load it.

A stock `tensorflow_model_server` switches XLA off and refuses a graph with a compiled function in
it; its batching wants every input and output to lead with the batch dimension; and a draw without a
seed in the question would replay one sequence at every start. So the graph holds neither compiled
functions nor stateful draws.

    <directory>/<version>/
        saved_model.pb, fingerprint.pb, variables/      what a server loads
        assets.extra/tf_serving_warmup_requests         what it asks itself first
        assets.extra/model.json                         the Keras model's configuration,
                                                        which `read_model` builds it from
        assets.extra/card.json                          what is known of the model, and the
                                                        sha256 of every other file
"""

import importlib.metadata
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.files import check_directory_target, rename_into_place, scratch_directory
from zoo.models import architecture
from zoo.models.base import Model
from zoo.models.exported import CARD, CONFIGURATION
from zoo.own_layers import import_layers as import_layers  # users know it as of here
from zoo.serving import graph, warmup
from zoo.serving.compact import compact
from zoo.serving.packed import PackedWeights
from zoo.serving.signatures import DEFAULT_SIGNATURE, made_up_rows, signatures
from zoo.versions import file_hashes, versions

logger = logging.getLogger("zoo")

CHECK_ROWS = 3


def export(
    model: keras.Model,
    directory: str | Path,
    *,
    version: int | None = None,
    card: Mapping[str, Any] | None = None,
    packed: bool = False,
) -> Path:
    """Writes `<directory>/<version>/`, beside its place at first and renamed when it was checked.

    Args:
        model: A model of the zoo.
        directory: The model's directory, as in TF Serving's `base_path`; its name is the name under
            which the model is served.
        version: Positive integer; by default the next one.
        packed: Whether the weights lie packed in the file, in a quarter of the space; they have to
            be rounded already (`zoo.packing.round_weights`).
        card: Dict of what is known of the model, kept in `assets.extra/card.json` with the version
            and the files' sha256.

    Returns:
        The version's directory.

    Raises:
        TypeError: If the model is none of the zoo.
        ValueError: If the version exists or is no positive integer.
        RuntimeError: If the written model does not answer as the Python model does.
    """
    directory = Path(directory)
    if not isinstance(model, Model):
        raise TypeError(
            f"`zoo.export` writes models of the zoo. Received: model={type(model).__name__}. "
            "Keras's own `model.export(path)` writes other models; one that ends in a "
            "distribution answers with its mean."
        )
    version = None if version is None else validation.integer("version", version)
    if version is not None and (directory / str(version)).exists():
        raise ValueError(_exists(directory / str(version)))
    check_directory_target("`directory`", directory)
    answered = signatures(model)
    functions = {name: signature.traced() for name, signature in answered.items()}
    requests = {name: made_up_rows(signature.inputs, 1) for name, signature in answered.items()}
    with scratch_directory(directory, str(version or _next_version(directory))) as beside:
        _write(model, functions, beside, packed)
        questions = {
            name: (functions[name], made_up_rows(signature.inputs, CHECK_ROWS))
            for name, signature in answered.items()
        }
        _check(questions, beside)
        requests["serving_default"] = requests[DEFAULT_SIGNATURE]
        warmup.write(beside, directory.resolve().name, requests)
        _write_configuration(model, beside)
        return _publish(beside, directory, version, {"versions": _versions(), **(card or {})})


def _publish(beside, directory, version, card):
    """Gives a version's files their card and their place; where other processes export here too,
    the first number that is free."""
    hashes = {name.partition("/")[2]: digest for name, digest in file_hashes(beside).items()}
    while True:
        number = version or _next_version(directory)
        files = {f"{number}/{name}": digest for name, digest in hashes.items()}
        content = json.dumps({**card, "version": number, "files": files}, indent=2) + "\n"
        (beside / CARD).write_text(content, encoding="utf-8")
        try:
            rename_into_place(beside, directory / str(number))
        except FileExistsError:
            if version is not None:
                raise ValueError(_exists(directory / str(version))) from None
        else:
            return directory / str(number)


def _exists(target):
    return f"Version {target.name} exists: {target}. Leave `version` out to write the next one."


def _next_version(directory):
    return max(versions(directory), default=0) + 1


class _Exported(tf.Module):
    """What is saved beside the functions: the weights, under the name of their form."""

    weights: PackedWeights
    model_weights: list[tf.Variable]


def _write(model, functions, directory, packed):
    module = _Exported()
    # In the order of `model.weights`: where `read_weights` finds them.
    variables = [weight.value for weight in model.weights]
    if packed:
        module.weights = PackedWeights(variables)
    else:
        module.model_weights = variables
    tf.saved_model.save(
        module,
        str(directory),
        {**functions, "serving_default": functions[DEFAULT_SIGNATURE]},
        # Those of activations such as SiLU refer to tensors of graphs that are compacted away.
        tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )
    compact(directory)


def _write_configuration(model, directory):
    """Left out, with a warning, where a part of the user's own has no `get_config`: such an export
    serves, and nothing more."""
    try:
        configuration = architecture.as_text(model)
    except ValueError as error:
        logger.warning(
            "The export holds no configuration of its Python model, so that `zoo check` cannot "
            "compare the two: %s",
            error,
        )
        return
    (directory / CONFIGURATION).write_text(configuration, encoding="utf-8")


def _versions():
    return {
        name: importlib.metadata.version(name)
        for name in ("tensorflow", "keras", "tensorflow-probability", "vae-zoo")
    }


def _check(questions, directory):
    """Raises unless the files answer as the functions do, and hold nothing that a stock server
    refuses."""
    meta_graph = graph.read(directory)
    for check, problem in graph.graph_problems(meta_graph).items():
        if problem:
            raise RuntimeError(f"The exported graph fails the check {check!r}: {problem}.")
    for name, problem in graph.signature_problems(meta_graph).items():
        if problem:
            raise RuntimeError(f"Signature {name!r} cannot be served by rows: {problem}.")
    loaded = tf.saved_model.load(str(directory))
    for name, (function, inputs) in questions.items():
        inputs = {key: tf.constant(value) for key, value in inputs.items()}
        expected, received = function(**inputs), loaded.signatures[name](**inputs)
        for output, value in expected.items():
            if not _is_close(received[output].numpy(), value.numpy()):
                raise RuntimeError(
                    f"Signature {name!r} does not answer as the model does: {output!r} differs."
                )


def _is_close(received, expected):
    if expected.dtype == object:  # texts
        return np.array_equal(received, expected)
    return np.allclose(received, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
