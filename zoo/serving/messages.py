"""The messages of TensorFlow Serving that a question over gRPC and a log of questions consist of.

Protobuf makes their classes while their modules are imported: to a type checker these are empty.
"""

from typing import Any

from zoo.extras import need

need("serving", "Messages of TensorFlow Serving")

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

_metadata: Any = get_model_metadata_pb2
_model: Any = model_pb2
_predict: Any = predict_pb2
_log: Any = prediction_log_pb2

ModelSpec = _model.ModelSpec
PredictRequest = _predict.PredictRequest
PredictLog = _log.PredictLog
PredictionLog = _log.PredictionLog
GetModelMetadataRequest = _metadata.GetModelMetadataRequest
SignatureDefMap = _metadata.SignatureDefMap
