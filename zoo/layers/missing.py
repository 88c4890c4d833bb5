"""p(s|x): which values of x are seen, where that hangs on the values themselves."""

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.typing import Distribution
from zoo.validation import shown

tfd = tfp.distributions

HIDDEN = ("high", "low")


@keras.saving.register_keras_serializable(package="zoo")
class SelfMasking(keras.layers.Layer):
    """Whether a value is seen hangs on that value alone: of each column the logit of "seen" is
    -slope (x - threshold).

    Args:
        hidden: Which values are more often hidden, where that is known: "high" keeps the slopes
            positive and "low" negative. By default the sign is learned.

    Call arguments:
        x: Float tensor [B, C].

    Returns:
        Logits [B, C].

    Raises:
        ValueError: If `hidden` is none of these.

    Reference:
        Ipsen, Mattei & Frellsen, ICLR 2021: "self-masking", and "self-masking known" where the sign
        is. https://arxiv.org/abs/2006.12871
    """

    def __init__(self, hidden: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if hidden is not None and hidden not in HIDDEN:
            raise ValueError(
                f"`hidden` must be 'high', 'low' or None. Received: hidden={shown(hidden)}."
            )
        self.hidden = hidden

    def build(self, x_shape: tuple[int | None, ...]) -> None:
        shape = (x_shape[-1],)
        self.raw_slope = self.add_weight(shape=shape, initializer="zeros", name="raw_slope")
        self.threshold = self.add_weight(shape=shape, initializer="zeros", name="threshold")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        slope = tf.convert_to_tensor(self.raw_slope)
        if self.hidden is not None:
            slope = tf.nn.softplus(slope) * (1.0 if self.hidden == "high" else -1.0)
        return -slope * (x - tf.convert_to_tensor(self.threshold))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden}


class SeenAndMask(tfd.AutoCompositeTensorDistribution):
    """What was seen of x, and which of its values were: p(x_observed|z) p(s|x) at an x whose gaps
    are filled. Batch and event as x.

    Args:
        of_x: p(x|z), batch [..., B], event [C], whose log-probability takes `observed`.
        logits: Of each value being seen, [..., B, C].
    """

    def __init__(self, of_x: Distribution, logits: tf.Tensor, name: str = "SeenAndMask") -> None:
        parameters = dict(locals())
        self.of_x = of_x
        self.logits = logits
        super().__init__(
            tf.float32,
            tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {
            "of_x": tfp.util.BatchedComponentProperties(),
            "logits": tfp.util.ParameterProperties(event_ndims=1),
        }

    def _event_shape(self):
        return self.of_x.event_shape

    def _event_shape_tensor(self):
        return self.of_x.event_shape_tensor()

    def _log_prob(self, x, observed, **unused):
        # log p(s) = -softplus(-logit) where seen and -softplus(logit) where not
        of_mask = -tf.nn.softplus(tf.where(observed > 0, -self.logits, self.logits))
        return self.of_x.log_prob(x, observed=observed) + tf.reduce_sum(of_mask, axis=-1)

    def _mean(self):
        return self.of_x.mean()
