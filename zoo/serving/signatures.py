"""What an exported model answers: the named functions of its SavedModel.

Every tensor leads with the batch dimension, every row of an answer is a function of its own row of the question, and all draws come
from the `seed` in the question. See `zoo/serving/saved_model.py` for why.
"""

import tensorflow as tf

from zoo.random import RowNoise

SCORE_SAMPLES = 64


def signatures(model):
    """Name -> `tf.function` with its input signature, for a `zoo.VAE`."""
    image = tf.TensorSpec([None, *model.image_shape], tf.float32, name="image")
    z = tf.TensorSpec([None, model.posterior_layer.latent_dim], tf.float32, name="z")
    seed = tf.TensorSpec([None, 2], tf.int32, name="seed")
    given = {}
    if model.condition_shape is not None:
        given["condition"] = tf.TensorSpec([None, *model.condition_shape], tf.float32, name="condition")

    def reconstruct(image, condition=None):
        return {"reconstruction": model.reconstruct(image, condition)}

    def encode(image, condition=None):
        return model.posterior_layer.named_parameters(model.encode(image, condition))

    def decode(z, condition=None):
        return {"reconstruction": model.decode(z, condition).mean()}

    def sample(seed, condition=None):
        return model.generate(_noise(seed), condition)

    def score(image, seed, condition=None):
        return model.score(image, _noise(seed), condition)

    def score_k64(image, seed, condition=None):
        return {"log_prob": model.importance_weighted_log_prob(image, _noise(seed), SCORE_SAMPLES, condition)}

    inputs = {
        reconstruct: {"image": image},
        encode: {"image": image},
        decode: {"z": z},
        sample: {"seed": seed},
        score: {"image": image, "seed": seed},
        score_k64: {"image": image, "seed": seed},
    }
    return {function.__name__: _traced(function, {**arguments, **given}) for function, arguments in inputs.items()}


def _traced(function, specs):
    def float_outputs(**arguments):
        return {name: tf.cast(value, tf.float32) for name, value in function(**arguments).items()}

    return tf.function(float_outputs, autograph=False).get_concrete_function(**specs)


def _noise(seed):
    """A served seed [B, 2] is (seed, row) of Python's `model.sample(n, seed)`."""
    return RowNoise(seed[:, 0], 0, seed[:, 1])
