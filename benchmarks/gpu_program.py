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

    python gpu_program.py compile build/gpu --json gpu_program_compiled.json

compiles them for an H100 where no GPU is, with JAX's packages jax-cuda12-plugin and
jax-cuda12-pjrt, nvidia-cuda-runtime-cu12 and nvidia-cuda-nvcc-cu12.
"""

import argparse
import dataclasses
import datetime
import importlib
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

# What XLA's compiler asks of an H100, as in https://github.com/openxla/xla/pull/25919.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84929347584 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 } registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 7 }
runtime_version { major: 12 minor: 8 patch: 0 } device_description_str: "NVIDIA H100 80GB HBM3"
"""


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


def exported_of(path, platform=None):
    """(record, values of all arguments, the program as a `jax.export.Exported`)."""
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
    blank = export.export(
        jax.jit(lambda *_: [numpy.zeros(r.shape, r.dtype) for r in results]),
        platforms=None if platform is None else [platform],
    )
    exported = dataclasses.replace(
        blank(*shapes),
        mlir_module_serialized=program,
        module_kept_var_idx=tuple(range(len(values))),
    )
    return record, values, without_copies(exported)


def without_copies(exported):
    """The same program without `mhlo.copy`, which TensorFlow puts before its results and a GPU's
    compiler refuses: in its place what else gives an operand as it is."""
    from jax._src.export import _export
    from jax._src.interpreters import mlir
    from jaxlib.mlir import ir

    text = exported.mlir_module().replace("mhlo.copy", "stablehlo.optimization_barrier")
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
        return dataclasses.replace(
            exported, mlir_module_serialized=_export._module_to_bytecode(module)
        )


def run(path, rounds):
    """What a program gives and takes here: a dict."""
    record, values, exported = exported_of(path)
    import jax

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


# -- Where JAX's CUDA plugin is, and no GPU


def gpu_topology():
    """An H100 that is not there, for the compiler."""
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    nvidia = Path(next(iter(importlib.import_module("nvidia").__path__)))
    # What would be tried out on the GPU is not.
    os.environ["XLA_FLAGS"] = (
        f"--xla_gpu_cuda_data_dir={nvidia / 'cuda_nvcc'} --xla_gpu_autotune_level=0 "
        "--xla_gpu_enable_triton_gemm=false"
    )
    from jax._src.lib import xla_client

    plugin = Path(importlib.import_module("jax_plugins.xla_cuda12").__file__)
    interface = xla_client.load_pjrt_plugin_dynamically(
        "cuda", str(plugin.with_name("xla_cuda_plugin.so"))
    )
    xla_client.initialize_pjrt_plugin("cuda")
    topology = xla_client.make_c_api_device_topology(
        interface, "h100", topology="1x1x1", target_config=H100
    )
    return topology._make_compile_only_devices()


def compile_for(devices, path):
    """What becomes of a program under XLA's compiler for a GPU: a dict."""
    record, values, exported = exported_of(path, "cuda")
    import jax
    from jax._src.lib import xla_client

    shapes = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in values]
    lowered = (
        jax.jit(lambda *a: exported.call(*a)).trace(*shapes).lower(lowering_platforms=("cuda",))
    )
    options = xla_client.CompileOptions()
    options.executable_build_options.num_replicas = 1
    options.executable_build_options.num_partitions = 1
    start = time.perf_counter()
    executable = devices[0].client.compile(
        lowered.compiler_ir("stablehlo"), xla_client.DeviceList(tuple(devices[:1])), options
    )
    text = executable.hlo_modules()[0].to_string()
    return {
        **{key: record[key] for key in ("model", "steps", "batch_size", "tensorflow")},
        "jax": jax.__version__,
        "device": devices[0].device_kind,
        "compile_seconds": time.perf_counter() - start,
        "fusions": len(re.findall(r" fusion\(", text)),
        "copies": len(re.findall(r" copy\(", text)),
        "libraries": sorted(set(re.findall(r'custom_call_target="([^"]+)"', text))),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "run", "compile"))
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
    os.environ["JAX_ENABLE_X64"] = "1"  # Keras counts steps in int64; read at JAX's import
    record = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    devices = gpu_topology() if arguments.what == "compile" else None
    for name in names:
        path = arguments.directory / f"{name}.npz"
        try:
            record[name] = compile_for(devices, path) if devices else run(path, arguments.rounds)
        except Exception as error:  # what was measured of the others is kept
            record[name] = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(record[name]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
