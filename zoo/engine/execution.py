"""How training runs: which of three ways was fastest where, and what a kind of layer allows."""

from collections.abc import Iterable

import keras
import tensorflow as tf

from zoo.compat import layers_inside, op_determinism_is_on

CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)

# What was fastest where: zoo_xla_block, zoo_tf_loop and zoo_tf_step of benchmarks/train_step.py,
# with numbers in its README. The GPU's rows are not measured yet: they follow Keras's rule that XLA
# pays there.
FASTEST = {
    ("cpu", "dense"): "xla-block",
    ("cpu", "convolutional"): "tf-loop",
    ("cpu", "drawing"): "tf-loop",
    ("gpu", "dense"): "xla-block",
    ("gpu", "convolutional"): "xla-block",
    ("gpu", "drawing"): "xla-block",
}

# On a CPU, XLA takes longer than TensorFlow to make a dense model's program, and less for each step
# of it: it pays from so many steps on where products are small, and sooner where they are large
# (benchmarks/first_minute.py and train_step.py: 2,900 steps of 26,000 weights on 64 rows, 1,150 of
# 34,000 that draw their pixels, 520 of 980,000 on 128).
STEPS_THAT_PAY = 2500
# Products of a step (weights times rows) that halve that number.
PRODUCTS_THAT_HALVE = 12e6

# Hooks of Keras that a model of the zoo never calls: what they would change is changed in
# `loss_terms`.
NEVER_CALLED = ("train_step", "test_step", "compute_loss", "compute_metrics")


def execution_mode(
    jit_compile: bool | str,
    run_eagerly: bool,
    device: str,
    network: str,
    deterministic: bool = False,
    supports_jit: bool = True,
    num_steps: int | None = None,
    num_products: int = 0,
) -> str:
    """How training runs.

    Args:
        jit_compile: "auto" (what was fastest), True (XLA) or False.
        run_eagerly: Whether to run step by step in Python.
        device: "cpu" or "gpu".
        network: "dense", "convolutional" or "drawing": with Keras's own Dropout or noise, whose
            draws XLA makes slowly on a CPU. A dense model with two Dropout layers a network trained
            nine times slower than in TensorFlow's loop; those of `zoo.layers` cost a tenth.
        deterministic: Whether op determinism is on. XLA's programs for a GPU are not covered by it,
            those for a CPU repeat themselves to the bit in any case.
        supports_jit: Whether every layer can be compiled.
        num_steps: Length of the run; None: as long as it takes for compilation not to count.
        num_products: Weights times rows of a batch.

    Returns:
        "xla-block": a block of steps is one XLA program. "tf-loop": the same loop over TensorFlow's
        own kernels. "eager".
    """
    if run_eagerly:
        return "eager"
    if jit_compile == "auto":
        jit_compile = FASTEST[device, network] == "xla-block" and (
            device == "gpu" or _compilation_pays(num_steps, num_products)
        )
    mode = "xla-block" if jit_compile else "tf-loop"
    return "tf-loop" if not supports_jit or (deterministic and device == "gpu") else mode


def _compilation_pays(num_steps, num_products):
    if num_steps is None:
        return True
    return num_steps * (1 + num_products / PRODUCTS_THAT_HALVE) >= STEPS_THAT_PAY


def mode_of(
    model: keras.Model,
    jit_compile: bool | str,
    run_eagerly: bool,
    num_steps: int | None = None,
    num_rows: int = 0,
) -> str:
    """`execution_mode` of a model on this machine, in a run of `num_steps` batches of
    `num_rows`."""
    device = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    supports_jit = all(layer.supports_jit for layer in layers_inside(model))
    return execution_mode(
        jit_compile,
        run_eagerly,
        device,
        kind_of_network(model),
        op_determinism_is_on(),
        supports_jit,
        num_steps,
        num_rows * model.count_params() if num_rows else 0,
    )


def kind_of_network(model: keras.Model) -> str:
    """ "drawing" if a layer of Keras draws, "convolutional" if one is, else "dense"."""
    if generator_states(model):
        return "drawing"
    convolves = any(isinstance(layer, CONVOLUTIONS) for layer in layers_inside(model))
    return "convolutional" if convolves else "dense"


def has_batch_statistics(layers: Iterable[keras.layers.Layer]) -> bool:
    """Whether a row that only fills a shape would be seen by other rows: where a layer normalizes
    over the batch."""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


def is_synchronized(layers: Iterable[keras.layers.Layer]) -> bool:
    """Whether a layer's own statistics are of all replicas' rows."""
    return any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized
        for layer in layers
    )


def generator_states(model: keras.Model) -> list[keras.Variable]:
    """The states of the random generators of Keras's own layers (Dropout, GaussianNoise): they are
    no weights, and `fit` moves them."""
    others = {id(variable) for variable in (*model.weights, *model.metrics_variables)}
    return [variable for variable in model.variables if id(variable) not in others]


def assert_hooks_are_called(model: keras.Model, base: type[keras.Model]) -> None:
    """Raises TypeError where a model changes a hook of Keras that `base`, whose training it has,
    never calls."""
    overridden = [
        name
        for name in NEVER_CALLED
        if name in vars(model) or getattr(type(model), name) is not getattr(base, name)
    ]
    if overridden:
        raise TypeError(
            f"Training in compiled blocks never calls Keras's {', '.join(NEVER_CALLED)}. "
            "Override `loss_terms(batch, noise, training)` or `prepare(batch, noise)`. "
            f"Received: {type(model).__name__}, which overrides {', '.join(overridden)}."
        )
