"""Losses for Keras models whose output is a distribution."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="zoo")
class NegativeLogLikelihood(keras.losses.Loss):
    """-log p(y) under the distribution that the model returns, in nats, averaged over the batch.

    For Functional and Sequential models that end in a layer of `zoo.layers`. Where the data set carries `sample_weight`, each
    example's term is multiplied by it before the average, as in every Keras loss.
    """

    def __init__(self, name="negative_log_likelihood"):
        super().__init__(name=name, dtype="float32")

    def __call__(self, y_true, y_pred, sample_weight=None):
        # `Loss.__call__` would convert `y_pred` to a tensor; a distribution is used as it is.
        nll = -y_pred.log_prob(tf.cast(y_true, tf.float32))  # [B]
        if sample_weight is not None:
            nll = nll * tf.cast(sample_weight, nll.dtype)
        return tf.reduce_mean(nll)

    def get_config(self):
        return {"name": self.name}
