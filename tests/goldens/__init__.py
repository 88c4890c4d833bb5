"""Goldens: what the stored models and their recipes gave when this was written, for every later
revision to give again.

    python -m tests.goldens new                            # of models and recipes that have none
    python -m tests.goldens [numbers draws fits answers]   # writes them anew, for a defect's sake

    numbers.json   the published numbers of every stored version, which `zoo verify` recomputes
    draws.json     the integer bits that every stored model draws: in a training step, in
                   evaluation, and when it samples
    fits.json      the metrics of five training steps of every recipe, in each execution mode,
                   and of an evaluation after them
    answers.json   a part of what every stored version answers as a SavedModel

A file that changes is committed with what changed it, and with the reason.
"""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.small_models import a_table
from zoo import registry
from zoo.observations import Image, Table
from zoo.random import EVALUATION_STEP, RowNoise, layers_draw
from zoo.random import noise as draws_of_rows
from zoo.runs import training
from zoo.serving import export
from zoo.serving.signatures import made_up_rows, signatures
from zoo.store import cards, pretrained
from zoo.versions import versions

DIRECTORY = Path(__file__).parent
MODES = {
    "xla-block": {"jit_compile": True},
    "tf-loop": {"jit_compile": False},
    "eager": {"run_eagerly": True},
}
STEPS, BATCH_SIZE = 5, 20
# Rows of a served question, and numbers of each output that are kept.
ROWS, KEPT = 2, 16


def read(kind: str) -> dict:
    return json.loads((DIRECTORY / f"{kind}.json").read_text(encoding="utf-8"))


def stored() -> list[tuple[str, int]]:
    """(recipe, version) of every stored model."""
    names = [name for name in registry.list_recipes() if cards.find_card(name)]
    return [(name, version) for name in names for version in versions(cards.model_directory(name))]


def numbers(name: str, version: int) -> dict:
    """The published value of each number of a version's card; of a mean over runs, that of the run
    whose weights are stored."""
    card = cards.read_version_card(cards.model_directory(name) / str(version))
    published = {key: number for key, number in card["numbers"].items() if "version" not in number}
    return {
        key: number["values"][0] if "values" in number else number["value"]
        for key, number in published.items()
    }


def draws(name: str, version: int) -> dict:
    """What is done -> the distinct rows of bits that it draws, as the start of their sha256."""
    model = pretrained.load(name, version)
    model.compile("sgd", run_eagerly=True)
    examples = model.standardize(mock_examples(model, BATCH_SIZE))
    batch = {key: tf.constant(np.asarray(array)[:2]) for key, array in examples.items()}
    found = {}
    for what, step in (("training", 3), ("evaluation", EVALUATION_STEP)):
        noise = RowNoise(5, step, tf.range(2))
        with _Bits() as bits, layers_draw(noise):
            model.loss_terms(model.prepare(batch, noise), noise, training=what == "training")
        found[what] = bits.found()
    if hasattr(model, "sample"):
        condition = None if model.condition_shape is None else _condition(model.condition_shape)
        with _Bits() as bits:
            model.sample(2, seed=7, condition=condition)
        found["sample"] = bits.found()
    return found


def _condition(shape):
    """The first class, or images."""
    return tf.one_hot([0, 0], *shape) if len(shape) == 1 else tf.ones([2, *shape])


class _Bits:
    """Collects the bits that `zoo.random` makes numbers of, while eager code runs within it."""

    def __enter__(self):
        self._rows, self._unit_interval = set(), draws_of_rows._unit_interval
        draws_of_rows._unit_interval = self._collect
        return self

    def __exit__(self, *exception):
        draws_of_rows._unit_interval = self._unit_interval

    def _collect(self, bits):  # [S, B, size]
        self._rows |= {
            hashlib.sha256(row.tobytes()).hexdigest()[:16]
            for row in bits.numpy().reshape(-1, bits.shape[-1])
        }
        return self._unit_interval(bits)

    def found(self):
        return sorted(self._rows)


def fit(name: str, mode: str) -> dict:
    """The metrics of five training steps of a recipe on noise, then those of an evaluation."""
    spec = registry.find(name).build({})
    table = {"table": a_table(STEPS * BATCH_SIZE)} if spec.model_of_examples else None
    model = training.build(spec, 10, table)
    model.compile(model.optimizer, **MODES[mode])
    examples = mock_examples(model, STEPS * BATCH_SIZE) if table is None else table
    if spec.initialize is not None:
        spec.initialize(model, _enough(examples) if table is None else table)
    if "label" in examples and spec.training_examples is not None:
        examples["label"][::2] = -1
    history = model.fit(examples, batch_size=BATCH_SIZE, verbose=0).history
    evaluated = model.evaluate(examples, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
    return {key: values[0] for key, values in history.items()} | {
        f"val_{key}": value for key, value in evaluated.items()
    }


def answers(name: str, version: int, ask) -> dict:
    """signature/output -> some numbers of the answer; `ask` is a function (signature, inputs) ->
    dict of arrays."""
    asked = signatures(pretrained.load(name, version))
    generator, found = np.random.default_rng(0), {}
    for signature, (_, inputs) in sorted(asked.items()):
        for output, value in sorted(ask(signature, made_up_rows(inputs, ROWS)).items()):
            places = np.sort(generator.integers(0, value.size, KEPT))
            found[f"{signature}/{output}"] = [
                *value.ravel()[places].tolist(),
                float(value.mean(dtype=np.float64)),
            ]
    return found


def served(name: str, version: int):
    """Asks the stored SavedModel."""
    return _asks(cards.model_directory(name) / str(version))


def exported(name: str, version: int, directory: Path):
    """Asks a SavedModel that the loaded model is now exported to."""
    return _asks(export(pretrained.load(name, version), directory / name))


def _asks(directory):
    loaded = tf.saved_model.load(str(directory))
    return lambda signature, inputs: _arrays(
        loaded.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
    )


def in_python(name: str, version: int):
    """Asks the functions that an export of the loaded model would hold."""
    asked = signatures(pretrained.load(name, version))
    return lambda signature, inputs: _arrays(
        tf.function(asked[signature].function, autograph=False)(**inputs)
    )


def _arrays(answer):
    """Texts, which tables are told in, by their checksums."""
    return {
        output: np.vectorize(zlib.crc32, otypes=[np.int64])(value.numpy())
        if value.dtype == tf.string
        else value.numpy()
        for output, value in answer.items()
    }


def mock_examples(model, num_rows: int) -> dict:
    """Noise with labels."""
    shape, generator = (num_rows, *model.observation.shape), np.random.default_rng(0)
    if isinstance(model.observation, Table):
        x = model.sample(num_rows, seed=0)
    elif isinstance(model.observation, Image):
        x = generator.integers(0, 256, shape).astype(np.uint8)
    else:
        x = model.observation.made_up(shape, generator)
    return {model.key: x, "label": np.arange(num_rows, dtype=np.int32) % 10}


def _enough(examples):
    """As many rows as an initialization may ask for: pseudo-inputs start from images."""
    return {key: np.concatenate([array] * 6) for key, array in examples.items()}
