"""What an exported model answers: the named functions of its SavedModel.

Every tensor leads with the batch dimension, every row of an answer is a function of its own row of the question, and all draws come
from the `seed` in the question. See `zoo/serving/saved_model.py` for why.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.random import RowNoise

DEFAULT_SIGNATURE = "reconstruct"
SCORE_SAMPLES = 64


class Signature(NamedTuple):
    """A question that a model answers.

    Attributes:
        function: Tensors [B, ...] by name -> dict of float32 tensors [B, ...].
        inputs: Name -> `tf.TensorSpec`.
    """

    function: Callable
    inputs: dict

    def traced(self):
        """The function as a graph, which is what an export holds."""
        return tf.function(self.function, autograph=False).get_concrete_function(**self.inputs)


def signatures(model):
    """Name -> `Signature`, for a model of the zoo; what it cannot answer is left out."""
    image = {"image": tf.TensorSpec([None, *model.image_shape], tf.float32, name="image")}
    seed = {"seed": tf.TensorSpec([None, 2], tf.int32, name="seed")}
    latents = {name: tf.TensorSpec([None, *shape], tf.float32, name=name) for name, shape in model.latent_shapes.items()}
    given = {}
    if model.condition_shape is not None:
        given["condition"] = tf.TensorSpec([None, *model.condition_shape], tf.float32, name="condition")

    def reconstruct(image, condition=None):
        return {"reconstruction": model.reconstruct(image, condition)}

    def encode(image, condition=None):
        return model.latent_parameters(image, condition)

    def decode(condition=None, **latents):
        z = latents["z"] if set(latents) == {"z"} else latents
        return {"reconstruction": (model.decode(z) if condition is None else model.decode(z, condition)).mean()}

    def sample(seed, condition=None):
        return model.generate(row_noise(seed), condition)

    def score(image, seed, condition=None):
        return model.score(image, row_noise(seed), condition)

    def score_k64(image, seed, condition=None):
        return {"log_prob": model.importance_weighted_log_prob(image, row_noise(seed), SCORE_SAMPLES, condition)}

    def classify(image):
        return {"probs": model.classify(image)}

    def transfer(image, from_label, to_label):
        return {"reconstruction": model.transfer(image, from_label, to_label)}

    answered = {"reconstruct": _signature(reconstruct, image | given)}
    if latents:
        answered["encode"] = _signature(encode, image | given)
        answered["decode"] = _signature(decode, latents | given)
    if hasattr(model, "generate"):
        answered["sample"] = _signature(sample, seed | given)
    if hasattr(model, "score"):
        answered["score"] = _signature(score, image | seed | given)
        answered["score_k64"] = _signature(score_k64, image | seed | given)
    if hasattr(model, "classify"):
        answered["classify"] = _signature(classify, image)
    if hasattr(model, "transfer"):
        labels = {name: tf.TensorSpec([None], tf.int32, name=name) for name in ("from_label", "to_label")}
        answered["transfer"] = _signature(transfer, image | labels)
    return answered


def _signature(function, inputs):
    def checked(**arguments):
        # A server compares types and names with the signature, not shapes: [B, 784] would be reshaped and answered.
        arguments = {name: tf.ensure_shape(value, inputs[name].shape) for name, value in arguments.items()}
        return {name: tf.cast(value, tf.float32) for name, value in function(**arguments).items()}

    return Signature(checked, inputs)


def row_noise(seed):
    """A served seed [B, 2] is (seed, row) of Python's `model.sample(n, seed)`."""
    return RowNoise(seed[:, 0], 0, seed[:, 1])


def made_up_rows(inputs, num_rows):
    """Something to ask a signature: dict of arrays. Fewer rows are the first ones of more.

    Grey levels for images, labels 0 and 1, any seeds, standard normal latents and conditions.
    """
    return {name: _made_up(name, spec, num_rows) for name, spec in inputs.items()}


def _made_up(name, spec, num_rows):
    generator = np.random.default_rng(0)
    shape = (num_rows, *spec.shape[1:])
    if name == "image":
        return (generator.integers(0, 256, shape) / 255).astype(np.float32)
    if name == "seed":
        return generator.integers(-(2**31), 2**31, shape).astype(np.int32)
    if spec.dtype.is_integer:
        return generator.integers(0, 2, shape).astype(spec.dtype.as_numpy_dtype)
    return generator.normal(size=shape).astype(np.float32)
