"""Takes out of a SavedModel's graph what no runtime needs: most of its bytes.

Nodes get short names (`MatMul_3` for `vae_1/mlp_1_2/dense_3_1/Cast_1/MatMul`), equal constants of a
function become one, and shapes that a loader infers again are dropped. Signatures, functions, their
inputs and their outputs keep their names.
"""

import collections
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from zoo.compat import write_fingerprint


def compact(directory: str | Path) -> None:
    """Makes the graph of an exported version smaller, and its fingerprint that of the new graph."""
    path = Path(directory) / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in saved_model.meta_graphs[0].graph_def.library.function:
        _compact(function)
    path.write_bytes(saved_model.SerializeToString(deterministic=True))
    write_fingerprint(str(directory))


def _compact(function):
    """A `FunctionDef`, in place."""
    taken = {argument.name for argument in function.signature.input_arg}
    names, nodes, constants, counts = {}, [], {}, collections.Counter()
    for node in function.node_def:
        node.attr.pop("_output_shapes", None)
        key = _content(node) if node.op == "Const" and not node.input else None
        if key in constants:
            names[node.name] = constants[key]
            continue
        name = next(name for name in _numbered(node.op, counts) if name not in taken)
        names[node.name] = name
        if key is not None:
            constants[key] = name
        nodes.append(node)
    for node in nodes:
        node.name = names[node.name]
        node.input[:] = [_renamed(source, names) for source in node.input]
        node.ClearField("experimental_debug_info")
        if "_class" in node.attr:  # nodes that have to be on one device
            places = node.attr["_class"].list.s
            places[:] = [
                f"loc:@{names[place.decode().removeprefix('loc:@')]}".encode() for place in places
            ]
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del function.node_def[:]
    function.node_def.extend(kept)
    for output, source in dict(function.ret).items():  # a map may not change while it is walked
        function.ret[output] = _renamed(source, names)
    controls = [names[function.control_ret[output]] for output in function.signature.control_output]
    function.control_ret.clear()
    function.control_ret.update({name: name for name in controls})
    function.signature.control_output[:] = controls


def _content(node):
    """What makes two constants equal."""
    return node.device, *(
        (key, node.attr[key].SerializeToString(deterministic=True)) for key in sorted(node.attr)
    )


def _numbered(op, counts):
    while True:
        counts[op] += 1
        yield f"{op}_{counts[op]}"


def _renamed(source, names):
    """Where an input comes from: `^node`, `node:output:index`, or an argument of the function."""
    if source.startswith("^"):
        return f"^{names.get(source[1:], source[1:])}"
    node, _, output = source.partition(":")
    return f"{names[node]}:{output}" if ":" in output else source
