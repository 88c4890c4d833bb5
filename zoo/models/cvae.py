"""The conditional VAE by label: what an image shows is given, and z is left with how it is drawn.

    p(z) p(x | y, z),   q(z | x, y)

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative models", NIPS 2015.
https://papers.nips.cc/paper/5775. With a prior that does not depend on the label, as in Kingma et al., "Semi-supervised learning with
deep generative models", NIPS 2014, section 4.2: only then does z keep the style of an image when its label is exchanged.
"""

import keras
import numpy as np
import tensorflow as tf

from zoo.models.vae import VAE


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
        self.num_classes = num_classes
        super().__init__(encoder, decoder, posterior, likelihood, prior, condition_shape=(num_classes,), **kwargs)

    def sample(self, num_rows, seed=0, condition=None):
        """`num_rows` images drawn from p(x|y), of one label or of a label each. Row i is a function of (seed, i)."""
        if np.ndim(condition) == 0 and condition is not None:
            condition = np.full([num_rows], condition)
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
        return {"condition": self._check_condition(x.get("condition", x.get("label")), num_rows)}

    def _check_condition(self, condition, num_rows=None):
        if condition is None:
            raise ValueError("This model needs a label for each image, under 'condition' or 'label'. Received: none.")
        condition = one_hot_labels(condition, self.num_classes)
        return super()._check_condition(condition, num_rows)

    def get_config(self):
        config = super().get_config()
        del config["condition_shape"]
        return {**config, "num_classes": self.num_classes}


def one_hot_labels(labels, num_classes):
    """Integer labels [B] as one-hot float vectors [B, K]; what is not integer is left as it is.

    Raises:
        ValueError: If a label is not in 0 ... K - 1.
    """
    if not tf.is_tensor(labels):
        labels = np.asarray(labels)
        if labels.dtype.kind in "iu" and labels.ndim == 1 and len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(f"Labels must lie in 0 ... {num_classes - 1}. Received: labels in {labels.min()} ... {labels.max()}.")
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer and labels.shape.rank == 1:
        return tf.one_hot(labels, num_classes)
    return labels
