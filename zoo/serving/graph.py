"""What a stock model server refuses, and what its REST door cannot say, read from a SavedModel's
graph without running it."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from zoo.compat import op_definition

PYTHON_OPS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}
# Ops that keep a generator's state, or draw from one.
STATEFUL_DRAWS = (
    "Random",
    "StatefulRandom",
    "StatefulStandardNormal",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "Rng",
)
MORE_STATEFUL_DRAWS = {
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "TruncatedNormal",
    "StatefulBinomial",
    "NonDeterministicInts",
}
# tensorflow_serving/util/json_tensor.cc; 16-bit floats are not among them.
JSON_TYPES = {
    tf.bool,
    tf.string,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint16,
    tf.uint32,
    tf.uint64,
    tf.float32,
    tf.float64,
    tf.string,
}


def read(directory: str | Path) -> meta_graph_pb2.MetaGraphDef:
    """The `MetaGraphDef` of a version directory.

    Raises:
        ValueError: If there is none, or it cannot be read.
    """
    path = Path(directory) / "saved_model.pb"
    try:
        return saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0]
    except FileNotFoundError:
        raise ValueError(
            f"{str(directory)!r} is not an exported version: it holds no saved_model.pb."
        ) from None
    except Exception as error:  # protobuf's errors have no common class
        raise ValueError(f"The graph {str(path)!r} cannot be read: {error}") from None


def ops(meta_graph: meta_graph_pb2.MetaGraphDef) -> set[str]:
    """The names of all ops of a graph and its functions."""
    return {node.op for node in _nodes(meta_graph)}


def _nodes(meta_graph):
    return [
        *meta_graph.graph_def.node,
        *(node for function in meta_graph.graph_def.library.function for node in function.node_def),
    ]


def graph_problems(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, str | None]:
    """Check -> what is wrong, or None."""
    library, nodes = meta_graph.graph_def.library.function, _nodes(meta_graph)
    used = ops(meta_graph)
    functions = {function.signature.name for function in library}
    draws = {
        op
        for op in used
        if op in MORE_STATEFUL_DRAWS or (op.startswith(STATEFUL_DRAWS) and not _is_stateless(op))
    }
    unknown = {op for op in used - functions if op_definition(op) is None}
    compiled = any(
        "_XlaMustCompile" in item.attr and item.attr["_XlaMustCompile"].b
        for item in [*library, *nodes]
    )
    refusal = "a stock server refuses functions that have to be"
    return {
        "no function has to be compiled with XLA": refusal if compiled else None,
        "no draw without a seed": _named(draws),
        "no op of Python": _named(used & PYTHON_OPS),
        "no op that TensorFlow does not have": _named(unknown),
    }


def _is_stateless(op):
    definition = op_definition(op)
    return definition is not None and not definition.is_stateful


def _named(names):
    return f"it holds {', '.join(sorted(names))}" if names else None


def _shape(info):
    return tf.TensorShape(info.tensor_shape)


def signature_inputs(
    meta_graph: meta_graph_pb2.MetaGraphDef,
) -> dict[str, dict[str, tf.TensorSpec]]:
    """Signature -> dict of input -> `tf.TensorSpec`."""
    return {
        name: {
            port: tf.TensorSpec(_shape(info), info.dtype, name=port)
            for port, info in definition.inputs.items()
        }
        for name, definition in sorted(meta_graph.signature_def.items())
        if definition.method_name  # the loader's own has none
    }


def signature_problems(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, str | None]:
    """Signature -> what keeps it from being asked by rows over REST, or from being batched, or
    None.

    Every input and output has to lead with a batch dimension of any size, and be of a type that
    JSON can hold.
    """
    problems = {}
    for name in signature_inputs(meta_graph):
        definition, found = meta_graph.signature_def[name], []
        for kind, ports in (("input", definition.inputs), ("output", definition.outputs)):
            if not ports:
                found.append(f"it has no {kind}s")
            for port, info in sorted(ports.items()):
                dtype, shape = tf.as_dtype(info.dtype), _shape(info)
                if dtype not in JSON_TYPES:
                    found.append(f"JSON has no {dtype.name}: {kind} {port!r}")
                if shape.rank is None or shape.rank == 0 or shape[0] is not None:
                    found.append(f"{kind} {port!r} does not lead with the batch: {shape}")
        problems[name] = "; ".join(found) or None
    return problems
