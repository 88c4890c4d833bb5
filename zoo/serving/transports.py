"""The two doors of a model server: REST with requests in rows, gRPC with tensors.

Both as TensorFlow Serving documents them (https://www.tensorflow.org/tfx/serving/api_rest;
tensorflow_serving/apis/prediction_service.proto). No TensorFlow is imported for REST.
"""

import functools
import http.client
import json
import queue
import threading
import time
import urllib.parse
from typing import NamedTuple

import numpy as np
import requests

from zoo.extras import need

# TensorFlow's names of types -> NumPy's.
DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_BOOL": "bool"} | {
    f"DT_{sign}INT{bits}": f"{sign}int{bits}".lower()
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
DTYPES["DT_STRING"] = "string"
# What reading an answer of another form raises.
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError, ArithmeticError)


class ServerError(RuntimeError):
    """The server refused a request, in its own words, or answered something else than what was
    asked for."""


class Ports(NamedTuple):
    """What a signature takes and gives: name -> (dtype, shape with None for any size; None for any
    shape)."""

    inputs: dict[str, tuple[str, tuple[int | None, ...] | None]]
    outputs: dict[str, tuple[str, tuple[int | None, ...] | None]]


class Rest:
    """`signatures` and `predict` over HTTP. Raises as `zoo.serving.Client` says."""

    def __init__(
        self,
        url: str,
        host: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float,
    ) -> None:
        part = ""
        if version is not None:
            part = f"/versions/{version}"
        elif label is not None:
            part = f"/labels/{_quoted(label)}"
        self._url = f"{url}/v1/models/{_quoted(model)}{part}"
        self._model, self._timeout = model, timeout
        self._session, self._answered = requests.Session(), False

    def close(self) -> None:
        self._session.close()

    def signatures(self) -> dict[str, Ports]:
        reply = self._send("GET", "/metadata")
        try:
            definitions = reply["metadata"]["signature_def"]["signature_def"]
            return {
                name: Ports(_rest_ports(definition["inputs"]), _rest_ports(definition["outputs"]))
                for name, definition in definitions.items()
                if definition["method_name"]  # the loader's own has none
            }
        except MALFORMED:
            raise self._malformed("the signatures", reply) from None

    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], ports: Ports
    ) -> dict[str, np.ndarray]:
        if len(inputs) == 1:
            rows = next(iter(inputs.values())).tolist()
        else:
            columns = {name: array.tolist() for name, array in inputs.items()}
            rows = zip(*columns.values(), strict=True)
            rows = [dict(zip(columns, row, strict=True)) for row in rows]
        reply = self._send("POST", ":predict", {"signature_name": signature, "instances": rows})
        try:
            predictions = reply["predictions"]
            if len(ports.outputs) == 1:  # a reply does not name the only output
                predictions = [{next(iter(ports.outputs)): row} for row in predictions]
            return {
                name: _numbers([row[name] for row in predictions], dtype)
                for name, (dtype, _) in ports.outputs.items()
            }
        except MALFORMED:
            raise self._malformed(f"rows of {signature!r}", reply) from None

    def _malformed(self, asked, reply):
        return ServerError(
            f"The server of {self._model!r} answered in another form than TF Serving's. "
            f"Asked: {asked}. Received: {_start(reply)}."
        )

    def _send(self, method, path, content=None):
        reply = self._reply(method, path, content)
        try:
            answer = reply.json()
        except (ValueError, RecursionError):
            raise ServerError(
                f"{self._url} is no model server: it answered {reply.text[:100]!r} (HTTP "
                f"{reply.status_code})."
            ) from None
        if not reply.ok:
            message = answer.get("error", answer) if isinstance(answer, dict) else answer
            raise ServerError(
                f"The server of {self._model!r} refused the request: {message} (HTTP "
                f"{reply.status_code})"
            )
        return answer

    def _reply(self, method, path, content):
        try:
            return self._request(method, path, content)
        except requests.Timeout:
            self._renew()  # the late answer may still come over the old connection
            raise TimeoutError(
                f"{self._url} did not answer within {self._timeout:g} seconds."
            ) from None
        except requests.exceptions.InvalidURL as error:
            raise ValueError(
                f"`url` must be the address of a server. Received: {self._url!r} ({error})."
            ) from None
        except requests.ConnectionError as error:
            cause = _innermost(error)
            if _is_dropped(cause):
                raise ConnectionError(
                    f"{self._url} closed the connection before it answered. ({cause})"
                ) from None
            if isinstance(cause, http.client.HTTPException):
                raise ServerError(
                    f"{self._url} is no model server: it does not answer in HTTP ({cause})."
                ) from None
            raise ConnectionError(
                f"Nothing answers at {self._url}: is the server running? ({cause})"
            ) from None
        except requests.RequestException as error:
            raise ServerError(
                f"The answer of {self._url} broke off or cannot be read: {_innermost(error)}."
            ) from None

    def _request(self, method, path, content):
        """The reply; once more over a new connection where the server had dropped the one that was
        kept from an earlier question."""
        end = time.monotonic() + self._timeout
        question = {
            "method": method,
            "url": self._url + path,
            # A server reads NaN, which `requests` would refuse to write.
            "data": None if content is None else json.dumps(content),
            "headers": {"Content-Type": "application/json"},
            "timeout": self._timeout,
        }
        try:
            reply = _within(self._timeout, functools.partial(self._session.request, **question))
        except requests.ConnectionError as error:
            if not (self._answered and _is_dropped(_innermost(error))):
                raise
            reply = None
        if reply is None:
            self._renew()
            reply = _within(
                end - time.monotonic(), functools.partial(self._session.request, **question)
            )
        self._answered = True
        return reply

    def _renew(self):
        self._session.close()
        self._session, self._answered = requests.Session(), False


def _within(seconds, function):
    """What the function returns or raises; `requests.Timeout` after so many seconds.

    The timeout of requests is one of each read: a server that sends a byte now and then would be
    waited for without end. The thread of such a request ends with its server.
    """
    outcome = queue.SimpleQueue()

    def run():
        try:
            outcome.put((function(), None))
        except BaseException as error:  # raised again where it is waited for
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=max(seconds, 0.0))
    except queue.Empty:
        raise requests.Timeout from None
    if error is None:
        return result
    try:
        raise error
    finally:
        # Its traceback holds this frame: the two would keep connections open until they are
        # collected.
        error = None


def _quoted(name):
    return urllib.parse.quote(name, safe="")


def _rest_ports(definitions):
    """JSON of TensorInfo messages, whose 64-bit integers are strings."""
    ports = {}
    for name, info in definitions.items():
        dtype: str = info["dtype"]
        ports[name] = DTYPES.get(dtype, dtype), _rest_shape(info["tensor_shape"])
    return ports


def _rest_shape(shape):
    if shape.get("unknown_rank"):
        return None
    return tuple(_size(int(dim["size"])) for dim in shape.get("dim", ()))


def _size(size):
    return None if size < 0 else size


def _numbers(values, dtype):
    """JSON's numbers as an array; one of `MALFORMED` if they are ragged, of another kind, or too
    large for the type."""
    if dtype == "string":
        return _texts(values)
    array, dtype = np.array(values), np.dtype(dtype)
    if array.dtype.kind not in {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]:
        raise TypeError(array.dtype)
    if (
        dtype.kind in "iu"
        and array.size
        and not np.iinfo(dtype).min <= array.min() <= array.max() <= np.iinfo(dtype).max
    ):
        raise ValueError(dtype)
    with np.errstate(over="raise"):
        return array.astype(dtype)


def _texts(values):
    """Texts as an array of Python's; TypeError if one is none."""
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(values)
    return np.array(texts, dtype=object)


def _start(reply):
    text = str(reply)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _is_dropped(cause):
    """Whether a connection was closed before a byte of the answer came."""
    kinds = (http.client.RemoteDisconnected, ConnectionResetError, ConnectionAbortedError)
    return isinstance(cause, (*kinds, BrokenPipeError))


def _innermost(error):
    """The cause at the bottom of requests' wrappers."""
    while True:
        parts = (*error.args, vars(error).get("reason"))
        inner = next((part for part in parts if isinstance(part, Exception)), None)
        if inner is None:
            return error
        error = inner


class Grpc:
    """`signatures` and `predict` over gRPC. Raises as `zoo.serving.Client` says."""

    def __init__(
        self,
        url: str,
        host: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float,
    ) -> None:
        need("serving", "Clients by gRPC")
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        from zoo.serving import messages

        self._grpc, self._url, self._model, self._timeout = grpc, url, model, timeout
        self._spec = functools.partial(messages.ModelSpec, name=model)
        if version is not None:
            self._spec = functools.partial(self._spec, version={"value": version})
        if label is not None:
            self._spec = functools.partial(self._spec, version_label=label)
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(host, unlimited)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.close = channel.close

    def signatures(self) -> dict[str, Ports]:
        from zoo.serving import messages

        request = messages.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        reply = self._send(self._stub.GetModelMetadata, request)
        definitions = messages.SignatureDefMap()
        if not reply.metadata["signature_def"].Unpack(definitions):
            raise self._malformed("the signatures")
        try:
            return {
                name: Ports(_grpc_ports(definition.inputs), _grpc_ports(definition.outputs))
                for name, definition in definitions.signature_def.items()
                if definition.method_name
            }
        except MALFORMED:
            raise self._malformed("the signatures") from None

    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], ports: Ports
    ) -> dict[str, np.ndarray]:
        import tensorflow as tf

        from zoo.serving import messages

        tensors = {name: tf.make_tensor_proto(array) for name, array in inputs.items()}
        request = messages.PredictRequest(
            model_spec=self._spec(signature_name=signature), inputs=tensors
        )
        reply = self._send(self._stub.Predict, request)
        try:
            return {name: _grpc_array(tensor) for name, tensor in reply.outputs.items()}
        except MALFORMED:
            raise self._malformed(f"rows of {signature!r}") from None

    def _malformed(self, asked):
        return ServerError(
            f"The server of {self._model!r} answered in another form than TF Serving's. "
            f"Asked: {asked}."
        )

    def _send(self, method, request):
        try:
            return method(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            codes = self._grpc.StatusCode
            if error.code() == codes.UNAVAILABLE:
                raise ConnectionError(
                    f"Nothing answers at {self._url}: is the server running? ({error.details()})"
                ) from None
            if error.code() == codes.DEADLINE_EXCEEDED:
                raise TimeoutError(
                    f"{self._url} did not answer within {self._timeout:g} seconds."
                ) from None
            raise ServerError(
                f"The server of {self._model!r} refused the request: {error.details()} "
                f"({error.code().name})"
            ) from None


def _grpc_array(tensor):
    import tensorflow as tf

    array = tf.make_ndarray(tensor)
    return _texts(array.tolist()) if array.dtype == object else array


def _grpc_ports(definitions):
    import tensorflow as tf

    return {
        name: (tf.as_dtype(info.dtype).name, _grpc_shape(info.tensor_shape))
        for name, info in definitions.items()
    }


def _grpc_shape(shape):
    return None if shape.unknown_rank else tuple(_size(dim.size) for dim in shape.dim)
