"""Asks a model server: arrays in, arrays out.

Over REST with requests in rows, over gRPC with tensors; both as TensorFlow Serving documents them
(https://www.tensorflow.org/tfx/serving/api_rest; tensorflow_serving/apis/prediction_service.proto).
"""

import functools
from typing import NamedTuple

import numpy as np
import requests

# TensorFlow's names of types -> NumPy's.
DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8", "DT_BOOL": "bool"}


class ServerError(RuntimeError):
    """The server refused a request; the message holds its own."""


class Ports(NamedTuple):
    """What a signature takes and gives: name -> (dtype, shape with None for any size)."""

    inputs: dict
    outputs: dict


class Client:
    """A model on a server.

    Images are uint8 or floats in [0, 1], as everywhere in this package. Row i of an answer that draws is a function of (seed, i): the
    same numbers as in Python. Every method returns a dict of arrays, or the array itself where the signature has one output.

    Args:
        url: "http://host:8501" for REST, or "grpc://host:8500".
        model: Name under which the model is served.
        version: Version number; by default the server's newest.
        label: Label of a version in the server's configuration, such as "stable", in place of a number.
        timeout: Seconds that an answer may take.

    Raises (every method):
        ConnectionError: If nothing answers at the address.
        TimeoutError: If no answer came in time.
        ServerError: If the server refuses the request.
        ValueError: If the model has no such signature, or the inputs are not the signature's.
    """

    def __init__(self, url, model, *, version=None, label=None, timeout=60.0):
        scheme, separator, host = url.rstrip("/").partition("://")
        if scheme not in ("http", "https", "grpc") or not separator or not host:
            raise ValueError(f"`url` must start with http://, https:// or grpc://. Received: url={url!r}.")
        if version is not None and label is not None:
            raise ValueError(f"A version goes by its number or by its label. Received: version={version!r}, label={label!r}.")
        transport = _Grpc if scheme == "grpc" else _Rest
        self._transport = transport(url.rstrip("/"), host, model, version, label, timeout)
        self.model = model

    def close(self):
        """Ends the connection; so does the end of a `with`."""
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @functools.cached_property
    def signatures(self):
        """Name -> `Ports`, as the server tells."""
        return self._transport.signatures()

    def ask(self, signature, **inputs):
        """Any signature, by its name and the names of its inputs: arrays [B, ...]. -> dict of name -> array [B, ...]"""
        if signature not in self.signatures:
            raise ValueError(f"{self.model!r} has no signature {signature!r}: it has {', '.join(sorted(self.signatures))}.")
        ports = self.signatures[signature]
        if inputs.keys() != ports.inputs.keys():
            takes, received = (", ".join(sorted(names)) or "nothing" for names in (ports.inputs, inputs))
            raise ValueError(f"{signature!r} of {self.model!r} takes {takes}. Received: {received}.")
        arrays = {name: _as_array(name, value, *ports.inputs[name]) for name, value in inputs.items()}
        if len({len(array) for array in arrays.values()}) > 1:
            raise ValueError(f"All inputs must have as many rows. Received: { {name: len(array) for name, array in arrays.items()} }.")
        return self._transport.predict(signature, arrays, ports)

    # -- The signatures of the zoo's models

    def encode(self, image, condition=None):
        """The parameters of q(z|x, c): dict of `loc` and `scale` [B, D], or those of the model's own posterior."""
        return self._ask("encode", image=image, condition=condition)

    def decode(self, z, condition=None):
        """The mean of p(x|z, c): [B, *image_shape]. Several latents are a dict of arrays."""
        return self._ask("decode", **(z if isinstance(z, dict) else {"z": z}), condition=condition)

    def reconstruct(self, image, condition=None):
        """The mean of p(x|z, c) at the posterior's mean: [B, *image_shape]."""
        return self._ask("reconstruct", image=image, condition=condition)

    def sample(self, num_rows, seed=0, condition=None):
        """Draws from p(x|c): dict of `z`, `reconstruction` (mean of p(x|z)) and `sample` (a draw of it: `model.sample(num_rows, seed)`)."""
        return self._ask("sample", seed=_seeds(seed, num_rows), condition=condition)

    def score(self, image, seed=0, condition=None):
        """The single-sample bound: dict of `elbo`, `kl`, `log_likelihood`, nats [B]."""
        return self._ask("score", image=image, seed=_seeds(seed, len(image)), condition=condition)

    def log_prob(self, image, seed=0, condition=None):
        """The importance-weighted bound on log p(x|c) with 64 samples: nats [B]."""
        return self._ask("score_k64", image=image, seed=_seeds(seed, len(image)), condition=condition)

    def classify(self, image):
        """q(y|x): probabilities [B, K]."""
        return self._ask("classify", image=image)

    def transfer(self, image, from_label, to_label):
        """Images of `to_label` in the style of images of `from_label`: [B, *image_shape]."""
        return self._ask("transfer", image=image, from_label=from_label, to_label=to_label)

    def _ask(self, signature, **inputs):
        answer = self.ask(signature, **{name: value for name, value in inputs.items() if value is not None})
        return next(iter(answer.values())) if len(answer) == 1 else answer


def _seeds(seed, num_rows):
    """(seed, row) of each row, as the served signatures take it: int32 [num_rows, 2]."""
    return np.stack([np.full(num_rows, seed), np.arange(num_rows)], axis=-1).astype(np.int32)


def _as_array(name, value, dtype, shape):
    array = np.asarray(value)
    if array.dtype == np.uint8 and dtype == "float32":
        array = array / np.float32(255)
    if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and dtype.startswith("int")):
        raise ValueError(f"{name!r} must hold numbers of type {dtype}. Received: {array.dtype}.")
    if array.ndim != len(shape) or any(wanted not in (None, size) for wanted, size in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("B" if size is None else str(size) for size in shape)
        raise ValueError(f"{name!r} must have the shape [{wanted}]. Received: shape {array.shape}.")
    return array.astype(dtype)


class _Rest:
    def __init__(self, url, host, model, version, label, timeout):
        part = f"/versions/{version}" if version is not None else f"/labels/{label}" if label is not None else ""
        self._url, self._model, self._timeout = f"{url}/v1/models/{model}{part}", model, timeout
        self._session = requests.Session()
        self.close = self._session.close

    def signatures(self):
        reply = self._send("GET", "/metadata")
        definitions = reply["metadata"]["signature_def"]["signature_def"]
        return {
            name: Ports(_rest_ports(definition["inputs"]), _rest_ports(definition["outputs"]))
            for name, definition in definitions.items()
            if definition["method_name"]  # the loader's own has none
        }

    def predict(self, signature, inputs, ports):
        if len(inputs) == 1:
            rows = next(iter(inputs.values())).tolist()
        else:
            columns = {name: array.tolist() for name, array in inputs.items()}
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        predictions = self._send("POST", ":predict", {"signature_name": signature, "instances": rows})["predictions"]
        if len(ports.outputs) == 1:  # a reply does not name the only output
            predictions = [{next(iter(ports.outputs)): row} for row in predictions]
        return {name: np.array([row[name] for row in predictions], dtype) for name, (dtype, _) in ports.outputs.items()}

    def _send(self, method, path, content=None):
        try:
            reply = self._session.request(method, self._url + path, json=content, timeout=self._timeout)
        except requests.Timeout:
            raise TimeoutError(f"{self._url} did not answer within {self._timeout:g} seconds.") from None
        except requests.ConnectionError as error:
            raise ConnectionError(f"Nothing answers at {self._url}: is the server running? ({_innermost(error)})") from None
        try:
            content = reply.json()
        except requests.JSONDecodeError:
            raise ServerError(f"{self._url} is no model server: it answered {reply.text[:100]!r} (HTTP {reply.status_code}).") from None
        if not reply.ok:
            message = content.get("error", content) if isinstance(content, dict) else content
            raise ServerError(f"The server of {self._model!r} refused the request: {message} (HTTP {reply.status_code})")
        return content


def _rest_ports(definitions):
    """JSON of TensorInfo messages, whose 64-bit integers are strings."""
    return {
        name: (DTYPES.get(info["dtype"], info["dtype"]), tuple(_size(int(dim["size"])) for dim in info["tensor_shape"].get("dim", ())))
        for name, info in definitions.items()
    }


def _size(size):
    return None if size < 0 else size


def _innermost(error):
    """The cause at the bottom of requests' wrappers."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    return getattr(error, "reason", error)


class _Grpc:
    def __init__(self, url, host, model, version, label, timeout):
        import grpc
        from tensorflow_serving.apis import model_pb2, prediction_service_pb2_grpc

        self._grpc, self._url, self._model, self._timeout = grpc, url, model, timeout
        self._spec = functools.partial(model_pb2.ModelSpec, name=model)
        if version is not None:
            self._spec = functools.partial(self._spec, version={"value": version})
        if label is not None:
            self._spec = functools.partial(self._spec, version_label=label)
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(host, unlimited)
        self._stub, self.close = prediction_service_pb2_grpc.PredictionServiceStub(channel), channel.close

    def signatures(self):
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=self._spec(), metadata_field=["signature_def"])
        reply = self._send(self._stub.GetModelMetadata, request)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(definitions)
        return {
            name: Ports(_grpc_ports(definition.inputs), _grpc_ports(definition.outputs))
            for name, definition in definitions.signature_def.items()
            if definition.method_name
        }

    def predict(self, signature, inputs, ports):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        tensors = {name: tf.make_tensor_proto(array) for name, array in inputs.items()}
        reply = self._send(self._stub.Predict, predict_pb2.PredictRequest(model_spec=self._spec(signature_name=signature), inputs=tensors))
        return {name: tf.make_ndarray(tensor) for name, tensor in reply.outputs.items()}

    def _send(self, method, request):
        try:
            return method(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            codes = self._grpc.StatusCode
            if error.code() == codes.UNAVAILABLE:
                raise ConnectionError(f"Nothing answers at {self._url}: is the server running? ({error.details()})") from None
            if error.code() == codes.DEADLINE_EXCEEDED:
                raise TimeoutError(f"{self._url} did not answer within {self._timeout:g} seconds.") from None
            raise ServerError(f"The server of {self._model!r} refused the request: {error.details()} ({error.code().name})") from None


def _grpc_ports(definitions):
    import tensorflow as tf

    return {
        name: (tf.as_dtype(info.dtype).name, tuple(_size(dim.size) for dim in info.tensor_shape.dim)) for name, info in definitions.items()
    }
