"""Losses for Keras models whose output is a distribution."""

from typing import Any, cast

import keras
import tensorflow as tf

from zoo.typing import Distribution


@keras.saving.register_keras_serializable(package="zoo")
class NegativeLogLikelihood(keras.losses.Loss):
    """-log p(y) under the distribution that the model returns, in nats, averaged over the batch.

    For Functional and Sequential models with outputs of `zoo.layers`: one, or several in a list or
    dict. Where the data set carries `sample_weight`, each example's term is multiplied by it before
    the average, as in every Keras loss.

    Raises:
        TypeError: If what the model returns is no distribution.
        ValueError: If outcomes do not have the shape [B, *event_shape].
    """

    def __init__(self, name: str = "negative_log_likelihood") -> None:
        super().__init__(name=name, dtype="float32")

    def __call__(
        self,
        y_true: tf.Tensor,
        y_pred: Distribution,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        if not isinstance(y_pred, Distribution):
            raise TypeError(
                "NegativeLogLikelihood takes a model that returns a distribution. Received: "
                f"{type(y_pred).__name__}. End the model with a layer of `zoo.layers`, such as "
                "`zoo.layers.Normal(1)`."
            )
        y_true = tf.cast(y_true, tf.float32)
        if y_true.shape.rank == 1 and y_pred.event_shape == (1,):
            y_true = y_true[:, None]  # one number a row: Keras's own losses take both forms
        if not y_true.shape[1:].is_compatible_with(y_pred.event_shape):
            raise ValueError(
                f"Outcomes must have the shape [B, {', '.join(map(str, y_pred.event_shape))}] of "
                f"the model's distribution. Received: y of shape {tuple(y_true.shape)}."
            )
        terms = -y_pred.log_prob(y_true)  # [B]
        # Weighs and averages as every Keras loss does, of every backend's tensors.
        return cast("tf.Tensor", super().__call__(terms, terms, sample_weight))

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return y_pred

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}
