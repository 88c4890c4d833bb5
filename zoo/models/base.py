"""What every model of the zoo shares around its mathematics: data at the edge, parts in the
configuration."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.engine.compiled import CompiledModel
from zoo.inference.trace import Latent
from zoo.models.answers import Answer
from zoo.models.condition import NoCondition
from zoo.networks import set_output_bias
from zoo.observations import Image, Observation
from zoo.observations.base import Served
from zoo.observations.masks import VisiblePixels
from zoo.random import RowNoise
from zoo.typing import LikelihoodLayer, PosteriorLayer
from zoo.validation import shown

# Constructor argument -> attribute, where the two have different names.
ATTRIBUTES = {
    "posterior": "posterior_layer",
    "likelihood": "likelihood_layer",
    "prior": "prior_layer",
    "latents": "groups",
}


class Data(dict):
    """A batch within a pass, x and what stands beside it: no method checks it again, or sees anew
    what of x is missing.

    Keras, which takes plain dicts alone, never gets one.
    """


class BuiltAfterConstruction(type):
    """Builds a model once its constructors, those of subclasses included, have stored
    everything."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        model = super().__call__(*args, **kwargs)
        model.built = True  # to Keras: it builds nothing more
        model.build_parts()
        return model


class Model(CompiledModel, metaclass=BuiltAfterConstruction):
    """A model of x, with an optional condition beside each.

    What x is and how users hand it in is told by `observation`. x comes alone, or under
    `observation.key` in a dict of data, beside its condition c ("condition"). Both mean the same to
    every method, as arrays, tensors or in a stream. `fit` and `evaluate` draw what is random about
    x inside the compiled step; every other method takes x as it is given.

    A constructor stores its arguments, and nothing else, under their own names (`ATTRIBUTES`): they
    are the configuration.

    Args:
        likelihood: Layer from parameters to p(x|z, c), such as `zoo.layers.Bernoulli(image_shape)`.
        observation: What x is, one of `zoo.observations`. By default what the likelihood is over.
        pixels: Short for `observation=Image(image_shape, pixels)`.
        seed: Every draw is a function of (seed, step, row).
    """

    condition = NoCondition()
    # Name -> what is known of each latent, in the order in which they are drawn.
    latents: Mapping[str, Latent] = {}
    # Name -> shape of the latents that `decode` takes.
    latent_shapes: Mapping[str, tuple[int, ...]] = {}
    # K, where the model knows of K classes.
    num_classes: int | None = None
    # Which pixels are seen, where the model completes images.
    visible = None
    # Whether `log_prob` is exact, and of x itself.
    knows_log_prob = False

    def __init__(
        self,
        likelihood: keras.layers.Layer,
        *,
        observation: Observation | None = None,
        pixels: str | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        assert_likelihood(likelihood)
        self.likelihood_layer = likelihood
        self.observation = observation_of(likelihood, observation, pixels)

    def build_parts(self) -> None:
        """Creates all weights, and checks that the parts fit together."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """What x is called in dicts of data."""
        return self.observation.key

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Shape of one condition; None of a model without."""
        return self.condition.shape

    def start_at_mean(self, x: Any) -> None:
        """Starts training from p(x|z) = the mean of the data, by the decoder's output bias.

        Otherwise the first epochs go into learning that bias, and latents that carry nothing
        meanwhile are switched off for good: on MNIST 17 dimensions are active after 10 epochs
        without it, 34 with it, and the bound is 5 nats higher.

        Args:
            x: The training data, [N, ...].

        Raises:
            ValueError: If they do not fit, or the decoder has no bias to set.
        """
        mean, _ = self.observation.moments(x)
        set_output_bias(self.decoder, self.likelihood_layer.params_of_mean(mean))

    def start_at_data(self, x: Any) -> None:
        """As `start_at_mean`, and with the scales of the data where the likelihood has a scale that
        is learned.

        A scale that starts at 1 is far from that of most data: a model of pixels in [0, 1] is worse
        than a uniform distribution until it has come down.

        Args:
            x: The training data, [N, ...].

        Raises:
            ValueError: If they do not fit, or the decoder has no bias to set.
        """
        mean, scale = self.observation.moments(x)
        set_output_bias(self.decoder, self.likelihood_layer.params_of(mean, scale))
        self.likelihood_layer.start_at(mean, scale)

    # -- Data

    def standardize(self, x: Any) -> Any:
        if isinstance(x, tf.data.Dataset):
            return self._standardize_stream(x)
        noun = self.observation.noun
        if x is None:
            raise ValueError(f"There are no {noun}s. Received: x=None.")
        data = x if self._is_data(x) else {self.key: x}
        stored = self.observation.check(self._x_of(data))
        num_rows = len(next(iter(stored.values())))
        return stored | self.standardize_companions(data, num_rows)

    def standardize_companions(
        self, data: Mapping[str, Any], num_rows: int | None = None
    ) -> dict[str, Any]:
        """What the model takes from a dict of data beside x: arrays [num_rows, ...], or a stream's
        tensors [B, ...]."""
        return self.condition.check_data(data, num_rows)

    def _standardize_stream(self, stream):
        noun = self.observation.noun
        if isinstance(stream.element_spec, tuple):
            raise ValueError(
                "A generative model has no targets. Received: a stream of tuples. Map it to "
                f"{noun}s or to a dict: `.map(lambda {noun}, label: {{'{self.key}': {noun}}})`."
            )
        if stream.cardinality() == 0:
            raise ValueError(f"There are no {noun}s. Received: an empty tf.data.Dataset.")

        @tf.autograph.experimental.do_not_convert  # which would tell errors in several lines
        def to_dict(element):
            data = element if self._is_data(element) else {self.key: element}
            stored = self.observation.check_stream(self._x_of(data))
            (x, *_) = stored.values()
            companions = self.standardize_companions(data)
            return stored | {
                name: _one_each(x, noun, name, values) for name, values in companions.items()
            }

        return stream.map(to_dict, num_parallel_calls=tf.data.AUTOTUNE)

    def check_first_block(self, table: Mapping[str, tf.Tensor]) -> None:
        self.observation.check_first_block(table)

    def prepare(self, batch: Mapping[str, Any], noise: RowNoise) -> dict[str, Any]:
        return {**batch, **self.observation.prepare(batch, noise)}

    def predict_step(self, data: Any) -> tf.Tensor:
        batch = data[0] if isinstance(data, tuple) else data
        return self.reconstruct(self.observation.as_stored(batch), batch.get("condition"))

    def as_data(self, x: Any, condition: Any = None) -> dict[str, Any]:
        """x and its condition as a user hands them to a method: the dict that the programs take.

        Args:
            x: [B, ...], or a dict of data.
            condition: [B, ...], where x is no dict and the model has one.
        """
        if isinstance(x, Data):
            return x
        if self._is_data(x):
            x, condition = self._x_of(x), self.condition.of(x)
        data = self.observation.as_tensors(x)
        condition = self.condition.check(condition, data[self.key].shape[0])
        return data if condition is None else {**data, "condition": condition}

    def _is_data(self, x):
        """Whether x stands in a dict of data."""
        return isinstance(x, dict) and not (isinstance(x, Served) or self.observation.is_x(x))

    def _x_of(self, data):
        if self.key not in data:
            raise ValueError(
                f"A dict of data must hold {self.key!r}. Received: keys {sorted(data)}."
            )
        return data[self.key]

    # -- What it answers

    def reconstruction(self, data: Mapping[str, Any]) -> tf.Tensor:
        """Outcomes of the likelihood [B, *shape] that are most like x, of a dict as `as_data` gives
        it."""
        raise NotImplementedError

    def reconstruct(self, x: Any, condition: Any = None) -> Any:
        """x as the model gives it again, in the form in which users hand it in."""
        return self.observation.like(x, self.reconstruction(self.as_data(x, condition)))

    def answers(self) -> dict[str, Answer]:
        """Name -> what the model can be asked about rows: the one source for servers, clients and
        pictures."""

        def reconstruct(condition=None, **x):
            values = self.reconstruct(self.observation.of_served(x), condition)
            return self.observation.to_served("reconstruction", values)

        return {"reconstruct": Answer(reconstruct, self.observation.spec() | self.condition.spec())}

    # -- Saving

    def get_config(self) -> dict[str, Any]:
        config = {
            name: _plain(getattr(self, ATTRIBUTES.get(name, name)))
            for name in _arguments(type(self))
        }
        return {
            **config,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Model":
        # Configurations of before told of every model its condition and its pixels.
        known = (*_arguments(cls), "pixels", "name", "dtype")
        old = {"condition_shape"} - set(known)
        if "observation" not in known:
            old.add("pixels")
        return cls(**{name: _of_plain(value) for name, value in config.items() if name not in old})

    def get_build_config(self) -> None:
        return None  # the constructor builds

    def export(self, filepath: Any, *arguments: Any, **more: Any) -> None:
        raise ValueError(
            "What Keras's `export` writes has no row-keyed draws: "
            f"use `zoo.export(model, {str(filepath)!r})`."
        )


def _arguments(cls: type) -> list[str]:
    """The arguments of a model's constructor: its own, and where it passes others on those of its
    base."""
    names: list[str] = []
    for base in cls.__mro__[: cls.__mro__.index(CompiledModel) + 1]:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        named = [
            p.name
            for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and p.name not in ("self", "pixels")
        ]
        names += [name for name in named if name not in names]
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return names


def _plain(value):
    """A constructor's argument as JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (VisiblePixels, np.ndarray)):
        return value.tolist()
    return keras.saving.serialize_keras_object(value)


def _of_plain(value):
    if isinstance(value, list):
        return [_of_plain(item) for item in value]
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value


def observation_of(
    likelihood: Any, observation: Observation | None, pixels: str | None
) -> Observation:
    """What x is: as it is given, or as the likelihood knows it.

    Raises:
        ValueError: If both are given, or the observation does not fit the likelihood.
    """
    if observation is None:
        own = likelihood.observation
        if pixels is None:
            return own
        if not isinstance(own, Image):
            raise ValueError(
                "`pixels` is for images. "
                f"Received: pixels={shown(pixels)}, and a likelihood over {own.noun}s."
            )
        return Image(likelihood.event_shape, pixels)
    if pixels is not None:
        raise ValueError(
            f"`pixels` is a part of the observation. Received: both, pixels={shown(pixels)}."
        )
    if not isinstance(observation, Observation):
        raise ValueError(
            "`observation` must be one of `zoo.observations`. Received: "
            f"observation={shown(observation)}."
        )
    if observation.shape != likelihood.event_shape:
        raise ValueError(
            f"`observation` must have the shape {likelihood.event_shape} that the likelihood "
            f"is over. Received: {observation.shape}."
        )
    likelihood.assert_is_over(observation)
    return observation


def assert_networks(**networks: Any) -> None:
    """Raises ValueError unless each can be called."""
    for name, network in networks.items():
        if not callable(network):
            raise ValueError(
                f"`{name}` must be a network, such as `zoo.networks.MLP`. Received: "
                f"{name}={shown(network)}."
            )


def assert_posterior(posterior: Any) -> None:
    """Raises ValueError unless it is a layer over latents."""
    if not isinstance(posterior, PosteriorLayer):
        raise ValueError(
            "`posterior` must be a layer over latent vectors, such as "
            f"`zoo.layers.DiagonalNormal(8)`. Received: posterior={shown(posterior)}."
        )


def assert_likelihood(likelihood: Any) -> None:
    """Raises ValueError unless it is a layer over observations."""
    if not isinstance(likelihood, LikelihoodLayer):
        raise ValueError(
            "`likelihood` must be a layer over what x is, such as "
            f"`zoo.layers.Bernoulli(image_shape)`. Received: likelihood={shown(likelihood)}."
        )


def _one_each(x, noun, name, values):
    """The companions in a batch of a stream, checked as the batch comes by: one for each x, and
    finite."""
    num_rows, num_values = tf.shape(x)[0], tf.shape(values)[0]
    message = [
        f"There must be one {name} for each {noun}. Received: a batch with {noun}s and "
        f"{name}s of these numbers:",
        num_rows,
        num_values,
    ]
    checks = [tf.debugging.Assert(num_rows == num_values, message)]
    if values.dtype.is_floating:
        message = f"`{name}` must hold finite numbers. Received: a batch with NaN or infinity."
        checks.append(tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(values)), [message]))
    with tf.control_dependencies(checks):
        return tf.identity(values)
