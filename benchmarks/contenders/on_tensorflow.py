"""Keras 3, tfp.layers and this package, and the matrix products alone."""

import functools
import math
import os
import time

from contenders.task import CODE_DIM, LEARNING_RATE, NUM_CODES, Loop, timed


def keras_layers(layers, task):
    """Layers of (encoder, decoder) with flat outputs: `layers` is that module of Keras 3 or of
    tf_keras."""
    dense, image_shape = layers.Dense, task.image_shape
    image, latent = layers.Input(image_shape), layers.Input([task.latent_dim])
    if not task.convolutional:
        encoder = [
            image,
            layers.Flatten(),
            dense(400, "relu"),
            dense(400, "relu"),
            dense(2 * task.latent_dim),
        ]
        return encoder, [
            latent,
            dense(400, "relu"),
            dense(400, "relu"),
            dense(math.prod(image_shape)),
        ]
    down = [layers.Conv2D(32, 4, 2, "same", activation="relu") for _ in range(4)]
    up = [layers.Conv2DTranspose(32, 4, 2, "same", activation="relu") for _ in range(3)]
    encoder = [image, *down, layers.Flatten(), dense(256, "relu"), dense(2 * task.latent_dim)]
    start = [latent, dense(256, "relu"), dense(4 * 4 * 32, "relu"), layers.Reshape([4, 4, 32])]
    return encoder, [*start, *up, layers.Conv2DTranspose(1, 4, 2, "same"), layers.Flatten()]


def fit_epoch(callbacks, model, data, **arguments):
    """Seconds of one epoch of `fit` from its first step, or from the call where it compiles as
    well, to its last.

    Not what comes after: an iterator of `tf.data` that tunes itself ends when its tuner wakes up,
    and that sleeps twice as long each time (10, 20, 40 ... ms). A run pays it once, at its end, and
    not once an epoch.

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
    """Keras 3's own `fit`, on arrays; noise by `keras.random`, or by TensorFlow's stateful
    generator."""
    import keras
    import tensorflow as tf
    from keras import ops

    class PlainVAE(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = map(keras.Sequential, keras_layers(keras.layers, task))
            seeds = {"seed": keras.random.SeedGenerator(0)}
            self.uniform = (
                tf.random.uniform
                if stateful_draws
                else functools.partial(keras.random.uniform, **seeds)
            )
            self.normal = (
                tf.random.normal
                if stateful_draws
                else functools.partial(keras.random.normal, **seeds)
            )

        def call(self, images):
            grey = (
                ops.cast(ops.reshape(images, (-1, math.prod(task.image_shape))), "float32") / 255.0
            )
            x = ops.cast(self.uniform(ops.shape(grey)) < grey, "float32")
            loc, log_scale = ops.split(
                self.encoder(ops.reshape(x, (-1, *task.image_shape))), 2, axis=-1
            )
            z = loc + ops.exp(log_scale) * self.normal(ops.shape(loc))
            return x, loc, log_scale, self.decoder(z)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            x, loc, log_scale, logits = y_pred
            log_likelihood = -ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=-1)
            kl = 0.5 * ops.sum(
                ops.square(loc) + ops.exp(2.0 * log_scale) - 1.0 - 2.0 * log_scale, axis=-1
            )
            return ops.mean(kl - log_likelihood)

    model = PlainVAE()
    model.compile(keras.optimizers.Adam(LEARNING_RATE), **compile_arguments)
    num_parameters = model.encoder.count_params() + model.decoder.count_params()
    run_epoch = functools.partial(
        fit_epoch, keras.callbacks, model, task.images, batch_size=task.batch_size
    )
    return Loop(run_epoch, num_parameters, tensorflow_device())


def keras_jit(task):
    return keras_fit(task, jit_compile=True, steps_per_execution=50)


def keras_jit_stateful(task):
    return keras_fit(task, stateful_draws=True, jit_compile=True, steps_per_execution=50)


def tfp_layers(task):
    """TensorFlow Probability's own layers and its tutorial's way to train them: binarized in the
    input pipeline."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow_probability as tfp  # isort: skip
    import tensorflow as tf
    import tf_keras

    tfd, tfpl = tfp.distributions, tfp.layers
    encoder, decoder = keras_layers(tf_keras.layers, task)
    prior = tfd.Independent(tfd.Normal(tf.zeros(task.latent_dim), 1.0), 1)
    encoder.append(
        tfpl.IndependentNormal(
            task.latent_dim, activity_regularizer=tfpl.KLDivergenceRegularizer(prior)
        )
    )
    decoder.append(tfpl.IndependentBernoulli(task.image_shape))
    encoder, decoder = tf_keras.Sequential(encoder), tf_keras.Sequential(decoder)
    model = tf_keras.Model(encoder.inputs, decoder(encoder.outputs[0]))
    model.compile(
        tf_keras.optimizers.Adam(LEARNING_RATE), loss=lambda x, likelihood: -likelihood.log_prob(x)
    )

    def binarized(images):
        x = tf.cast(
            tf.random.uniform(tf.shape(images)) < tf.cast(images, tf.float32) / 255.0, tf.float32
        )
        return x, x

    data = (
        tf.data.Dataset.from_tensor_slices(task.images)
        .shuffle(len(task.images))
        .batch(task.batch_size)
    )
    data = data.map(binarized, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    return Loop(
        functools.partial(fit_epoch, tf_keras.callbacks, model, data),
        model.count_params(),
        tensorflow_device(),
    )


def zoo_model(task):
    import zoo

    posterior = zoo.layers.DiagonalNormal(task.latent_dim)
    likelihood = zoo.layers.Bernoulli(task.image_shape)
    if task.model == "two_layers":
        return zoo_two_layers(likelihood)
    if task.model == "tokens":
        return zoo_tokens(task, likelihood)
    if task.model == "residual":
        encoder = zoo.networks.ResidualEncoder(posterior.num_params)
        decoder = zoo.networks.ResidualDecoder(task.image_shape, likelihood.num_params)
    elif task.convolutional:
        encoder = zoo.networks.ConvEncoder(posterior.num_params)
        decoder = zoo.networks.ConvDecoder(task.image_shape, likelihood.num_params)
    else:
        encoder = zoo.networks.MLP((400, 400), posterior.num_params)
        decoder = zoo.networks.MLP((400, 400), likelihood.num_params)
    return zoo.VAE(encoder, decoder, posterior, likelihood)


def zoo_two_layers(likelihood):
    import zoo

    def mlp(units, layer):
        return zoo.networks.MLP((units, units), layer.num_params, activation="tanh")

    lower, upper, prior = (zoo.layers.DiagonalNormal(size) for size in (100, 50, 100))
    return zoo.HierarchicalVAE(
        encoders=[mlp(200, lower), mlp(100, upper)],
        decoders=[mlp(200, likelihood), mlp(100, prior)],
        posteriors=[lower, upper],
        likelihood=likelihood,
        priors=[prior],
    )


def zoo_tokens(task, likelihood):
    import zoo

    side = task.image_shape[0] // 4
    encoder = zoo.networks.ResidualEncoder(side * side * CODE_DIM, maps=True)
    decoder = zoo.networks.ResidualDecoder(task.image_shape, likelihood.num_params, maps=True)
    quantizer = zoo.layers.VectorQuantizer(NUM_CODES, CODE_DIM)
    return zoo.VQVAE(encoder, decoder, quantizer, likelihood, grid=(side, side))


def zoo_fit(task, **compile_arguments):
    import keras

    model = zoo_model(task)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), **compile_arguments)
    run_epoch = functools.partial(
        fit_epoch, keras.callbacks, model, task.images, batch_size=task.batch_size
    )
    num_parameters = sum(int(math.prod(weight.shape)) for weight in model.trainable_weights)
    return Loop(run_epoch, num_parameters, tensorflow_device())


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
    sizes = [
        (num_pixels, 400),
        (400, 400),
        (400, 2 * latent_dim),
        (latent_dim, 400),
        (400, 400),
        (400, num_pixels),
    ]
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
        return inputs[0] + 1e-9 * tf.add_n(
            [gradient[0, 0] for gradient in optimization_barrier(*gradients)]
        )

    @tf.function(jit_compile=True, autograph=False)
    def epoch(x):
        return tf.while_loop(
            lambda i, _: i < len(task.images) // task.batch_size,
            lambda i, x: (i + 1, step(x)),
            (0, x),
        )[1]

    x = tf.random.normal([task.batch_size, num_pixels])
    num_parameters = sum(i * o + o for i, o in sizes)
    return Loop(timed(lambda: epoch(x).numpy()), num_parameters, tensorflow_device())
