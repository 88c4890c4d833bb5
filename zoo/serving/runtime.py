"""A SavedModel in TensorFlow's own C++ runtime, as a stock model server runs it.

`tensorflow_model_server` reads a version directory with `tensorflow::LoadSavedModel`, has switched
XLA's compilation off, and answers a request with `Session::Run` on the tensors that the signature
names. `libtensorflow_cc` in TensorFlow's wheel holds the same loader behind C functions, which this
file calls by ctypes: no TensorFlow for Python, no Keras, no TensorFlow Probability, nothing of this
package. As a program,

    python -I zoo/serving/runtime.py VERSION_DIRECTORY QUESTIONS.npz ANSWERS.npz

it switches XLA off and answers a file: `QUESTIONS` holds an array `case/signature/input` for every
input of every case, `ANSWERS` an array `case/signature/output` or, where the runtime refused the
case, its message as `case/signature`; and in `modules` the names of the packages that this process
has imported.

Reference:
    tensorflow/c/c_api.h; tensorflow_serving/servables/tensorflow/predict_util.cc.
"""

import ctypes
import functools
import importlib.util
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TAG = b"serve"
# tensorflow::DisableXlaCompilation(), as C++ compilers name it: a stock server calls it at its
# start.
DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"
# TF_DataType of c_api.h.
DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    19: "float16",
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
STRING = CODES["string"]
# Bytes of a TF_TString.
STRING_SIZE = 24


class RuntimeFailure(RuntimeError):
    """The C++ runtime refused to load or to answer; the message is its own."""


class Port(NamedTuple):
    """An input or an output of a signature."""

    tensor: str  # its name in the graph
    dtype: str
    # None for a dimension of any size; None instead of a tuple for any rank.
    shape: tuple[int | None, ...] | None


class Signature(NamedTuple):
    inputs: dict[str, Port]
    outputs: dict[str, Port]


class Session:
    """A version directory, loaded until `close` or the end of a `with`. `run` may be called from
    several threads.

    Args:
        directory: Path of a version directory, which holds `saved_model.pb`.

    Attributes:
        signatures: Dict of name -> `Signature`.

    Raises:
        RuntimeFailure: If it cannot be loaded.
    """

    def __init__(self, directory: str | Path) -> None:
        self._graph, self._session = _library().TF_NewGraph(), None
        try:
            definitions = _meta_graph_class().FromString(self._load(directory)).signature_def
            self.signatures = {
                name: Signature(_ports(d.inputs), _ports(d.outputs))
                for name, d in definitions.items()
                if d.method_name
            }
        except BaseException:
            self.close()
            raise

    def _load(self, directory):
        """Loads graph and session; returns the bytes of the meta graph."""
        library = _library()
        options, buffer = library.TF_NewSessionOptions(), library.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(TAG)
        try:
            with _Status() as status:
                self._session = library.TF_LoadSessionFromSavedModel(
                    options,
                    None,
                    os.fsencode(directory),
                    tags,
                    len(tags),
                    self._graph,
                    buffer,
                    status,
                )
            return ctypes.string_at(buffer.contents.data, buffer.contents.length)
        finally:
            library.TF_DeleteSessionOptions(options)
            library.TF_DeleteBuffer(buffer)

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The signature's answer.

        Args:
            signature: Its name.
            inputs: Dict of name -> array.

        Returns:
            Dict of name -> array.

        Raises:
            RuntimeFailure: If there is no such signature, an input is missing or unknown, or the
                runtime refuses its type or shape.
        """
        if signature not in self.signatures:
            raise RuntimeFailure(
                f"There is no signature {signature!r}: there are "
                f"{', '.join(sorted(self.signatures))}."
            )
        ports, outputs = self.signatures[signature]
        if inputs.keys() != ports.keys():  # a server compares the names itself, too
            raise RuntimeFailure(
                f"{signature!r} takes the inputs {', '.join(sorted(ports))}. Received: "
                f"{', '.join(sorted(inputs))}."
            )
        library = _library()
        fed = [_to_tensor(np.asarray(array)) for array in inputs.values()]
        answers = (ctypes.c_void_p * len(outputs))()
        try:
            with _Status() as status:
                library.TF_SessionRun(
                    self._session,
                    None,
                    self._ends(ports[name] for name in inputs),
                    (ctypes.c_void_p * len(fed))(*fed),
                    len(fed),
                    self._ends(outputs.values()),
                    answers,
                    len(answers),
                    *(None, 0, None),
                    status,
                )
            return {name: _to_array(tensor) for name, tensor in zip(outputs, answers, strict=True)}
        finally:
            for tensor in [*fed, *filter(None, answers)]:
                library.TF_DeleteTensor(tensor)

    def close(self) -> None:
        library, session, graph = _library(), self._session, self._graph
        self._session = self._graph = None
        if session:
            with _Status() as status:
                library.TF_DeleteSession(session, status)
        if graph:
            library.TF_DeleteGraph(graph)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _ends(self, ports):
        ends = []
        for port in ports:
            name, _, index = port.tensor.partition(":")
            operation = _library().TF_GraphOperationByName(self._graph, name.encode())
            ends.append(_Output(operation, int(index or 0)))
        return (_Output * len(ends))(*ends)


def disable_xla() -> None:
    """Makes every later XLA compilation of this process fail, as in a stock server."""
    getattr(_library(), DISABLE_XLA)()


# -- The C functions


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


class _Status:
    """A `TF_Status` that raises what it holds."""

    def __enter__(self) -> int:
        self.pointer = _library().TF_NewStatus()
        return self.pointer

    def __exit__(self, *exception: Any) -> None:
        code = _library().TF_GetCode(self.pointer)
        message = _library().TF_Message(self.pointer).decode(errors="replace")
        _library().TF_DeleteStatus(self.pointer)
        if code:
            raise RuntimeFailure(message)


def _tensorflow_directory():
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeFailure("TensorFlow is not installed: its wheel brings the C++ runtime.")
    return Path(next(iter(spec.submodule_search_locations)))


@functools.cache
def _library():
    # Not RTLD_GLOBAL: its SSL would replace Python's.
    library = ctypes.CDLL(str(_tensorflow_directory() / "libtensorflow_cc.so.2"))
    pointer, buffer, string = ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.c_char_p
    integer, size = ctypes.c_int, ctypes.c_size_t
    for name, result, *arguments in (
        ("TF_NewStatus", pointer),
        ("TF_DeleteStatus", None, pointer),
        ("TF_GetCode", integer, pointer),
        ("TF_Message", string, pointer),
        ("TF_NewBuffer", buffer),
        ("TF_DeleteBuffer", None, buffer),
        ("TF_NewGraph", pointer),
        ("TF_DeleteGraph", None, pointer),
        ("TF_GraphOperationByName", pointer, pointer, string),
        ("TF_NewSessionOptions", pointer),
        ("TF_DeleteSessionOptions", None, pointer),
        (
            "TF_LoadSessionFromSavedModel",
            *(pointer, pointer, pointer, string, pointer, integer, pointer, buffer, pointer),
        ),
        ("TF_DeleteSession", None, pointer, pointer),
        (
            "TF_SessionRun",
            *(None, pointer, pointer, pointer, pointer, integer, pointer, pointer, integer),
            *(pointer, integer, pointer, pointer),
        ),
        ("TF_AllocateTensor", pointer, integer, pointer, integer, size),
        ("TF_DeleteTensor", None, pointer),
        ("TF_TensorData", pointer, pointer),
        ("TF_TensorType", integer, pointer),
        ("TF_NumDims", integer, pointer),
        ("TF_Dim", ctypes.c_int64, pointer, integer),
        ("TF_StringInit", None, pointer),
        ("TF_StringCopy", None, pointer, string, size),
        ("TF_StringGetDataPointer", pointer, pointer),
        ("TF_StringGetSize", size, pointer),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _meta_graph_class():
    if "tensorflow" not in sys.modules:
        # The message classes lie in TensorFlow's package, whose own import would bring all of it:
        # an empty one stands in for it.
        package = types.ModuleType("tensorflow")
        package.__path__ = [str(_tensorflow_directory())]
        sys.modules["tensorflow"] = package
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    return MetaGraphDef


def _ports(definitions):
    ports = {}
    for name, definition in definitions.items():
        shape, sizes = definition.tensor_shape, None
        if not shape.unknown_rank:
            sizes = tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
        dtype = DTYPES.get(definition.dtype, f"TF_DataType {definition.dtype}")
        ports[name] = Port(definition.name, dtype, sizes)
    return ports


def _to_tensor(array):
    if array.dtype.kind == "S":
        return _to_strings(array)
    if array.dtype.name not in CODES:
        raise RuntimeFailure(f"Arrays of {array.dtype.name} cannot be sent.")
    array = np.ascontiguousarray(array).reshape(array.shape)  # which a scalar would lose
    code, sizes = CODES[array.dtype.name], (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = _library().TF_AllocateTensor(code, sizes, array.ndim, array.nbytes)
    ctypes.memmove(_library().TF_TensorData(tensor), array.ctypes.data, array.nbytes)
    return tensor


def _to_strings(array):
    library, sizes = _library(), (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = library.TF_AllocateTensor(STRING, sizes, array.ndim, STRING_SIZE * array.size)
    first = library.TF_TensorData(tensor)
    for number, text in enumerate(array.ravel().tolist()):
        place = first + STRING_SIZE * number
        library.TF_StringInit(place)
        library.TF_StringCopy(place, text, len(text))
    return tensor


def _from_strings(tensor, shape):
    library = _library()
    first, texts = library.TF_TensorData(tensor), []
    for number in range(int(np.prod(shape))):
        place = first + STRING_SIZE * number
        data, size = library.TF_StringGetDataPointer(place), library.TF_StringGetSize(place)
        texts.append(ctypes.string_at(data, size))
    return np.array(texts, dtype=bytes).reshape(shape)


def _to_array(tensor):
    library = _library()
    dtype = DTYPES.get(library.TF_TensorType(tensor))
    if dtype is None:
        raise RuntimeFailure(
            f"Outputs of TF_DataType {library.TF_TensorType(tensor)} cannot be read: "
            "NumPy has no such numbers."
        )
    shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
    if dtype == "string":
        return _from_strings(tensor, shape)
    array = np.empty(shape, dtype)
    ctypes.memmove(array.ctypes.data, library.TF_TensorData(tensor), array.nbytes)
    return array


def main(directory: str, questions: str, answers: str) -> None:
    disable_xla()
    cases = {}
    with np.load(questions) as archive:
        for key in archive.files:
            case, signature, name = key.split("/")
            cases.setdefault((case, signature), {})[name] = archive[key]
    answered = {}
    with Session(directory) as session:
        for (case, signature), inputs in cases.items():
            try:
                answer = session.run(signature, inputs)
            except RuntimeFailure as failure:
                answered[f"{case}/{signature}"] = np.array(str(failure))
            else:
                answered |= {f"{case}/{signature}/{name}": value for name, value in answer.items()}
    np.savez(answers, modules=sorted({name.partition(".")[0] for name in sys.modules}), **answered)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RuntimeFailure as failure:
        sys.exit(f"{failure}")
