"""Trains a model on the replicas that it is told, and writes weights and history: `python
replicas_worker.py STRATEGY OUT_FILE CASE ...`.

A process of its own, because TensorFlow's devices and workers are settled before it starts.
STRATEGY is "one" (a single device, the whole batch), "mirrored" (two logical CPU devices) or
"multi_worker" (TF_CONFIG tells).
"""

import contextlib
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

SHAPE = (4, 4, 1)


def cases():
    import keras

    import zoo

    sgd, adam = (lambda: keras.optimizers.SGD(0.01)), (lambda: keras.optimizers.Adam(1e-3))
    clipped = lambda: keras.optimizers.SGD(0.05, global_clipnorm=1.0)  # noqa: E731
    free_bits = {"objective": zoo.objectives.FreeBits(0.2)}
    return {  # model, its arguments, optimizer, batch size, arguments of `compile`
        "sgd": (zoo.VAE, {}, sgd, 16, {}),
        "uneven": (zoo.VAE, {}, sgd, 15, {}),
        "on disk": (zoo.VAE, {}, sgd, 15, {}),
        "clipped": (zoo.VAE, {}, clipped, 16, {}),
        "adam": (zoo.VAE, {}, adam, 16, {}),
        "tf-loop": (zoo.VAE, {}, sgd, 16, {"jit_compile": False}),
        "capacity": (
            zoo.CapacityVAE,
            {"capacity": zoo.schedules.Linear(0.0, 2.0, 10), "gamma": 3.0},
            sgd,
            15,
            {},
        ),
        "total correlation": (zoo.BetaTCVAE, {}, sgd, 15, {}),
        "adversary": (
            zoo.FactorVAE,
            {"discriminator": lambda: zoo.networks.MLP((8,), 2)},
            sgd,
            15,
            {"optimizers": {"discriminator": sgd}},
        ),
        "quantizer": (quantized, {"restart_below": 0.9}, sgd, 15, {}),
        "residual quantizer": (quantized, {"depth": 2}, sgd, 15, {}),
        "bits": (quantized, {"num_bits": 2}, sgd, 15, {}),
        "free-bits": (zoo.VAE, free_bits, sgd, 16, {}),
        "dropout by row": (zoo.VAE, {"inner": lambda: zoo.layers.Dropout(0.4)}, sgd, 15, {}),
        "synchronized": (
            zoo.VAE,
            {"inner": lambda: keras.layers.BatchNormalization(synchronized=True)},
            sgd,
            20,
            {},
        ),
        "dropout": (zoo.VAE, {"inner": lambda: keras.layers.Dropout(0.4)}, sgd, 16, {}),
        "batch normalization": (
            zoo.VAE,
            {"inner": lambda: keras.layers.BatchNormalization(momentum=0.5)},
            sgd,
            16,
            {"jit_compile": True},
        ),
    }


def quantized(
    encoder, decoder, posterior, likelihood, restart_below=0.0, depth=None, num_bits=None
):
    import zoo

    del posterior  # its encoder gives two numbers for each of three: three codes of two
    if num_bits is not None:
        quantizer = zoo.layers.LookupFree(num_bits, temperature=1.0)
    else:
        quantizer = zoo.layers.VectorQuantizer(4, 2, decay=0.8, restart_below=restart_below)
    if depth is not None:
        quantizer = zoo.layers.ResidualQuantizer(quantizer, depth, dropout=0.5)
    decoder = zoo.networks.MLP((16,), likelihood.num_params)
    return zoo.VQVAE(encoder, decoder, quantizer, likelihood)


def on_disk(images, read):
    from zoo.observations.on_disk import OnDisk

    def rows(numbers):
        read.append(numbers)
        return images[numbers]

    return OnDisk(rows, SHAPE, np.arange(len(images)))


def is_one_of_several():
    return "TF_CONFIG" in os.environ


def train(case, strategy):
    import keras

    import zoo

    model_class, arguments, optimizer, batch_size, compile_arguments = cases()[case]
    images, read = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8), []
    if case == "on disk":
        images = on_disk(images, read)
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        posterior, likelihood = zoo.layers.DiagonalNormal(3), zoo.layers.Bernoulli(SHAPE)
        decoder = zoo.networks.MLP((16,), likelihood.num_params)
        inner = arguments.pop("inner", None)
        if inner is None:
            encoder = zoo.networks.MLP((16,), posterior.num_params)
        else:
            hidden = keras.layers.Dense(16, "relu")
            encoder = keras.Sequential(
                [keras.layers.Flatten(), hidden, inner(), keras.layers.Dense(posterior.num_params)]
            )
        arguments = {
            name: value() if name == "discriminator" else value for name, value in arguments.items()
        }
        model = model_class(encoder, decoder, posterior, likelihood, **arguments)
        others = {name: make() for name, make in compile_arguments.pop("optimizers", {}).items()}
        model.compile(optimizer(), optimizers=others, **compile_arguments)
    history = model.fit(
        images, batch_size=batch_size, epochs=7, validation_data=images[:11], verbose=0
    ).history  # 21 steps
    # A worker reads the rows of its replicas, of each batch.
    share = -(-batch_size // strategy.num_replicas_in_sync) if is_one_of_several() else batch_size
    assert all(len(rows) <= share for rows in read), read
    for variable in model.variables:
        copies = [copy.numpy() for copy in getattr(variable.value, "values", [variable.value])]
        assert all(np.array_equal(copy, copies[0]) for copy in copies), (
            f"the replicas differ in {variable.path}"
        )
    return [tf.convert_to_tensor(weight).numpy() for weight in model.weights], history


def main(name, out, names):
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    from zoo.engine.replicas import is_chief, make_strategy

    strategy = None if name == "one" else make_strategy(name)
    if strategy and strategy.num_replicas_in_sync < 2:
        raise SystemExit(f"{name} has {strategy.num_replicas_in_sync} replica.")
    arrays, histories = {}, {}
    for case in names:
        weights, histories[case] = train(case, strategy)
        arrays |= {f"{case}/{i}": weight for i, weight in enumerate(weights)}
    if strategy is None or is_chief(strategy):
        np.savez(out, histories=json.dumps(histories), **arrays)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
