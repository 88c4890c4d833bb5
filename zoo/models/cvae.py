"""The conditional VAE by label: what an image shows is given, and z is left with how it is drawn.

    p(z) p(x | y, z),   q(z | x, y)

Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative
models", NIPS 2015. https://papers.nips.cc/paper/5775. With a prior that does not depend on the
label, as in Kingma et al., "Semi-supervised learning with deep generative models", NIPS 2014,
section 4.2: only then does z keep the style of an image when its label is exchanged.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.inference import Objective
from zoo.models.answers import Answer
from zoo.models.condition import Label
from zoo.models.vae import VAE
from zoo.observations import Observation


@keras.saving.register_keras_serializable(package="zoo")
class CVAE(VAE):
    """Conditional variational autoencoder over K classes.

    A condition is an integer label 0 ... K - 1 or its one-hot vector, for one image or for each; in
    data it may also stand under "label".

    Args:
        encoder: Network (image [B, ...], condition [B, K]) -> [B, posterior.num_params].
        decoder: Network (z [B, D], condition [B, K]) -> [B, likelihood.num_params].
        posterior, likelihood, prior, objective, observation, pixels, seed: As in `zoo.VAE`.
        num_classes: K.

    Raises:
        ValueError: If labels are missing or out of range, or a part does not fit its neighbour.
    """

    num_classes: int

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer,
        posterior: keras.layers.Layer,
        likelihood: keras.layers.Layer,
        prior: keras.layers.Layer | None = None,
        *,
        num_classes: int,
        objective: Objective | None = None,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(encoder, decoder, posterior, likelihood, prior),
            objective=objective,
            observation=observation,
            pixels=pixels,
            seed=seed,
            name=name,
            dtype=dtype,
        )
        self.num_classes = validation.integer("num_classes", num_classes)
        self.condition = Label(self.num_classes)

    def sample(
        self, num_rows: int, seed: int = 0, condition: Any = None, **options: Any
    ) -> tf.Tensor:
        """`num_rows` images drawn from p(x|y), of one label or of a label each. Row i is a function
        of (seed, i); `options` are those of `VAE.sample`."""
        if np.ndim(condition) == 0 and condition is not None:
            condition = np.full([validation.integer("num_rows", num_rows)], condition)
        return super().sample(num_rows, seed, condition, **options)

    def transfer(self, x: Any, from_label: Any, to_label: Any) -> tf.Tensor:
        """The same hand writing something else: mean of p(x|to_label, z) at the mean z of q(z|x,
        from_label), [B, *shape of x].

        Args:
            x: Images [B, *image_shape].
            from_label: What they show: int [B], or one-hot [B, K].
            to_label: What is asked for.
        """
        data = self.as_data(x, from_label)
        companions: dict[str, Any] = self.observation.companions(data)
        return self.decode(self.encode(data).mean(), to_label, **companions).mean()

    def answers(self) -> dict[str, Answer]:
        labels = {
            name: tf.TensorSpec([None], tf.int32, name=name) for name in ("from_label", "to_label")
        }

        def transfer(from_label, to_label, **x):
            x = self.observation.of_served(x)
            return {"reconstruction": self.transfer(x, from_label, to_label)}

        return {**super().answers(), "transfer": Answer(transfer, self.observation.spec() | labels)}
