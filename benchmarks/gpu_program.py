"""A training block as XLA's program, for a machine that has JAX and a GPU and no TensorFlow.

Where this package is:

    python benchmarks/gpu_program.py write build/gpu            # dense, conv and two_layers

The files of `build/gpu` and this script are all that the other machine needs, where JAX is:

    python gpu_program.py run build/gpu --json gpu_program.json

A file holds a block of steps as `fit` compiles it (gather, binarize, forward, backward, Adam and
metrics in one loop) as StableHLO, its variables' values, which output becomes which variable, and
the losses that TensorFlow gave here. `run` compiles it, compares the losses, and times it with the
variables donated: what a GPU takes for a step, without Keras's work around blocks and with the XLA
of the JAX there. TensorFlow lowers it for a CPU; nothing in these programs is a CPU's alone.
"""

import argparse
import dataclasses
import datetime
import json
import os
import re
import statistics
import time
from pathlib import Path

import numpy as np

MODELS = ("dense", "conv", "two_layers")
STEPS = {"dense": 30, "conv": 10, "two_layers": 30}  # of a block
BLOCKS = 3  # whose losses are compared
TOLERANCE = 1e-3  # of a loss, relative
DTYPES = {
    **{"pred": "bool", "f32": "float32", "s32": "int32", "s64": "int64", "u8": "uint8"},
    **{"u32": "uint32", "f64": "float64", "bf16": "bfloat16", "u64": "uint64", "f16": "float16"},
}
TYPE = re.compile(rf"\b({'|'.join(DTYPES)})\[([\d,]*)\]")


# -- Where TensorFlow is


def write(name, directory):
    """Writes the program of a block of `name` steps, and what it gave."""
    import keras
    import tensorflow as tf
    from contenders import Task, on_tensorflow
    from train_step import DEFAULTS, spots

    from zoo.engine.blocks import Block

    keras.utils.set_random_seed(0)
    steps, batch_size = STEPS[name], DEFAULTS[name]["batch_size"]
    images = spots(steps * batch_size, DEFAULTS[name]["side"])
    model = on_tensorflow.zoo_model(Task(name, images, batch_size))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    model.build_optimizer()

    @tf.function(jit_compile=True, autograph=False)
    def block(images, order, starts):
        rows = Block({"image": images}, order, starts, starts, steps, batch_size)

        def body(i):
            model._train_batch(rows.batch(i), batch_size, None, rows.first_row[i])
            return (i + 1,)

        tf.while_loop(lambda i: i < steps, body, (tf.constant(0),), parallel_iterations=1)
        return model.get_metrics_result()["loss"]

    order = np.random.default_rng(0).permutation(len(images)).astype(np.int32)
    starts = np.arange(steps, dtype=np.int32) * batch_size
    arguments = [tf.constant(value) for value in (images, order, starts)]
    concrete = block.get_concrete_function(*arguments)
    told = block.experimental_get_compiler_ir(*arguments)
    head = told(stage="hlo_no_metadata").partition("\n")[0]
    variables = {id(variable.handle): variable for variable in concrete.variables}
    captured = [
        variables[id(tensor)].numpy() if tensor.dtype == tf.resource else tensor.numpy()
        for tensor in concrete.captured_inputs
    ]
    results = head.partition("entry_computation_layout={")[2].partition(")->")[2]
    record = {
        "model": name,
        "steps": steps,
        "batch_size": batch_size,
        "inputs": len(arguments),
        # Number of an output -> of the argument that it becomes.
        "becomes": dict(re.findall(r"\{(\d+)\}: \((\d+), \{\}", head)),
        "results": TYPE.findall(_without_comments(results)),
        "tensorflow": tf.__version__,
    }
    values = [argument.numpy() for argument in arguments] + captured
    record["losses"] = [float(block(*arguments)) for _ in range(BLOCKS)]
    np.savez_compressed(
        directory / f"{name}.npz",
        record=json.dumps(record),
        program=np.frombuffer(told(stage="stablehlo_serialized"), np.uint8),
        **{str(number): value for number, value in enumerate(values)},
    )
    print(f"{name}: {len(values)} arguments, losses {record['losses']}")


def _without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text)


# -- Where JAX is


def run(path, rounds):
    """What a program gives and takes here: a dict."""
    os.environ.setdefault("JAX_ENABLE_X64", "1")  # Keras counts steps in int64
    import jax
    from jax import export, numpy

    with np.load(path) as archive:
        record = json.loads(str(archive["record"]))
        program = archive["program"].tobytes()
        values = [archive[str(i)] for i in range(len(archive.files) - 2)]
    shapes = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in values]
    results = [
        jax.ShapeDtypeStruct([int(size) for size in sizes.split(",") if size], DTYPES[kind])
        for kind, sizes in record["results"]
    ]
    # An exported function of the same types, with the program in its place.
    blank = export.export(jax.jit(lambda *_: [numpy.zeros(r.shape, r.dtype) for r in results]))
    exported = dataclasses.replace(
        blank(*shapes),
        mlir_module_serialized=program,
        module_kept_var_idx=tuple(range(len(values))),
    )
    inputs = record["inputs"]
    becomes = {int(out): int(place) - inputs for out, place in record["becomes"].items()}

    def block(arguments, state):
        outputs = exported.call(*arguments, *state)
        moved = {place: outputs[out] for out, place in becomes.items()}
        losses = [value for out, value in enumerate(outputs) if out not in becomes]
        return losses[0], [moved.get(place, old) for place, old in enumerate(state)]

    arguments, state = jax.device_put(values[:inputs]), jax.device_put(values[inputs:])
    start = time.perf_counter()
    compiled = jax.jit(block, donate_argnums=1).lower(arguments, state).compile()
    compiling = time.perf_counter() - start
    losses = []
    for _ in record["losses"]:
        loss, state = compiled(arguments, state)
        losses.append(float(loss))
    seconds = []
    for _ in range(rounds):
        jax.block_until_ready(state)
        start = time.perf_counter()
        loss, state = compiled(arguments, state)
        jax.block_until_ready((loss, state))
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds) / record["steps"]
    difference = float(np.abs(np.array(losses) / record["losses"] - 1).max())
    return {
        **{key: record[key] for key in ("model", "steps", "batch_size", "tensorflow")},
        "jax": jax.__version__,
        "device": str(jax.devices()[0]),
        "compile_seconds": compiling,
        "step_ms": 1e3 * step,
        "images_per_second": record["batch_size"] / step,
        "losses": losses,
        "losses_of_tensorflow": record["losses"],
        "largest_relative_difference": difference,
        "agrees": difference < TOLERANCE,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "run"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--models", default=",".join(MODELS), metavar="NAME,...")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    names = arguments.models.split(",")
    if arguments.what == "write":
        arguments.directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            write(name, arguments.directory)
        return
    record = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    for name in names:
        try:
            record[name] = run(arguments.directory / f"{name}.npz", arguments.rounds)
        except Exception as error:  # what was measured of the others is kept
            record[name] = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(record[name]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
