"""Encoder and decoder as files for LiteRT and ONNX: two deterministic graphs, with z as the
decoder's input.

What draws stays outside: LiteRT has no op for these draws, and tf2onnx writes an invalid file for
graphs that sample without complaint. A file counts as written once it was loaded again in its own
runtime and answered as the Python model does.
"""

import importlib
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.serving.signatures import made_up_rows, signatures

PARTS = {"encoder": "encode", "decoder": "decode"}
CHECK_ROWS = (1, 5)
TOLERANCE = 1e-4  # other kernels, which sum in another order
ONNX_OPSET = 18


def export_litert(model: keras.Model, directory: str | Path) -> list[Path]:
    """Writes `encoder.tflite` and `decoder.tflite`, each with one signature: `encode` or `decode`.
    Needs the extra `litert`.

    Args:
        model: A model of the zoo that has an encoder and a decoder.
        directory: Where the files go; older ones are replaced.

    Returns:
        The two paths.

    Raises:
        ImportError: If the runtime that checks the files is not installed.
        ValueError: If the model does not encode and decode.
        RuntimeError: If a file cannot be converted, or does not answer as the Python model does:
            nothing is written then.
    """
    interpreter = _need("ai_edge_litert.interpreter", "litert")

    def convert(name, signature, path):
        function = signature.traced()
        with tempfile.TemporaryDirectory() as scratch:
            module = _Converted()
            module.variables_used = function.variables
            tf.saved_model.save(module, scratch, {name: function})
            path.write_bytes(
                tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=[name]).convert()
            )

    def answer(name, path, inputs):
        return interpreter.Interpreter(str(path)).get_signature_runner(name)(**inputs)

    return _export(model, directory, "tflite", convert, answer)


def export_onnx(model: keras.Model, directory: str | Path) -> list[Path]:
    """Writes `encoder.onnx` and `decoder.onnx`, with the inputs and outputs of `encode` and
    `decode`. Needs the extra `onnx`.

    Arguments, result and errors as in `export_litert`.
    """
    tf2onnx, onnxruntime = _need("tf2onnx", "onnx"), _need("onnxruntime", "onnx")
    # It reports an op that it does not know, and goes on: the file then does not load.
    logging.getLogger("tf2onnx").setLevel("CRITICAL")

    def convert(name, signature, path):
        specs = list(signature.inputs.values())
        names = list(signature.inputs)
        function = tf.function(
            lambda *tensors: signature.function(**dict(zip(names, tensors, strict=True))),
            autograph=False,
        )
        handlers = {op: (handler, []) for op, handler in HANDLERS.items()}
        tf2onnx.convert.from_function(
            function,
            input_signature=specs,
            opset=ONNX_OPSET,
            output_path=str(path),
            custom_op_handlers=handlers,
        )

    def answer(name, path, inputs):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]
        return dict(zip(outputs, session.run(outputs, inputs), strict=True))

    return _export(model, directory, "onnx", convert, answer)


class _Converted(tf.Module):
    """What is saved for the converter, beside the function."""

    variables_used: Sequence[tf.Variable]


# Ops of TensorFlow Probability that tf2onnx does not know, in those of ONNX.


def _broadcast_args(context, node, name, unused):
    """The shape that two shapes broadcast to: that of zeros of the one, expanded to the other."""
    from onnx import TensorProto

    first, second = (
        context.make_node("Cast", [shape], attr={"to": TensorProto.INT64}).output[0]
        for shape in node.input
    )
    zeros = context.make_node("ConstantOfShape", [first]).output[0]
    shape = context.make_node("Shape", context.make_node("Expand", [zeros, second]).output).output
    _replace(context, node, "Cast", shape, attr={"to": context.get_dtype(node.output[0])})


def _expm1(context, node, name, unused):
    """e^x - 1 as it is written, which loses digits near 0: whoever needs them there is found out by
    the comparison."""
    one = context.make_const(f"{node.name}_one", np.float32(1)).output[0]
    _replace(context, node, "Sub", [context.make_node("Exp", node.input).output[0], one])


HANDLERS = {"BroadcastArgs": _broadcast_args, "Expm1": _expm1}


def _replace(context, node, op, inputs, **attributes):
    outputs, dtypes = node.output, [context.get_dtype(node.output[0])]
    context.remove_node(node.name)
    context.make_node(op, inputs, name=node.name, outputs=outputs, dtypes=dtypes, **attributes)


def _export(model, directory, suffix, convert, answer):
    directory, answered = Path(directory), signatures(model)
    if not answered.keys() >= set(PARTS.values()):
        raise ValueError(
            f"{type(model).__name__} has no encoder and decoder to export: it answers "
            f"{', '.join(sorted(answered))}."
        )
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".") as beside:
        paths = [Path(beside) / f"{part}.{suffix}" for part in PARTS]
        for path, name in zip(paths, PARTS.values(), strict=True):
            try:
                convert(name, answered[name], path)
            except Exception as error:  # converters raise whatever their parts raise
                raise RuntimeError(
                    f"The {path.stem} cannot be converted to .{suffix} ({type(error).__name__}: "
                    f"{error})."
                ) from error
            _check(
                answered[name],
                lambda inputs, name=name, path=path: answer(name, path, inputs),
                path.name,
            )
        for path in paths:
            os.replace(path, directory / path.name)
    return [directory / path.name for path in paths]


def _check(signature, answer, file):
    """Raises unless the file, in its runtime, answers as the Python model does."""
    for rows in CHECK_ROWS:
        inputs = made_up_rows(signature.inputs, rows)
        expected = {name: value.numpy() for name, value in signature.function(**inputs).items()}
        try:
            received = answer(inputs)
        except Exception as error:
            raise RuntimeError(
                f"{file} does not run in its own runtime ({type(error).__name__}: {error})."
            ) from error
        if received.keys() != expected.keys():
            raise RuntimeError(
                f"{file} gives {', '.join(sorted(received))}, not {', '.join(sorted(expected))}."
            )
        for name, value in expected.items():
            if not np.allclose(received[name], value, rtol=TOLERANCE, atol=TOLERANCE):
                raise RuntimeError(
                    f"{file} does not answer as the model does: {name!r} differs for {rows} rows."
                )


def _need(module, extra):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{error}. Install it with: pip install 'vae-zoo[{extra}]'") from None
