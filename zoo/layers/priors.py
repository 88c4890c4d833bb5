"""p(z): where latents come from before an image is seen."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.layers.base import shape_tuple
from zoo.observations.image import check_images, to_unit_interval
from zoo.typing import Distribution

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="zoo")
class StandardNormal(keras.layers.Layer):
    """N(0, I), whatever the condition.

    Args:
        latent_dim: D, or the shape of a map.

    Returns:
        `tfd.Distribution` of batch shape [] and event shape [D], or that of the map.
    """

    def __init__(self, latent_dim: int | Sequence[int], **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.event_shape = shape_tuple(latent_dim, "latent_dim")

    @property
    def latent_dim(self) -> int | tuple[int, ...]:
        """D; of maps their shape."""
        return self.event_shape[0] if len(self.event_shape) == 1 else self.event_shape

    @staticmethod
    def params_size(event_shape: int | Sequence[int]) -> int:
        """0: nothing about this prior is learned."""
        return 0

    def call(self, condition: tf.Tensor | None = None) -> Distribution:
        zeros, ones = tf.zeros(self.event_shape), tf.ones(self.event_shape)
        if len(self.event_shape) == 1:
            return tfd.MultivariateNormalDiag(zeros, ones)
        return tfd.Independent(tfd.Normal(zeros, ones), len(self.event_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="zoo")
class UniformCategorical(keras.layers.Layer):
    """Each of K classes with probability 1 / K, as one-hot vectors, whatever the condition.

    Args:
        num_classes: K.

    Returns:
        `tfd.Distribution` of batch shape [] and event shape [K].
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        (self.num_classes,) = shape_tuple(num_classes, "num_classes")

    def call(self, condition: tf.Tensor | None = None) -> Distribution:
        return tfd.OneHotCategorical(logits=tf.zeros([self.num_classes]), dtype=tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable(package="zoo")
class VampPrior(keras.layers.Layer):
    """1/K sum_k q(z|u_k): the posteriors of K learned images, the pseudo-inputs. For `zoo.VampVAE`,
    which has the encoder.

    Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018, eq. 9. https://arxiv.org/abs/1705.07120

    Args:
        num_components: K.
        image_shape: Shape of a pseudo-input.

    Returns:
        `tfd.Distribution` of batch shape [] and event shape [D].
    """

    def __init__(
        self, num_components: int, image_shape: int | Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        (self.num_components,) = shape_tuple(num_components, "num_components")
        self.image_shape = shape_tuple(image_shape, "image_shape")
        shape = (self.num_components, *self.image_shape)
        self.pixel_logits = self.add_weight(
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="pixel_logits",
        )

    def call(self, *, encode: Callable[[tf.Tensor], Distribution]) -> Distribution:
        components = encode(tf.sigmoid(self.pixel_logits))  # batch [K]
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.zeros([self.num_components])), components
        )

    def start_at(self, images: Any) -> None:
        """Makes pseudo-inputs of images, [N, *image_shape]: K of them, evenly spaced, with pixels
        in [0.02, 0.98].

        Raises:
            ValueError: If there are fewer than K images, or they do not fit.
        """
        images = check_images(images, self.image_shape)
        if len(images) < self.num_components:
            raise ValueError(
                f"{self.num_components} pseudo-inputs need as many images. Received: "
                f"{len(images)} images."
            )
        chosen = images[:: len(images) // self.num_components][: self.num_components]
        pixels = tf.clip_by_value(to_unit_interval(tf.constant(chosen)), 0.02, 0.98)
        self.pixel_logits.assign(tf.math.log(pixels) - tf.math.log1p(-pixels))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "image_shape": self.image_shape,
        }


@keras.saving.register_keras_serializable(package="zoo")
class Conditional(keras.layers.Layer):
    """A prior that a network computes from the condition: p(z|c).

    Sohn, Lee & Yan, NIPS 2015, section 4. https://papers.nips.cc/paper/5775

    Args:
        network: Network (condition [B, ...]) -> [B, distribution.num_params].
        distribution: Layer from parameters to a distribution, such as
            `zoo.layers.DiagonalNormal(latent_dim)`.
    """

    def __init__(
        self, network: keras.layers.Layer, distribution: keras.layers.Layer, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.network = network
        self.distribution = distribution

    def call(self, condition: tf.Tensor) -> Distribution:
        return self.distribution(self.network(condition))

    def get_config(self) -> dict[str, Any]:
        parts = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("network", "distribution")
        }
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Conditional":
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("network", "distribution")
        }
        return cls(**{**config, **parts})
