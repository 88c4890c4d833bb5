"""Requests that a server answers while it loads a version, so that the first user's does not wait
for what TensorFlow does once.

A TFRecord file of PredictionLog messages, which a server replays before it calls the version
available.
https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.extras import need

need("serving", "Exports")

from zoo.serving import messages

FILE = Path("assets.extra") / "tf_serving_warmup_requests"


def write(
    directory: str | Path, model_name: str, requests: Mapping[str, Mapping[str, Any]]
) -> None:
    """Writes the requests into a version directory.

    Args:
        directory: The version directory.
        model_name: Name under which the model is served.
        requests: Dict of signature -> dict of input -> array.
    """
    path = Path(directory) / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            request = messages.PredictRequest(
                model_spec=messages.ModelSpec(name=model_name, signature_name=signature),
                inputs={name: tf.make_tensor_proto(array) for name, array in inputs.items()},
            )
            log = messages.PredictionLog(predict_log=messages.PredictLog(request=request))
            writer.write(log.SerializeToString())


def read(directory: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """The requests of a version directory: dict of signature -> dict of input -> array.

    Raises:
        ValueError: If there are none, or they cannot be read.
    """
    path = Path(directory) / FILE
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        requests = [
            messages.PredictionLog.FromString(record).predict_log.request for record in records
        ]
        return {
            request.model_spec.signature_name: {
                name: _array(tensor) for name, tensor in request.inputs.items()
            }
            for request in requests
        }
    except Exception as error:  # TensorFlow's and protobuf's errors have no common class
        raise ValueError(
            f"The warm-up requests {str(path)!r} cannot be read: {str(error).splitlines()[0]}"
        ) from None


def _array(tensor):
    """A tensor's array; of texts one of bytes, which a file of arrays can hold."""
    array = tf.make_ndarray(tensor)
    return array.astype(bytes) if array.dtype.kind == "O" else array
