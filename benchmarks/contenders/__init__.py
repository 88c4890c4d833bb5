"""The training loops that `train_step.py` compares: one function each, written as that framework's
users write them.

A function takes a `Task`, imports its framework, builds the network of `Task`, and returns a
`Loop`. Every loop shuffles, visits each image once an epoch (the last batch is short) and minimizes
minus the ELBO, KL in closed form, unless its entry in `CONTENDERS` says otherwise. Threads, memory
layout and kernels are the framework's defaults.
"""

from collections.abc import Callable
from typing import NamedTuple

from contenders import on_jax, on_tensorflow, on_torch
from contenders.task import Task as Task


class Contender(NamedTuple):
    build: Callable  # Task -> Loop
    needs: tuple  # modules that must be there
    about: str


CONTENDERS = {
    "keras": Contender(
        on_tensorflow.keras_fit,
        ("keras", "tensorflow"),
        "Keras 3, `fit` as it comes, draws by keras.random",
    ),
    "keras_jit": Contender(
        on_tensorflow.keras_jit,
        ("keras", "tensorflow"),
        "the same with jit_compile=True, steps_per_execution=50",
    ),
    "keras_jit_stateful": Contender(
        on_tensorflow.keras_jit_stateful, ("keras", "tensorflow"), "the same, draws by tf.random"
    ),
    "tfp_layers": Contender(
        on_tensorflow.tfp_layers,
        ("tf_keras", "tensorflow_probability"),
        "tf_keras, tfp.layers, `fit`, Monte Carlo KL",
    ),
    "zoo": Contender(on_tensorflow.zoo_fit, ("zoo", "tensorflow"), "zoo.VAE, `fit` as it comes"),
    "zoo_before": Contender(
        on_tensorflow.zoo_fit,
        ("tensorflow",),
        "the same of another revision, the checkout that `--before` names",
    ),
    "zoo_xla_block": Contender(
        on_tensorflow.zoo_xla_block,
        ("zoo", "tensorflow"),
        "zoo.VAE, blocks of steps in one XLA program",
    ),
    "zoo_tf_loop": Contender(
        on_tensorflow.zoo_tf_loop,
        ("zoo", "tensorflow"),
        "zoo.VAE, the same blocks over TensorFlow's own kernels",
    ),
    "zoo_tf_step": Contender(
        on_tensorflow.zoo_tf_step,
        ("zoo", "tensorflow"),
        "zoo.VAE, one call of TensorFlow's own kernels a step",
    ),
    "zoo_bfloat16": Contender(
        on_tensorflow.zoo_bfloat16,
        ("zoo", "tensorflow"),
        "the same under Keras's mixed_bfloat16 policy",
    ),
    "torch": Contender(on_torch.torch_eager, ("torch",), "PyTorch eager, fused Adam"),
    "torch_bfloat16": Contender(
        on_torch.torch_bfloat16, ("torch",), "the same under bfloat16 autocast"
    ),
    "torch_channels_last": Contender(
        on_torch.torch_channels_last, ("torch",), "PyTorch eager, fused Adam, maps channels last"
    ),
    "torch_channels_last_bfloat16": Contender(
        on_torch.torch_channels_last_bfloat16, ("torch",), "the same under bfloat16 autocast"
    ),
    "torch_channels_last_compile": Contender(
        on_torch.torch_channels_last_compile,
        ("torch",),
        "PyTorch, channels last, loss and gradients by torch.compile",
    ),
    "torch_compile": Contender(
        on_torch.torch_compile,
        ("torch",),
        "PyTorch, loss and gradients by torch.compile, fused Adam",
    ),
    "torch_compile_bfloat16": Contender(
        on_torch.torch_compile_bfloat16, ("torch",), "the same under bfloat16 autocast"
    ),
    "products": Contender(
        on_tensorflow.products,
        ("tensorflow",),
        "no training: the matrix products of a step alone, in one XLA loop",
    ),
    "jax": Contender(
        on_jax.jax_scan, ("jax", "optax"), "JAX, a whole epoch in one compiled lax.scan"
    ),
    "pythae": Contender(
        on_torch.pythae,
        ("torch", "pythae"),
        "pythae's VAE and trainer on grey images: no binarization to pay for",
    ),
}

OF_THE_ZOO = ("zoo", "zoo_before", "zoo_xla_block", "zoo_tf_loop", "zoo_tf_step", "zoo_bfloat16")
# Model -> those that train it.
FITTING = {
    "dense": tuple(name for name in CONTENDERS if "channels_last" not in name),
    "conv": (
        *("keras", "keras_jit", "keras_jit_stateful"),
        *OF_THE_ZOO,
        *("torch", "torch_bfloat16", "torch_compile", "torch_compile_bfloat16"),
    ),
    "residual": (*OF_THE_ZOO, *(name for name in CONTENDERS if name.startswith("torch"))),
    "tokens": (*OF_THE_ZOO, *(name for name in CONTENDERS if name.startswith("torch"))),
    "two_layers": OF_THE_ZOO,
}
