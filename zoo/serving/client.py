"""Asks a model server: arrays in, arrays out."""

import functools
import math
import numbers
from typing import Any

import numpy as np

from zoo.serving.transports import DTYPES, Grpc, Ports, Rest
from zoo.serving.transports import ServerError as ServerError

# Inputs that hold finite numbers in any model.
NEVER_MISSING = ("image", "z", "condition")


class Client:
    """A model on a server.

    Images are uint8 or floats in [0, 1], as everywhere in this package. Row i of an answer that
    draws is a function of (seed, i): the same numbers as in Python. Every method returns a dict of
    arrays, or the array itself where the signature has one output.

    Args:
        url: "http://host:8501" for REST, or "grpc://host:8500".
        model: Name under which the model is served.
        version: Version number; by default the server's newest.
        label: Label of a version in the server's configuration, such as "stable", in place of a
            number.
        timeout: Seconds that a whole answer may take.

    Raises (every method):
        ConnectionError: If nothing answers at the address, or the connection is closed before an
            answer.
        TimeoutError: If the answer was not whole in time.
        ServerError: If the server refuses the request, or answers with other names, numbers of
            rows, shapes or types than were asked for.
        ValueError: If the model has no such signature, or the inputs are not the signature's.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        scheme, separator, host = url.rstrip("/").partition("://")
        if scheme not in ("http", "https", "grpc") or not separator or not host:
            raise ValueError(
                f"`url` must start with http://, https:// or grpc://. Received: url={url!r}."
            )
        if version is not None and label is not None:
            raise ValueError(
                f"A version goes by its number or by its label. Received: version={version!r}, "
                f"label={label!r}."
            )
        if version is not None and (not _is_integer(version) or version < 1):
            raise ValueError(
                f"`version` must be a positive integer. Received: version={version!r}."
            )
        for name, value in (("model", model), ("label", "stable" if label is None else label)):
            if not isinstance(value, str) or not value:
                raise ValueError(f"`{name}` must be a name. Received: {name}={value!r}.")
        if not isinstance(timeout, numbers.Real) or not (timeout > 0 and math.isfinite(timeout)):
            raise ValueError(
                f"`timeout` must be a positive number of seconds. Received: timeout={timeout!r}."
            )
        transport = Grpc if scheme == "grpc" else Rest
        self._transport = transport(url.rstrip("/"), host, model, version, label, timeout)
        self.model = model

    def close(self) -> None:
        """Ends the connection; so does the end of a `with`."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    @functools.cached_property
    def signatures(self) -> dict[str, Ports]:
        """Name -> `Ports`, as the server tells."""
        return self._transport.signatures()

    def ask(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        """Any signature, by its name and the names of its inputs: arrays [B, ...]. -> dict of name
        -> array [B, ...]"""
        if signature not in self.signatures:
            raise ValueError(
                f"{self.model!r} has no signature {signature!r}: it has "
                f"{', '.join(sorted(self.signatures))}."
            )
        ports = self.signatures[signature]
        unread = {
            name: dtype
            for name, (dtype, _) in ports.outputs.items()
            if dtype not in DTYPES.values()
        }
        if unread or not ports.inputs:
            raise ValueError(
                f"{signature!r} of {self.model!r} cannot be asked for arrays: "
                f"{unread or 'it has no inputs'}."
            )
        if inputs.keys() != ports.inputs.keys():
            takes, received = (
                ", ".join(sorted(names)) or "nothing" for names in (ports.inputs, inputs)
            )
            raise ValueError(
                f"{signature!r} of {self.model!r} takes {takes}. Received: {received}."
            )
        arrays = {
            name: _as_array(name, value, *ports.inputs[name]) for name, value in inputs.items()
        }
        if len({len(array) for array in arrays.values()}) > 1:
            raise ValueError(
                "All inputs must have as many rows. Received: "
                f"{ {name: len(array) for name, array in arrays.items()} }."
            )
        num_rows = len(next(iter(arrays.values())))
        answer = self._transport.predict(signature, arrays, ports)
        problem = _problem(answer, ports.outputs, num_rows)
        if problem:
            raise ServerError(
                f"The server of {self.model!r} did not answer {num_rows} rows of {signature!r}: "
                f"{problem}."
            )
        return answer

    # -- The signatures of the zoo's models

    def encode(self, image: Any, condition: Any = None) -> dict[str, np.ndarray] | np.ndarray:
        """The parameters of q(z|x, c): dict of `loc` and `scale` [B, D], or those of the model's
        own posterior."""
        return self._ask("encode", image=image, condition=condition)

    def decode(self, z: Any, condition: Any = None) -> np.ndarray:
        """The mean of p(x|z, c): [B, *image_shape]. Several latents are a dict of arrays."""
        return self._ask("decode", **(z if isinstance(z, dict) else {"z": z}), condition=condition)

    def reconstruct(self, image: Any, condition: Any = None) -> np.ndarray:
        """The mean of p(x|z, c) at the posterior's mean: [B, *image_shape]."""
        return self._ask("reconstruct", image=image, condition=condition)

    def sample(self, num_rows: int, seed: int = 0, condition: Any = None) -> dict[str, np.ndarray]:
        """Draws from p(x|c): dict of `z`, `reconstruction` (mean of p(x|z)) and `sample` (a draw of
        it: `model.sample(num_rows, seed)`)."""
        return self._ask("sample", seed=_seeds(seed, num_rows), condition=condition)

    def score(self, image: Any, seed: int = 0, condition: Any = None) -> dict[str, np.ndarray]:
        """The single-sample bound: dict of `elbo`, `kl`, `log_likelihood`, nats [B]."""
        return self._ask(
            "score", image=image, seed=_seeds(seed, _num_rows(image)), condition=condition
        )

    def log_prob(self, image: Any, seed: int = 0, condition: Any = None) -> np.ndarray:
        """The importance-weighted bound on log p(x|c) with 64 samples: nats [B]."""
        return self._ask(
            "score_k64", image=image, seed=_seeds(seed, _num_rows(image)), condition=condition
        )

    def classify(self, image: Any) -> np.ndarray:
        """q(y|x): probabilities [B, K]."""
        return self._ask("classify", image=image)

    def transfer(self, image: Any, from_label: Any, to_label: Any) -> np.ndarray:
        """Images of `to_label` in the style of images of `from_label`: [B, *image_shape]."""
        return self._ask("transfer", image=image, from_label=from_label, to_label=to_label)

    def _ask(self, signature: str, **inputs: Any) -> Any:
        answer = self.ask(
            signature, **{name: value for name, value in inputs.items() if value is not None}
        )
        return next(iter(answer.values())) if len(answer) == 1 else answer


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _seeds(seed, num_rows):
    """(seed, row) of each row, as the served signatures take it: int32 [num_rows, 2]."""
    if not _is_integer(seed) or not -(2**31) <= seed < 2**31:
        raise ValueError(f"`seed` must be an integer of 32 bits. Received: seed={seed!r}.")
    if not _is_integer(num_rows) or num_rows < 1:
        raise ValueError(f"`num_rows` must be a positive integer. Received: num_rows={num_rows!r}.")
    return np.stack([np.full(num_rows, seed), np.arange(num_rows)], axis=-1).astype(np.int32)


def _num_rows(image):
    shape = np.shape(image)
    if not shape or not shape[0]:
        raise ValueError(f"'image' must hold at least one row. Received: shape {shape}.")
    return shape[0]


def _as_array(name, value, dtype, shape):
    """An input as the signature takes it."""
    if dtype not in DTYPES.values():
        raise ValueError(
            f"{name!r} must hold {dtype}, which this client does not send. It sends "
            f"{', '.join(sorted(DTYPES.values()))}."
        )
    if dtype == "string":
        return _as_texts(name, value, shape)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and "int" in dtype):
        raise ValueError(f"{name!r} must hold numbers of type {dtype}. Received: {array.dtype}.")
    _check_shape(name, array, shape)
    if name == "image" and dtype == "float32":
        return _as_image(array)
    with np.errstate(over="ignore"):  # found below
        converted = array.astype(dtype)
    # NaN is what is missing, in columns and vectors.
    finite = np.isfinite(converted) | (np.isnan(converted) & (name not in NEVER_MISSING))
    if not np.all(finite) or ("int" in dtype and np.any(converted != array)):
        raise ValueError(
            f"{name!r} must hold finite numbers of type {dtype}. Received: {array.dtype} in "
            f"[{array.min()}, {array.max()}]."
        )
    return converted


def _as_texts(name, value, shape):
    array = np.asarray(value, dtype=object)
    _check_shape(name, array, shape)
    # pandas says None or NaN of what is missing.
    texts = ["" if text is None or text != text else text for text in array.tolist()]
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"{name!r} must hold texts. Received: {wrong[0]!r}.")
    return np.array(texts, dtype=object)


def _check_shape(name, array, shape):
    if shape is not None and not _fits(array.shape, shape):
        sizes = ", ".join("B" if size is None else str(size) for size in shape)
        raise ValueError(f"{name!r} must have the shape [{sizes}]. Received: shape {array.shape}.")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{name!r} must hold at least one row. Received: shape {array.shape}.")


def _fits(shape, sizes):
    return len(shape) == len(sizes) and all(
        size in (None, length) for size, length in zip(sizes, shape, strict=True)
    )


def _as_image(array):
    """Floats in [0, 1]. The rule of `zoo.images`, which needs TensorFlow."""
    low, high, levels = array.min(), array.max(), array.dtype.kind in "iu"
    if not (low >= 0 and high <= (255 if levels else 1)):  # so that NaN fails as well
        hint = ""
        if not levels and low >= 0 and 1 < high <= 255:
            hint = " Divide by 255, or pass uint8."
        raise ValueError(
            "'image' must hold integers in 0 ... 255 or floats in [0, 1]. Received: "
            f"{array.dtype} in [{low}, {high}].{hint}"
        )
    if levels and high == 1:
        raise ValueError(
            f"'image' of the integers 0 and 1 would be black. Received: {array.dtype}. "
            "Multiply by 255, or pass bools or floats."
        )
    if array.dtype == np.uint8:
        return array / np.float32(255)
    return (array / 255 if levels else array).astype(np.float32)


def _problem(answer, outputs, num_rows):
    """What is wrong with an answer in words, or None."""
    if answer.keys() != outputs.keys():
        return (
            f"it answered {', '.join(sorted(answer)) or 'nothing'} in place of "
            f"{', '.join(sorted(outputs))}"
        )
    for name, (dtype, shape) in outputs.items():
        sizes = (num_rows, *(answer[name].shape if shape is None else shape)[1:])
        if not _fits(answer[name].shape, sizes):
            return f"{name!r} has the shape {answer[name].shape} in place of {sizes}"
        if answer[name].dtype.name != ("object" if dtype == "string" else dtype):
            return f"{name!r} holds {answer[name].dtype} in place of {dtype}"
    return None
