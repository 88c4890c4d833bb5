"""Writes a model as a SavedModel for TF Serving, and checks it before anyone can load it.

A stock `tensorflow_model_server` switches XLA off and refuses a graph with a compiled function in it; its batching wants every input and
output to lead with the batch dimension; and a draw without a seed in the question would replay one sequence at every start. So the
graph holds neither compiled functions nor stateful draws.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.cards import file_hashes
from zoo.serving import graph
from zoo.serving.signatures import signatures

DEFAULT_SIGNATURE = "reconstruct"
CHECK_ROWS = 3


def export(model, directory, *, version=None, card=None):
    """Writes `<directory>/<version>/`, beside its place at first and renamed when it was checked.

    Args:
        model: A `zoo.VAE`.
        directory: The model's directory, as in TF Serving's `base_path`.
        version: Positive integer; by default the next one.
        card: Dict that is kept in `assets.extra/card.json`, with the version and the files' sha256 added.

    Returns:
        The version's directory.

    Raises:
        ValueError: If the version exists or is no positive integer.
        RuntimeError: If the written model does not answer as the Python model does.
    """
    directory = Path(directory)
    version = _next_version(directory) if version is None else version
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"`version` must be a positive integer. Received: version={version!r}.")
    target = directory / str(version)
    if target.exists():
        raise ValueError(f"Version {version} exists: {target}. Leave `version` out to write the next one.")
    directory.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{version}.", dir=directory))
    try:
        functions = signatures(model)
        _write(model, functions, beside)
        _check(functions, beside)
        if card is not None:
            files = {f"{version}/{name.partition('/')[2]}": digest for name, digest in file_hashes(beside).items()}
            (beside / "assets.extra").mkdir()
            content = json.dumps({**card, "version": version, "files": files}, indent=2)
            (beside / "assets.extra" / "card.json").write_text(content + "\n", encoding="utf-8")
        beside.chmod(0o755)  # temporary directories are private; a server runs as someone else
        os.rename(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target


def versions(directory):
    """The versions in a model's directory, ascending."""
    directory = Path(directory)
    return sorted(int(child.name) for child in directory.iterdir() if child.name.isdigit()) if directory.is_dir() else []


def _next_version(directory):
    return max(versions(directory), default=0) + 1


def _write(model, functions, directory):
    module = tf.Module()
    # In the order of `model.weights`: where `zoo.load` reads them from.
    module.model_weights = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(directory), {**functions, "serving_default": functions[DEFAULT_SIGNATURE]})


def _check(functions, directory):
    """Raises unless the files answer as the model does, and hold nothing that a stock server refuses."""
    meta_graph = graph.read(directory)
    for check, problem in graph.graph_problems(meta_graph).items():
        if problem:
            raise RuntimeError(f"The exported graph fails the check {check!r}: {problem}.")
    for name, problem in graph.signature_problems(meta_graph).items():
        if problem:
            raise RuntimeError(f"Signature {name!r} cannot be served by rows: {problem}.")
    loaded = tf.saved_model.load(str(directory))
    for name, function in functions.items():
        question = _question(function)
        expected, received = function(**question), loaded.signatures[name](**question)
        for output, value in expected.items():
            if not np.allclose(received[output], value, rtol=1e-5, atol=1e-5, equal_nan=True):
                raise RuntimeError(f"Signature {name!r} does not answer as the model does: {output!r} differs.")


def _question(function):
    """Made-up inputs of a signature: `CHECK_ROWS` rows."""
    generator = np.random.default_rng(0)
    question = {}
    for name, spec in function.structured_input_signature[1].items():
        shape = [CHECK_ROWS, *spec.shape[1:]]
        values = generator.integers(0, 100, shape) if spec.dtype.is_integer else generator.random(shape)
        question[name] = tf.constant(values, spec.dtype)
    return question
