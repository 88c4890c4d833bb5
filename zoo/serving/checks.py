"""Whether an export is what a server and its clients expect: read, run in TensorFlow's C++ runtime,
and compared with its Python model.

The runtime is that of `zoo/serving/runtime.py`: a process of its own without Keras, TensorFlow
Probability or this package, XLA off.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.models.exported import read_model
from zoo.random import RowNoise, Stream
from zoo.serving import configuration, graph, runtime, warmup
from zoo.serving.saved_model import CARD
from zoo.serving.signatures import DEFAULT_SIGNATURE, made_up_rows, row_noise, signatures
from zoo.versions import check_files, versions

BATCHES = (1, 5, 64)
TOLERANCE = 1e-5
# One row is multiplied by other kernels than 64 are, which round otherwise; a steep decoder
# (cvae_mnist_column) makes 3e-5 of it.
TOLERANCE_OVER_BATCHES = 1e-4
# A draw turns where its uniform number meets a probability, which is known to rounding: there, and
# only there, it may differ.
UNIFORM_TOLERANCE = 1e-5
# One code after another is drawn so, of which each turns all that follow: rows in which one is on
# the edge are left out.
CODE_TOLERANCE = 1e-6
SECONDS = 600


class Finding(NamedTuple):
    """One check's outcome."""

    where: str  # model/version
    check: str
    problem: str | None  # None: it passed


def check(directory: str | Path) -> Iterator[Finding]:
    """Checks an exported version, all versions of a model, or all models of a base directory.

    A model with layers of one's own is compared with its Python model once
    `zoo.serving.import_layers` has run the file that defines them.

    Yields:
        `Finding`s.

    Raises:
        ValueError: If the directory holds no exported version.
    """
    directory = Path(directory).resolve()
    if (directory / "saved_model.pb").is_file():
        yield from _check_version(directory)
        return
    is_base = not versions(directory)
    models = configuration.models(directory) if is_base else [directory]
    if not models:
        raise ValueError(
            f"{str(directory)!r} holds no export: neither saved_model.pb, nor <version>/, nor "
            "<model>/<version>/ with one."
        )
    if is_base and (directory / configuration.MODELS).exists():
        yield Finding(
            directory.name,
            f"{configuration.MODELS} names what is there",
            configuration.problem(directory),
        )
    for model in models:
        for version in versions(model):
            yield from _check_version(model / str(version))


def _check_version(directory):
    for name, problem in _findings(directory):
        yield Finding(f"{directory.parent.name}/{directory.name}", name, problem)


def _findings(directory):
    """Pairs of a check and what is wrong, or None."""
    yield "the files are those of the card", _card_problem(directory)
    try:
        meta_graph = graph.read(directory)
    except ValueError as error:
        yield "the graph can be read", str(error)
        return
    yield from graph.graph_problems(meta_graph).items()
    by_rows, inputs = graph.signature_problems(meta_graph), graph.signature_inputs(meta_graph)
    questions = {
        f"{rows}/{name}": made_up_rows(specs, rows)
        for name, specs in inputs.items()
        for rows in BATCHES
    }
    warm, problem = _warmup_requests(directory, inputs)
    try:
        answers, again = (_ask(directory, questions | warm) for _ in range(2))
    except ValueError as error:
        yield "TensorFlow's C++ runtime loads it", str(error)
        return
    yield "a warm-up request for every signature, and an answer", problem or _refusal(answers, warm)
    try:
        expected, model_problem = _python_answers(directory, inputs), None
    except Exception as error:  # the model may be anyone's
        expected, model_problem = {}, f"{error} ({type(error).__name__})"
    for name in inputs:
        cases = [f"{rows}/{name}" for rows in BATCHES]
        refusal = _refusal(answers, cases)
        yield f"{name}: rows over REST, in batches of any size", by_rows[name]
        yield (
            f"{name}: equal to the Python model",
            refusal or model_problem or _difference_from_python(cases, answers, expected),
        )
        yield f"{name}: a row's answer is its own", refusal or _dependence(cases, answers, expected)
        yield f"{name}: the same bytes in two processes", refusal or _changes(cases, answers, again)


def _card_problem(directory):
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
        if str(card["version"]) != directory.name:
            return f"its card is that of version {card['version']}"
        check_files(directory.parent, card)
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        return (
            f"the card {str(directory / CARD)!r} cannot be read ({type(error).__name__}: {error})"
        )
    except ValueError as error:
        return str(error)
    return None


def _warmup_requests(directory, inputs):
    """The requests of the file as cases, and what is wrong with it, or None."""
    try:
        requests = warmup.read(directory)
    except ValueError as error:
        return {}, str(error)
    missing, unknown = inputs.keys() - requests.keys(), requests.keys() - inputs.keys()
    problem = None
    if missing:
        problem = f"none for {', '.join(sorted(missing))}"
    elif unknown:
        problem = f"unknown: {', '.join(sorted(unknown))}"
    return {f"warmup/{name}": request for name, request in requests.items()}, problem


# -- Answers: dicts of case, "<rows>/<signature>", -> dict of output -> array


def _ask(directory, questions):
    """The answers of a process of its own; the runtime's message where it refused a case.

    Raises:
        ValueError: If the process answers nothing.
    """
    if sys.platform != "linux":  # the names of its library and symbols are Linux's
        raise ValueError(f"that is checked on Linux only, and this is {sys.platform}")
    with tempfile.TemporaryDirectory() as scratch:
        paths = [str(Path(scratch) / name) for name in ("questions.npz", "answers.npz")]
        arrays = {
            f"{case}/{name}": array
            for case, inputs in questions.items()
            for name, array in inputs.items()
        }
        np.savez(paths[0], **arrays)
        command = [sys.executable, "-I", runtime.__file__, str(directory), *paths]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(f"its process did not end within {SECONDS} seconds") from None
        if process.returncode == 1:  # its own words
            raise ValueError(process.stderr.strip().splitlines()[-1])
        if process.returncode:
            raise ValueError(f"its process ended with status {process.returncode}")
        answers = {}
        with np.load(paths[1]) as archive:
            for key in set(archive.files) - {"modules"}:
                rows, signature, *output = key.split("/")
                if output:
                    answers.setdefault(f"{rows}/{signature}", {})[output[0]] = archive[key]
                else:
                    answers[key] = str(archive[key])
        return answers


def _python_answers(directory, inputs):
    """What the Python model says, with the draws next to its own as "sample's neighbours"."""
    model = read_model(directory)
    by_name = signatures(model)
    by_name["serving_default"] = by_name[DEFAULT_SIGNATURE]
    expected = {}
    for name in inputs.keys() & by_name.keys():
        # As graphs, which take made-up conditions as a server does; a user's call would refuse
        # those that are none.
        signature = by_name[name]
        function = signature.traced()
        moved = [
            signature._replace(function=_with_moved_draws(model, by)).traced()
            for by in _moves(name)
        ]
        for rows in BATCHES:
            question = made_up_rows(inputs[name], rows)
            question = {key: tf.constant(value) for key, value in question.items()}
            answer = {output: _array(value) for output, value in function(**question).items()}
            draws = [sample(**question) for sample in moved]
            between = {
                output: tuple(_array(draw[output]) for draw in draws)
                for output in (draws[0] if draws else ())
            }
            expected[f"{rows}/{name}"] = answer, between
    return expected


def _moves(name):
    return (-UNIFORM_TOLERANCE, UNIFORM_TOLERANCE) if name == "sample" else ()


def _array(tensor):
    """A tensor's array; texts as bytes, as the runtime gives them."""
    array = tensor.numpy()
    return array.astype(bytes) if array.dtype == object else array


def _with_moved_draws(model, by):
    """The model's `sample` where each pixel's uniform number is moved: the least and the greatest
    pixel that it may draw. Of a model that draws codes, these as well."""

    def sample(seed, condition=None, **options):
        noise = row_noise(seed)
        noise = _Moved(noise.seed, noise.step, noise.rows, by=by)
        draws = model.generate(noise, condition, **options)
        codes = {"codes": draws["codes"]} if "codes" in draws else {}
        return model.observation.to_served("sample", draws["sample"]) | codes

    return sample


@dataclasses.dataclass(frozen=True)
class _Moved(RowNoise):
    """Draws whose pixels' uniform numbers are all a little greater, or less; and those of codes, by
    less."""

    by: float = 0.0

    def uniform(self, stream, shape, num_samples=None, first_sample=0):
        u = super().uniform(stream, shape, num_samples, first_sample)
        if stream not in (Stream.PIXEL, Stream.CODE):
            return u
        by = self.by if stream == Stream.PIXEL else self.by * CODE_TOLERANCE / UNIFORM_TOLERANCE
        return tf.clip_by_value(u + by, 0.0, 1.0 - 2.0**-24)


def _refusal(answers, cases):
    return next(
        (f"refused: {answers[case]}" for case in cases if isinstance(answers[case], str)), None
    )


def _difference_from_python(cases, answers, expected):
    for case in cases:
        if case not in expected:
            return "the Python model does not answer it"
        problem = _difference(answers[case], *expected[case])
        if problem:
            return f"{case.partition('/')[0]} rows: {problem}"
    return None


def _dependence(cases, answers, expected):
    *fewer, most = cases
    for case in fewer:
        rows = int(case.partition("/")[0])
        first_rows = {name: value[:rows] for name, value in answers[most].items()}
        problem = _difference(
            answers[case], first_rows, expected.get(case, ({}, {}))[1], TOLERANCE_OVER_BATCHES
        )
        if problem:
            return f"{rows} rows alone and among {BATCHES[-1]}: {problem}"
    return None


def _changes(cases, answers, again):
    changed = {
        name
        for case in cases
        for name, value in answers[case].items()
        if value.tobytes() != again[case][name].tobytes()
    }
    return f"other bytes: {', '.join(sorted(changed))}" if changed else None


def _sure_rows(codes, moved):
    """The rows [B] of codes [B, ...] that are the same where the uniform numbers are moved."""
    others = tuple(range(1, codes.ndim))
    return np.all([np.all(codes == each, axis=others) for each in moved], axis=0)


def _picked(arrays, rows):
    return {name: array[rows] for name, array in arrays.items()}


def _difference(received, expected, between, tolerance=TOLERANCE):
    """What is different in words, or None. `between`: output -> two arrays, one of which a text may
    be, and between which a number may lie. Rows whose codes are on the edge are left out."""
    if received.keys() != expected.keys():
        return f"outputs {', '.join(sorted(received))}, not {', '.join(sorted(expected))}"
    if "codes" in between:
        sure = _sure_rows(expected["codes"], between["codes"])
        received, expected = _picked(received, sure), _picked(expected, sure)
        between = {
            name: (least[sure], greatest[sure])
            for name, (least, greatest) in between.items()
            if name != "codes"
        }
    for name, value in expected.items():
        if received[name].shape != value.shape:
            return f"{name!r} has the shape {received[name].shape}, not {value.shape}"
        if value.dtype.kind == "S":
            others = between.get(name, ())
            equal = np.any([received[name] == texts for texts in (value, *others)], axis=0)
            if not np.all(equal):
                return f"{name!r} differs in {np.sum(~equal):,} of {equal.size:,} texts"
            continue
        if not np.all(np.isfinite(received[name])):
            return f"{name!r} holds numbers that are not finite"
        equal = np.isclose(received[name], value, rtol=tolerance, atol=tolerance)
        if name in between:
            least, greatest = np.minimum(*between[name]), np.maximum(*between[name])
            equal |= (least <= received[name]) & (received[name] <= greatest)
        if not np.all(equal):
            largest = np.max(np.abs(received[name] - value))
            return (
                f"{name!r} differs in {np.sum(~equal):,} of {equal.size:,} numbers, by up to "
                f"{largest:.2g}"
            )
    return None
