"""What an exported model answers: the named functions of its SavedModel.

Every tensor leads with the batch dimension, every row of an answer is a function of its own row of the question, and all draws come
from the `seed` in the question. See `zoo/serving/saved_model.py` for why.
"""

import tensorflow as tf

from zoo.random import RowNoise

SCORE_SAMPLES = 64


def signatures(model):
    """Name -> `tf.function` with its input signature, for a model of the zoo; what it cannot answer is left out."""
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
        return model.generate(_noise(seed), condition)

    def score(image, seed, condition=None):
        return model.score(image, _noise(seed), condition)

    def score_k64(image, seed, condition=None):
        return {"log_prob": model.importance_weighted_log_prob(image, _noise(seed), SCORE_SAMPLES, condition)}

    def classify(image):
        return {"probs": model.classify(image)}

    def transfer(image, from_label, to_label):
        return {"reconstruction": model.transfer(image, from_label, to_label)}

    functions = {"reconstruct": _traced(reconstruct, image | given)}
    if latents:
        functions["encode"] = _traced(encode, image | given)
        functions["decode"] = _traced(decode, latents | given)
    if hasattr(model, "generate"):
        functions["sample"] = _traced(sample, seed | given)
    if hasattr(model, "score"):
        functions["score"] = _traced(score, image | seed | given)
        functions["score_k64"] = _traced(score_k64, image | seed | given)
    if hasattr(model, "classify"):
        functions["classify"] = _traced(classify, image)
    if hasattr(model, "transfer"):
        labels = {name: tf.TensorSpec([None], tf.int32, name=name) for name in ("from_label", "to_label")}
        functions["transfer"] = _traced(transfer, image | labels)
    return functions


def _traced(function, specs):
    def float_outputs(**arguments):
        return {name: tf.cast(value, tf.float32) for name, value in function(**arguments).items()}

    return tf.function(float_outputs, autograph=False).get_concrete_function(**specs)


def _noise(seed):
    """A served seed [B, 2] is (seed, row) of Python's `model.sample(n, seed)`."""
    return RowNoise(seed[:, 0], 0, seed[:, 1])
