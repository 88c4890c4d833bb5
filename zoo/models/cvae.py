"""The conditional VAE by label: what an image shows is given, and z is left with how it is drawn.

    p(z) p(x | y, z),   q(z | x, y)

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative models", NIPS 2015.
https://papers.nips.cc/paper/5775. With a prior that does not depend on the label, as in Kingma et al., "Semi-supervised learning with
deep generative models", NIPS 2014, section 4.2: only then does z keep the style of an image when its label is exchanged.
"""

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.images import is_symbolic
from zoo.models.vae import VAE

WHAT_A_CONDITION_IS = "A condition is a label, or a one-hot row that adds up to 1."
# By how much the sum of a row may miss 1: float16 rounds shares to about this.
SHARES_TOLERANCE = 1e-3


@keras.saving.register_keras_serializable(package="zoo")
class CVAE(VAE):
    """Conditional variational autoencoder over K classes.

    A condition is an integer label 0 ... K - 1 or its one-hot vector, for one image or for each; in data it may also stand under "label".

    Args:
        encoder: Network (image [B, ...], condition [B, K]) -> [B, posterior.num_params].
        decoder: Network (z [B, D], condition [B, K]) -> [B, likelihood.num_params].
        posterior, likelihood, prior, objective, pixels, seed: As in `zoo.VAE`.
        num_classes: K.

    Raises:
        ValueError: If labels are missing or out of range, or a part does not fit its neighbour.
    """

    def __init__(self, encoder, decoder, posterior, likelihood, prior=None, *, num_classes, **kwargs):
        self.num_classes = validation.integer("num_classes", num_classes)
        super().__init__(encoder, decoder, posterior, likelihood, prior, condition_shape=(self.num_classes,), **kwargs)

    def sample(self, num_rows, seed=0, condition=None):
        """`num_rows` images drawn from p(x|y), of one label or of a label each. Row i is a function of (seed, i)."""
        if np.ndim(condition) == 0 and condition is not None:
            condition = np.full([validation.integer("num_rows", num_rows)], condition)
        return super().sample(num_rows, seed, condition)

    def transfer(self, x, from_label, to_label):
        """The same hand writing something else: mean of p(x|to_label, z) at the mean z of q(z|x, from_label), [B, *image_shape].

        Args:
            x: Images [B, *image_shape].
            from_label: What they show: int [B], or one-hot [B, K].
            to_label: What is asked for.
        """
        return self.decode(self.encode(x, from_label).mean(), to_label).mean()

    def standardize_companions(self, x, num_rows=None):
        condition = self._condition_of(x)
        if num_rows is None and condition is not None:  # a stream
            condition = assert_labels(condition, 0, self.num_classes)
        return {"condition": self._check_condition(condition, num_rows)}

    def _condition_of(self, data):
        return data.get("condition", data.get("label"))

    def _check_condition(self, condition, num_rows=None):
        if condition is None:
            raise ValueError("This model needs a label for each image, under 'condition' or 'label'. Received: none.")
        condition = super()._check_condition(one_hot_labels(condition, self.num_classes), num_rows)
        if not is_symbolic(condition):
            _assert_shares(condition.numpy())
        return condition

    def _blank_condition(self):
        return tf.one_hot([0], self.num_classes)

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {**config, "num_classes": self.num_classes}


def one_hot_labels(labels, num_classes):
    """Integer labels [B] as one-hot float vectors [B, K]; vectors are left as they are.

    Raises:
        ValueError: If a label is not in 0 ... K - 1, or no integer.
    """
    if not is_symbolic(labels):
        labels = np.asarray(labels)
        if labels.ndim == 1 and len(labels):
            check_labels(labels, 0, num_classes)
        elif labels.ndim == 2 and labels.dtype.kind in "iu":
            _assert_shares(labels)
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer and labels.shape.rank == 1:
        return tf.one_hot(labels, num_classes)
    return labels


def check_labels(labels, least, num_classes) -> None:
    """Raises ValueError unless an array of labels holds integers in `least` ... K - 1."""
    if labels.dtype.kind not in "iu":
        hint = "`numpy.unique(labels, return_inverse=True)[1]` numbers classes by name."
        raise ValueError(f"Labels must be integers. Received: dtype {labels.dtype}. {hint}")
    if not least <= labels.min() <= labels.max() < num_classes:
        unknown = ", or be -1 where unknown" if least < 0 else ""
        raise ValueError(f"Labels must lie in 0 ... {num_classes - 1}{unknown}. Received: labels in {labels.min()} ... {labels.max()}.")


def assert_labels(labels, least, num_classes):
    """The labels of a stream, [B] or one-hot, which are checked as each batch comes by.

    Raises:
        ValueError: If they are text.
        tf.errors.InvalidArgumentError: When a batch with another label comes by.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.string:
        raise ValueError("Labels must be integers. Received: text. Number the classes first, as `tf.keras.layers.StringLookup` does.")
    if labels.shape.rank == 2:
        shares = tf.cast(labels, tf.float32)
        is_good = tf.reduce_all(shares >= 0) & tf.reduce_all(tf.abs(tf.reduce_sum(shares, axis=-1) - 1.0) < SHARES_TOLERANCE)
        message = f"{WHAT_A_CONDITION_IS} Received: a batch with others, rows"
    elif labels.shape.rank == 1 and labels.dtype.is_integer:
        is_good = tf.reduce_all((labels >= least) & (labels < num_classes))
        unknown = ", or be -1 where unknown" if least < 0 else ""
        message = f"Labels must lie in 0 ... {num_classes - 1}{unknown}. Received: a batch with others, labels"
    else:
        return labels
    with tf.control_dependencies([tf.debugging.Assert(is_good, [message, labels])]):
        return tf.identity(labels)


def _assert_shares(condition):
    """Raises ValueError unless rows [B, K] are one-hot, or say how much of each class there is."""
    sums = condition.sum(axis=-1)
    if condition.min(initial=0.0) < 0 or not np.allclose(sums, 1.0, rtol=0.0, atol=SHARES_TOLERANCE):
        wrong = int(np.argmax(np.abs(sums - 1.0) + (condition.min(axis=-1) < 0)))
        raise ValueError(f"{WHAT_A_CONDITION_IS} Received: row {wrong} is {condition[wrong].tolist()}.")
