"""What every image model of the zoo shares around its mathematics: data at the edge, pixels in the step, parts in the configuration."""

import keras
import numpy as np
import tensorflow as tf

from zoo.compiled import CompiledModel
from zoo.images import as_unit_interval, check_image_stream, check_images, check_levels, is_symbolic, to_unit_interval
from zoo.layers.base import shape_tuple
from zoo.networks import set_output_bias
from zoo.random import Stream
from zoo.sprites import IMAGE_SHAPE as SPRITE_SHAPE
from zoo.sprites import Sprites, render
from zoo.tensors import as_numbers
from zoo.validation import shown

PIXELS = ("binarize", "dequantize", "as_given")


class ImageModel(CompiledModel):
    """A model of images, with an optional condition beside each.

    Images are integers in 0 ... 255, bools, or floats in [0, 1], alone or as the "image" of a dict (TFDS's form); a condition c travels
    beside them as "condition". They mean the same to every method, as arrays, tensors or in a stream. `fit` and `evaluate` draw pixels
    inside the compiled step as `pixels` says; every other method takes images as they are given.

    Args:
        likelihood: Layer from parameters to p(x|z, c), such as `zoo.layers.Bernoulli(image_shape)`.
        pixels: What training sees of a grey level. "binarize": a white pixel with that probability, drawn anew at every step
            (Salakhutdinov & Murray, ICML 2008). "dequantize": the level plus uniform noise of its own width, so that a density of it is
            bounded (Theis et al., ICLR 2016). "as_given": the level. By default what the likelihood is over.
        condition_shape: Shape of one condition, or None for an unconditional model.
        seed: Every draw is a function of (seed, step, row).
    """

    # Constructor argument -> attribute that holds the part. Keras saves parts by their own configurations.
    _PARTS = {}
    # Name -> shape of the latents that `decode` takes: none, unless the model says so.
    latent_shapes = {}

    def __init__(self, likelihood, *, pixels=None, condition_shape=None, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        assert_likelihood(likelihood)
        if not (pixels is None or (isinstance(pixels, str) and pixels in PIXELS)):
            raise ValueError(f"`pixels` must be one of {', '.join(map(repr, PIXELS))}. Received: pixels={shown(pixels)}.")
        self.likelihood_layer = likelihood
        self.pixels = pixels or likelihood.pixels
        self.condition_shape = None if condition_shape is None else shape_tuple(condition_shape, "condition_shape")

    @property
    def image_shape(self):
        return self.likelihood_layer.event_shape

    def start_at_mean(self, images):
        """Starts training from p(x|z) = the mean image, by the decoder's output bias.

        Otherwise the first epochs go into learning that bias, and latents that carry nothing meanwhile are switched off for good: on
        MNIST 17 dimensions are active after 10 epochs without it, 34 with it, and the bound is 5 nats higher.

        Args:
            images: [N, *image_shape], the training images.

        Raises:
            ValueError: If the images do not fit, or the decoder has no bias to set.
        """
        images = check_images(images, self.image_shape)
        mean = np.mean(images, axis=0, dtype=np.float64) / (255.0 if images.dtype == np.uint8 else 1.0)
        set_output_bias(self.decoder, self.likelihood_layer.params_of_mean(tf.constant(mean, tf.float32)))

    # -- Data

    def standardize(self, x):
        if isinstance(x, tf.data.Dataset):
            return self._standardize_stream(x)
        if x is None:
            raise ValueError("There are no images. Received: x=None.")
        x = x if isinstance(x, dict) else {"image": x}
        _assert_has_image(x)
        if isinstance(x["image"], Sprites) and self.image_shape == SPRITE_SHAPE:
            data = {"sprites": x["image"].factors}  # drawn in `prepare`
        else:
            data = {"image": check_images(x["image"], self.image_shape)}
        return data | self.standardize_companions(x, len(x["image"]))

    def standardize_companions(self, x, num_rows=None):
        """What the model takes from a dict of data beside the images: arrays [num_rows, ...], or a stream's tensors [B, ...]."""
        if self.condition_shape is None:
            self._refuse_condition(x.get("condition"))
            return {}
        return {"condition": self._check_condition(x.get("condition"), num_rows)}

    def _standardize_stream(self, stream):
        spec = stream.element_spec
        if isinstance(spec, tuple):
            raise ValueError(
                "A generative model has no targets. Received: a stream of tuples. Map it to images or to a dict: "
                "`.map(lambda image, label: {'image': image})`."
            )
        if stream.cardinality() == 0:
            raise ValueError("There are no images. Received: an empty tf.data.Dataset.")

        @tf.autograph.experimental.do_not_convert  # which would tell errors in several lines
        def to_dict(element):
            element = element if isinstance(element, dict) else {"image": element}
            _assert_has_image(element)
            images = check_image_stream(element["image"], self.image_shape)
            companions = self.standardize_companions(element)
            return {"image": images} | {name: _one_each(images, name, values) for name, values in companions.items()}

        return stream.map(to_dict, num_parallel_calls=tf.data.AUTOTUNE)

    def check_first_block(self, table):
        if table.get("image") is not None and table["image"].dtype.is_integer:
            check_levels(table["image"].numpy())  # of a stream, one can judge by no more than its beginning

    def prepare(self, batch, noise):
        image = _images_of(batch)
        if self.pixels == "binarize":
            image = tf.cast(noise.uniform(Stream.BINARIZE, self.image_shape) < image, tf.float32)
        elif self.pixels == "dequantize":
            image = (255.0 * image + noise.uniform(Stream.BINARIZE, self.image_shape)) / 256.0
        return {**batch, "image": image}

    def predict_step(self, data):
        batch = data[0] if isinstance(data, tuple) else data
        return self.reconstruct(_images_of(batch), batch.get("condition"))

    def _unpack(self, data):
        """Images and condition of a dict, or of images alone."""
        if isinstance(data, dict):
            _assert_has_image(data)
            return self._as_tensors(data["image"], self._condition_of(data))
        return self._as_tensors(data, None)

    def _condition_of(self, data):
        """The condition of a dict of data, as it stands there; None where the model takes none."""
        return None if self.condition_shape is None else data.get("condition")

    def _as_tensors(self, x, condition):
        """Images as float32 in [0, 1], and the condition: both checked."""
        x = as_unit_interval(x, self.image_shape)
        if self.condition_shape is None:
            self._refuse_condition(condition)
            return x, None
        return x, self._check_condition(condition, x.shape[0])

    def _refuse_condition(self, condition):
        if condition is not None:
            raise ValueError(f"{type(self).__name__} takes no condition here. Received: a condition of shape {np.shape(condition)}.")

    def _check_condition(self, condition, num_rows=None):
        if self.condition_shape is None:
            self._refuse_condition(condition)
        if condition is None:
            raise ValueError(f"This model needs a condition of shape {self.condition_shape} for each image. Received: none.")
        condition = as_numbers("condition", condition)
        if condition.shape[1:] != self.condition_shape or not condition.shape[:1].is_compatible_with([num_rows]):
            raise ValueError(
                f"`condition` must have the shape [{', '.join(map(str, (num_rows or 'B', *self.condition_shape)))}]. "
                f"Received: shape {tuple(condition.shape)}."
            )
        if not is_symbolic(condition) and not np.all(np.isfinite(condition.numpy())):
            raise ValueError("`condition` must hold finite numbers. Received: NaN or infinity.")
        return condition

    def _assert_outcomes(self, x):
        """Refuses to call a density of grey levels, where the likelihood is over black and white, a log-probability."""
        if self.likelihood_layer.pixels == "binarize" and not is_symbolic(x) and not np.isin(x.numpy(), (0.0, 1.0)).all():
            raise ValueError(
                f"Under {type(self.likelihood_layer).__name__} only black and white images have a log-probability. Received: grey levels. "
                "Pass `images > 127` (of uint8) or `images > 0.5` (of floats); `zoo.evaluate` draws each pixel by its grey level."
            )

    # -- Saving

    def get_config(self):
        return {
            **{name: keras.saving.serialize_keras_object(getattr(self, attribute)) for name, attribute in self._PARTS.items()},
            "pixels": self.pixels,
            "condition_shape": self.condition_shape,
            "seed": self.seed,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, **{name: keras.saving.deserialize_keras_object(config[name]) for name in cls._PARTS}})

    def get_build_config(self):
        return None  # the constructor builds

    def export(self, filepath, *arguments, **more):
        raise ValueError(f"What Keras's `export` writes has no row-keyed draws: use `zoo.export(model, {str(filepath)!r})`.")


def assert_networks(**networks):
    """Raises ValueError unless each can be called."""
    for name, network in networks.items():
        if not callable(network):
            raise ValueError(f"`{name}` must be a network, such as `zoo.networks.MLP`. Received: {name}={shown(network)}.")


def assert_posterior(posterior):
    """Raises ValueError unless it is a layer over latent vectors."""
    if not (callable(posterior) and hasattr(posterior, "latent_dim")):
        raise ValueError(
            "`posterior` must be a layer over latent vectors, such as `zoo.layers.DiagonalNormal(8)`. "
            f"Received: posterior={shown(posterior)}."
        )


def assert_likelihood(likelihood):
    """Raises ValueError unless it is a layer over images."""
    if not (callable(likelihood) and hasattr(likelihood, "event_shape") and hasattr(likelihood, "pixels")):
        raise ValueError(
            "`likelihood` must be a layer over images, such as `zoo.layers.Bernoulli(image_shape)`. "
            f"Received: likelihood={shown(likelihood)}."
        )


def _images_of(batch):
    """Images of a batch as it is stored, float32 in [0, 1]."""
    return render(batch["sprites"]) if "sprites" in batch else to_unit_interval(batch["image"])


def _one_each(images, name, values):
    """The companions in a batch of a stream, checked as the batch comes by: one for each image, and finite."""
    num_images, num_values = tf.shape(images)[0], tf.shape(values)[0]
    message = [
        f"There must be one {name} for each image. Received: a batch with images and {name}s of these numbers:",
        num_images,
        num_values,
    ]
    checks = [tf.debugging.Assert(num_images == num_values, message)]
    if values.dtype.is_floating:
        message = f"`{name}` must hold finite numbers. Received: a batch with NaN or infinity."
        checks.append(tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(values)), [message]))
    with tf.control_dependencies(checks):
        return tf.identity(values)


def _assert_has_image(x):
    if "image" not in x:
        raise ValueError(f"A dict of data must hold 'image'. Received: keys {sorted(x)}.")
