"""The training loops that `train_step.py` compares: one function each, written as that framework's users write them.

A function takes a `Task`, imports its framework, builds the network of `Task`, and returns a `Loop`. Every loop shuffles, visits each
image once an epoch (the last batch is short) and minimizes minus the ELBO, KL in closed form, unless its entry in `CONTENDERS` says
otherwise. Threads, memory layout and kernels are the framework's defaults.
"""

import functools
import math
import os
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LEARNING_RATE = 1e-3  # Adam's, everywhere


class Task(NamedTuple):
    """What every contender trains.

    dense           784-400-400-32-400-400-784, relu
    convolutional   the networks of Burgess et al. 2018 as `zoo.networks` has them, 10 latents
    """

    images: np.ndarray  # uint8 [N, H, W, 1]
    batch_size: int
    convolutional: bool

    @property
    def image_shape(self):
        return self.images.shape[1:]

    @property
    def latent_dim(self):
        return 10 if self.convolutional else 32


class Loop(NamedTuple):
    run_epoch: Callable  # () -> seconds of training on every image once
    num_parameters: int
    device: str


def timed(function):
    """() -> seconds that it took."""

    def seconds():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return seconds


# -- Keras and TensorFlow


def keras_layers(layers, task):
    """Layers of (encoder, decoder) with flat outputs: `layers` is that module of Keras 3 or of tf_keras."""
    dense, image_shape = layers.Dense, task.image_shape
    image, latent = layers.Input(image_shape), layers.Input([task.latent_dim])
    if not task.convolutional:
        encoder = [image, layers.Flatten(), dense(400, "relu"), dense(400, "relu"), dense(2 * task.latent_dim)]
        return encoder, [latent, dense(400, "relu"), dense(400, "relu"), dense(math.prod(image_shape))]
    down = [layers.Conv2D(32, 4, 2, "same", activation="relu") for _ in range(4)]
    up = [layers.Conv2DTranspose(32, 4, 2, "same", activation="relu") for _ in range(3)]
    encoder = [image, *down, layers.Flatten(), dense(256, "relu"), dense(2 * task.latent_dim)]
    start = [latent, dense(256, "relu"), dense(4 * 4 * 32, "relu"), layers.Reshape([4, 4, 32])]
    return encoder, [*start, *up, layers.Conv2DTranspose(1, 4, 2, "same"), layers.Flatten()]


def fit_epoch(callbacks, model, data, **arguments):
    """Seconds of one epoch of `fit` from its first step, or from the call where it compiles as well, to its last.

    Not what comes after: an iterator of `tf.data` that tunes itself ends when its tuner wakes up, and that sleeps twice as long each
    time (10, 20, 40 ... ms). A run pays it once, at its end, and not once an epoch.

    Args:
        callbacks: That module of Keras 3 or of tf_keras.
        model, data, arguments: `model.fit(data, **arguments)`.
    """

    class Clock(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.end = time.perf_counter()

    clock, compiled, called = Clock(), model.optimizer.iterations > 0, time.perf_counter()
    model.fit(data, verbose=0, callbacks=[clock], **arguments)
    return clock.end - (clock.begin if compiled else called)


def tensorflow_device():
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"


def keras_fit(task, stateful_draws=False, **compile_arguments):
    """Keras 3's own `fit`, on arrays; noise by `keras.random`, or by TensorFlow's stateful generator."""
    import keras
    import tensorflow as tf
    from keras import ops

    class PlainVAE(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = map(keras.Sequential, keras_layers(keras.layers, task))
            seeds = {"seed": keras.random.SeedGenerator(0)}
            self.uniform = tf.random.uniform if stateful_draws else functools.partial(keras.random.uniform, **seeds)
            self.normal = tf.random.normal if stateful_draws else functools.partial(keras.random.normal, **seeds)

        def call(self, images):
            grey = ops.cast(ops.reshape(images, (-1, math.prod(task.image_shape))), "float32") / 255.0
            x = ops.cast(self.uniform(ops.shape(grey)) < grey, "float32")
            loc, log_scale = ops.split(self.encoder(ops.reshape(x, (-1, *task.image_shape))), 2, axis=-1)
            z = loc + ops.exp(log_scale) * self.normal(ops.shape(loc))
            return x, loc, log_scale, self.decoder(z)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            x, loc, log_scale, logits = y_pred
            log_likelihood = -ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=-1)
            kl = 0.5 * ops.sum(ops.square(loc) + ops.exp(2.0 * log_scale) - 1.0 - 2.0 * log_scale, axis=-1)
            return ops.mean(kl - log_likelihood)

    model = PlainVAE()
    model.compile(keras.optimizers.Adam(LEARNING_RATE), **compile_arguments)
    num_parameters = model.encoder.count_params() + model.decoder.count_params()
    run_epoch = functools.partial(fit_epoch, keras.callbacks, model, task.images, batch_size=task.batch_size)
    return Loop(run_epoch, num_parameters, tensorflow_device())


def keras_jit(task):
    return keras_fit(task, jit_compile=True, steps_per_execution=50)


def keras_jit_stateful(task):
    return keras_fit(task, stateful_draws=True, jit_compile=True, steps_per_execution=50)


def tfp_layers(task):
    """TensorFlow Probability's own layers and its tutorial's way to train them: binarized in the input pipeline."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow_probability as tfp  # isort: skip
    import tensorflow as tf
    import tf_keras

    tfd, tfpl = tfp.distributions, tfp.layers
    encoder, decoder = keras_layers(tf_keras.layers, task)
    prior = tfd.Independent(tfd.Normal(tf.zeros(task.latent_dim), 1.0), 1)
    encoder.append(tfpl.IndependentNormal(task.latent_dim, activity_regularizer=tfpl.KLDivergenceRegularizer(prior)))
    decoder.append(tfpl.IndependentBernoulli(task.image_shape))
    encoder, decoder = tf_keras.Sequential(encoder), tf_keras.Sequential(decoder)
    model = tf_keras.Model(encoder.inputs, decoder(encoder.outputs[0]))
    model.compile(tf_keras.optimizers.Adam(LEARNING_RATE), loss=lambda x, likelihood: -likelihood.log_prob(x))

    def binarized(images):
        x = tf.cast(tf.random.uniform(tf.shape(images)) < tf.cast(images, tf.float32) / 255.0, tf.float32)
        return x, x

    data = tf.data.Dataset.from_tensor_slices(task.images).shuffle(len(task.images)).batch(task.batch_size)
    data = data.map(binarized, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    return Loop(functools.partial(fit_epoch, tf_keras.callbacks, model, data), model.count_params(), tensorflow_device())


def zoo_fit(task, **compile_arguments):
    import keras

    import zoo

    posterior, likelihood = zoo.layers.DiagonalNormal(task.latent_dim), zoo.layers.Bernoulli(task.image_shape)
    if task.convolutional:
        encoder = zoo.networks.ConvEncoder(posterior.num_params)
        decoder = zoo.networks.ConvDecoder(task.image_shape, likelihood.num_params)
    else:
        encoder = zoo.networks.MLP((400, 400), posterior.num_params)
        decoder = zoo.networks.MLP((400, 400), likelihood.num_params)
    model = zoo.VAE(encoder, decoder, posterior, likelihood)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), **compile_arguments)
    run_epoch = functools.partial(fit_epoch, keras.callbacks, model, task.images, batch_size=task.batch_size)
    return Loop(run_epoch, model.count_params(), tensorflow_device())


def zoo_xla_block(task):
    return zoo_fit(task, jit_compile=True)


def zoo_tf_loop(task):
    return zoo_fit(task, jit_compile=False)


def zoo_tf_step(task):
    return zoo_fit(task, jit_compile=False, steps_per_execution=1)


def zoo_bfloat16(task):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    return zoo_fit(task)


def products(task):
    """The floor: a step's matrix products and nothing else, in one XLA loop."""
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python.xla import optimization_barrier

    num_pixels, latent_dim = math.prod(task.image_shape), task.latent_dim
    sizes = [(num_pixels, 400), (400, 400), (400, 2 * latent_dim), (latent_dim, 400), (400, 400), (400, num_pixels)]
    weights = [tf.random.normal(size) / size[0] ** 0.5 for size in sizes]

    def step(x):
        inputs = []
        for matrix in weights:
            inputs.append(x[:, : matrix.shape[0]])
            x = inputs[-1] @ matrix
        gradients, dx = [], x
        for matrix, h in zip(weights[:0:-1], inputs[:0:-1], strict=True):
            gradients.append(tf.matmul(h, dx, transpose_a=True))
            dx = tf.matmul(dx, matrix, transpose_b=True)
            dx = tf.concat([dx, dx], axis=1) if dx.shape[1] == latent_dim else dx
        gradients.append(tf.matmul(inputs[0], dx, transpose_a=True))
        # The next step waits for all of them, and none may be left out.
        return inputs[0] + 1e-9 * tf.add_n([gradient[0, 0] for gradient in optimization_barrier(*gradients)])

    @tf.function(jit_compile=True, autograph=False)
    def epoch(x):
        return tf.while_loop(lambda i, _: i < len(task.images) // task.batch_size, lambda i, x: (i + 1, step(x)), (0, x))[1]

    x = tf.random.normal([task.batch_size, num_pixels])
    num_parameters = sum(i * o + o for i, o in sizes)
    return Loop(timed(lambda: epoch(x).numpy()), num_parameters, tensorflow_device())


# -- PyTorch


def torch_networks(task):
    """Modules (encoder, decoder); images are [B, 1, H, W]."""
    from torch import nn

    latent_dim, (height, width, _) = task.latent_dim, task.image_shape
    if not task.convolutional:
        size = height * width
        hidden = lambda inputs: [nn.Linear(inputs, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU()]  # noqa: E731
        encoder = nn.Sequential(nn.Flatten(), *hidden(size), nn.Linear(400, 2 * latent_dim))
        return encoder, nn.Sequential(*hidden(latent_dim), nn.Linear(400, size), nn.Unflatten(1, (1, height, width)))
    down = [layer for inputs in (1, 32, 32, 32) for layer in (nn.Conv2d(inputs, 32, 4, 2, 1), nn.ReLU())]
    up = [layer for _ in range(3) for layer in (nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU())]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(4 * 4 * 32, 256), nn.ReLU(), nn.Linear(256, 2 * latent_dim))
    start = [nn.Linear(latent_dim, 256), nn.ReLU(), nn.Linear(256, 4 * 4 * 32), nn.ReLU(), nn.Unflatten(1, (32, 4, 4))]
    return encoder, nn.Sequential(*start, *up, nn.ConvTranspose2d(32, 1, 4, 2, 1))


def torch_device():
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def count_torch_parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def torch_eager(task, compiled=False, bfloat16=False):
    """A hand-written loop over images that stay on the device, fused Adam."""
    import torch
    from torch.nn import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder, decoder = (network.to(device) for network in torch_networks(task))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], LEARNING_RATE, fused=True)
    images = torch.from_numpy(task.images).permute(0, 3, 1, 2).contiguous().to(device)  # [N, 1, H, W]

    def mean_loss(images):
        grey = images.float() / 255
        x = (torch.rand_like(grey) < grey).float()
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            loc, log_scale = encoder(x).float().chunk(2, dim=-1)
            logits = decoder(loc + log_scale.exp() * torch.randn_like(loc)).float()
        log_likelihood = -functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        kl = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)
        return (kl - log_likelihood).mean()

    if compiled:
        # One program for full batches and one for the short last: with dynamic shapes full batches would run the general one.
        mean_loss = torch.compile(mean_loss, dynamic=False)

    @timed
    def run_epoch():
        total = torch.zeros([], device=device)
        for rows in torch.randperm(len(images), device=device).split(task.batch_size):
            loss = mean_loss(images[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        return total.item() / len(images)  # waits for the device

    return Loop(run_epoch, count_torch_parameters(encoder, decoder), torch_device())


def torch_bfloat16(task):
    return torch_eager(task, bfloat16=True)


def torch_compile(task):
    return torch_eager(task, compiled=True)


def torch_compile_bfloat16(task):
    return torch_eager(task, compiled=True, bfloat16=True)


def pythae(task):
    """pythae's model and the epochs of its trainer, progress bar included."""
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network = torch_networks(task)[0]

        def forward(self, x):
            embedding, log_covariance = self.network(x).chunk(2, dim=-1)
            return ModelOutput(embedding=embedding, log_covariance=log_covariance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = torch_networks(task)[1]

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    grey = torch.from_numpy(task.images).permute(0, 3, 1, 2).contiguous().float() / 255  # [N, 1, H, W]
    config = VAEConfig(input_dim=tuple(grey.shape[1:]), latent_dim=task.latent_dim, reconstruction_loss="bce")
    model = VAE(config, Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as directory:  # the trainer makes folders at its start, and writes nothing in an epoch
        settings = BaseTrainerConfig(directory, per_device_train_batch_size=task.batch_size, learning_rate=LEARNING_RATE)
        trainer = BaseTrainer(model, BaseDataset(grey, torch.zeros(len(grey))), training_config=settings)
        trainer.prepare_training()

    @timed
    def run_epoch():
        trainer.train_step(epoch=1)
        trainer.callback_handler.on_epoch_end(training_config=settings)  # closes the progress bar

    return Loop(run_epoch, count_torch_parameters(model), torch_device())


# -- JAX


def jax_scan(task):
    """One compiled program an epoch: `lax.scan` over its batches, images on the device, Optax's Adam."""
    import jax
    import optax
    from jax import nn
    from jax import numpy as jnp

    num_images, num_pixels = len(task.images), math.prod(task.image_shape)
    batch_size = min(task.batch_size, num_images)
    num_full = num_images // batch_size * batch_size
    images = jnp.asarray(task.images.reshape(num_images, num_pixels))
    optimizer = optax.adam(LEARNING_RATE)
    glorot = nn.initializers.glorot_uniform()

    def initial_network(key, sizes):
        keys = jax.random.split(key, len(sizes) - 1)
        return [(glorot(k, (i, o)), jnp.zeros(o)) for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True)]

    def apply(network, h):
        for weights, bias in network[:-1]:
            h = nn.relu(h @ weights + bias)
        weights, bias = network[-1]
        return h @ weights + bias

    def mean_loss(networks, images, key):
        binarize_key, latent_key = jax.random.split(key)
        encoder, decoder = networks
        grey = images.astype(jnp.float32) / 255
        x = (jax.random.uniform(binarize_key, grey.shape) < grey).astype(jnp.float32)
        loc, log_scale = jnp.split(apply(encoder, x), 2, axis=-1)
        logits = apply(decoder, loc + jnp.exp(log_scale) * jax.random.normal(latent_key, loc.shape))
        log_likelihood = -optax.sigmoid_binary_cross_entropy(logits, x).sum(-1)
        kl = 0.5 * (loc**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale).sum(-1)
        return (kl - log_likelihood).mean()

    def step(state, rows):
        networks, moments, key = state
        key, step_key = jax.random.split(key)
        loss, gradients = jax.value_and_grad(mean_loss)(networks, images[rows], step_key)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(networks, updates), moments, key), loss

    @jax.jit
    def epoch(state, order):
        state, losses = jax.lax.scan(step, state, order[:num_full].reshape(-1, batch_size))
        if num_full < num_images:
            state, _ = step(state, order[num_full:])
        return state, losses.mean()

    key, encoder_key, decoder_key = jax.random.split(jax.random.key(0), 3)
    hidden = [400, 400]
    networks = (
        initial_network(encoder_key, [num_pixels, *hidden, 2 * task.latent_dim]),
        initial_network(decoder_key, [task.latent_dim, *hidden, num_pixels]),
    )
    state = (networks, optimizer.init(networks), key)
    rng = np.random.default_rng(0)

    @timed
    def run_epoch():
        nonlocal state
        state, loss = jax.block_until_ready(epoch(state, rng.permutation(num_images)))
        return float(loss)

    device = jax.devices()[0]
    return Loop(run_epoch, sum(leaf.size for leaf in jax.tree.leaves(networks)), "CPU" if device.platform == "cpu" else device.device_kind)


class Contender(NamedTuple):
    build: Callable  # Task -> Loop
    needs: tuple  # modules that must be there
    about: str


CONTENDERS = {
    "keras": Contender(keras_fit, ("keras", "tensorflow"), "Keras 3, `fit` as it comes, draws by keras.random"),
    "keras_jit": Contender(keras_jit, ("keras", "tensorflow"), "the same with jit_compile=True, steps_per_execution=50"),
    "keras_jit_stateful": Contender(keras_jit_stateful, ("keras", "tensorflow"), "the same, draws by tf.random"),
    "tfp_layers": Contender(tfp_layers, ("tf_keras", "tensorflow_probability"), "tf_keras and tfp.layers, `fit`, its Monte Carlo KL"),
    "zoo": Contender(zoo_fit, ("zoo", "tensorflow"), "zoo.VAE, `fit` as it comes"),
    "zoo_xla_block": Contender(zoo_xla_block, ("zoo", "tensorflow"), "zoo.VAE, blocks of steps in one XLA program"),
    "zoo_tf_loop": Contender(zoo_tf_loop, ("zoo", "tensorflow"), "zoo.VAE, blocks of steps in one loop of TensorFlow's own kernels"),
    "zoo_tf_step": Contender(zoo_tf_step, ("zoo", "tensorflow"), "zoo.VAE, one call of TensorFlow's own kernels a step"),
    "zoo_bfloat16": Contender(zoo_bfloat16, ("zoo", "tensorflow"), "the same under Keras's mixed_bfloat16 policy"),
    "torch": Contender(torch_eager, ("torch",), "PyTorch eager, fused Adam"),
    "torch_bfloat16": Contender(torch_bfloat16, ("torch",), "the same under bfloat16 autocast"),
    "torch_compile": Contender(torch_compile, ("torch",), "PyTorch, loss and gradients by torch.compile, fused Adam"),
    "torch_compile_bfloat16": Contender(torch_compile_bfloat16, ("torch",), "the same under bfloat16 autocast"),
    "products": Contender(products, ("tensorflow",), "no training: the matrix products of a step alone, in one XLA loop"),
    "jax": Contender(jax_scan, ("jax", "optax"), "JAX, a whole epoch in one compiled lax.scan"),
    "pythae": Contender(pythae, ("torch", "pythae"), "pythae's VAE and trainer on grey float32 images: no binarization to pay for"),
}

# Those that train the convolutional network too.
CONVOLUTIONAL = (
    *("keras", "keras_jit", "keras_jit_stateful", "zoo", "zoo_xla_block", "zoo_tf_loop", "zoo_tf_step", "zoo_bfloat16"),
    *("torch", "torch_bfloat16", "torch_compile", "torch_compile_bfloat16"),
)
