#!/usr/bin/env python3
"""Stands in for `tensorflow_model_server` where there is none: takes its flags, and answers over
REST and gRPC as it documents.

What it shares with the real one is TensorFlow's C++ runtime, which loads and runs the models; the
doors are written after api_rest.md, json_tensor.cc and prediction_service.proto. It does not batch.
So it shows that the client and `zoo serve` keep to the documents, and nothing about the real
server.
"""

import argparse
import json
import logging
import os
import re
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from zoo.serving import graph, runtime

PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?(?P<rest>/metadata|:predict|)$"
)


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status  # HTTP's


class Models:
    """The versions and labels of a ModelServerConfig."""

    def __init__(self, config):
        self.labels, self.sessions, self.meta_graphs = {}, {}, {}
        for model in config.model_config_list.config:
            assert os.path.isabs(model.base_path), "Expected model to have an absolute path"
            self.labels[model.name] = dict(model.version_labels)
            for version in model.model_version_policy.specific.versions:
                directory = os.path.join(model.base_path, str(version))
                self.sessions[model.name, version] = runtime.Session(directory)
                self.meta_graphs[model.name, version] = graph.read(directory)

    def find(self, model, version=None, label=None):
        if label:
            if label not in self.labels.get(model, {}):
                raise Refused(404, f"Unrecognized servable version label: {label}")
            version = self.labels[model][label]
        there = [number for name, number in self.sessions if name == model]
        wanted = int(version) if version else max(there, default=None)
        if wanted not in there:
            raise Refused(
                404,
                "Servable not found for request: "
                + (f"Specific({model}, {version})" if version else f"Latest({model})"),
            )
        return model, wanted

    def predict(self, key, signature, inputs):
        if signature not in self.sessions[key].signatures:
            raise Refused(400, f'Serving signature name: "{signature}" not found in signature def')
        try:
            return self.sessions[key].run(signature, inputs)
        except runtime.RuntimeFailure as failure:
            raise Refused(400, str(failure)) from None


class Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models = None

    def do_GET(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def _answer(self, method):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            match = PATH.fullmatch(self.path)
            if match is None:
                raise Refused(404, f"Malformed request: {self.command} {self.path}")
            status, content = (
                200,
                method(
                    match["rest"],
                    self.models.find(match["model"], match["version"], match["label"]),
                    body,
                ),
            )
        except Refused as refused:
            status, content = refused.status, {"error": str(refused)}
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _get(self, rest, key, body):
        model, version = key
        if rest == "/metadata":
            definitions = {
                name: _rest_definition(definition)
                for name, definition in self.models.meta_graphs[key].signature_def.items()
            }
            spec = {"name": model, "signature_name": "", "version": str(version)}
            return {
                "model_spec": spec,
                "metadata": {"signature_def": {"signature_def": definitions}},
            }
        status = {"error_code": "OK", "error_message": ""}
        return {
            "model_version_status": [
                {"version": str(version), "state": "AVAILABLE", "status": status}
            ]
        }

    def _post(self, rest, key, body):
        try:
            request = json.loads(body)
        except json.JSONDecodeError as error:
            raise Refused(400, f"JSON Parse error: {error}") from None
        signature = request.get("signature_name", "serving_default")
        definition = self.models.sessions[key].signatures.get(signature)
        if definition is None:
            self.models.predict(key, signature, {})
        rows = request["instances"]
        if len(definition.inputs) == 1:
            columns = {next(iter(definition.inputs)): rows}
        else:
            for row in rows:
                if not isinstance(row, dict) or row.keys() != definition.inputs.keys():
                    raise Refused(
                        400,
                        "Failed to process element of 'instances' list: "
                        "JSON object does not have the named inputs",
                    )
            columns = {name: [row[name] for row in rows] for name in definition.inputs}
        inputs = {
            name: np.array(values, definition.inputs[name].dtype)
            for name, values in columns.items()
        }
        outputs = {
            name: value.tolist()
            for name, value in self.models.predict(key, signature, inputs).items()
        }
        if len(outputs) == 1:
            return {"predictions": next(iter(outputs.values()))}
        return {
            "predictions": [
                dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)
            ]
        }

    def log_message(self, *unused):
        pass


def _rest_definition(definition):
    def ports(infos):
        return {
            name: {
                "dtype": types_pb2.DataType.Name(info.dtype),
                "tensor_shape": {
                    "dim": [{"size": str(dim.size), "name": ""} for dim in info.tensor_shape.dim],
                    "unknown_rank": False,
                },
                "name": info.name,
            }
            for name, info in infos.items()
        }

    return {
        "inputs": ports(definition.inputs),
        "outputs": ports(definition.outputs),
        "method_name": definition.method_name,
    }


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models):
        self.models = models

    def _key(self, spec, context):
        try:
            return self.models.find(
                spec.name, spec.version.value or None, spec.version_label or None
            )
        except Refused as refused:
            context.abort(grpc.StatusCode.NOT_FOUND, str(refused))

    def Predict(self, request, context):
        key = self._key(request.model_spec, context)
        try:
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            outputs = self.models.predict(
                key, request.model_spec.signature_name or "serving_default", inputs
            )
        except Refused as refused:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(refused))
        return predict_pb2.PredictResponse(
            outputs={name: tf.make_tensor_proto(value) for name, value in outputs.items()}
        )

    def GetModelMetadata(self, request, context):
        definitions = get_model_metadata_pb2.SignatureDefMap()
        meta_graph = self.models.meta_graphs[self._key(request.model_spec, context)]
        for name, definition in meta_graph.signature_def.items():
            definitions.signature_def[name].CopyFrom(definition)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.metadata["signature_def"].Pack(definitions)
        return reply


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rest_api_port", type=int, required=True)
    parser.add_argument("--model_config_file", required=True)
    parser.add_argument("--model_config_file_poll_wait_seconds", type=int)
    parser.add_argument(
        "--allow_version_labels_for_unavailable_models", choices=["true"], required=True
    )
    parser.add_argument("--enable_batching", choices=["true"])
    parser.add_argument("--batching_parameters_file")
    arguments = parser.parse_args()
    runtime.disable_xla()
    assert "max_batch_size" in Path(arguments.batching_parameters_file).read_text()
    models = Models(
        text_format.Parse(
            Path(arguments.model_config_file).read_text(),
            model_server_config_pb2.ModelServerConfig(),
        )
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Grpc(models), server)
    server.add_insecure_port(f"localhost:{arguments.port}")
    server.start()
    Rest.models = models
    logging.getLogger().setLevel("ERROR")
    ThreadingHTTPServer(("localhost", arguments.rest_api_port), Rest).serve_forever()


if __name__ == "__main__":
    main()
