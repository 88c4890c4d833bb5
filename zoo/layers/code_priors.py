"""Priors over codes: how probable a grid of codes is, and grids drawn by row."""

import math
from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.random import RowNoise, Stream
from zoo.tensors import static_sizes
from zoo.typing import CausalNetwork, MaskedNetwork
from zoo.validation import shown

Shape = tuple[int | None, ...]
# Below it the most probable code is certain, of logits that differ by 1e-4.
LEAST_TEMPERATURE = 1e-6


class CodePrior(keras.layers.Layer):
    """p(codes | c) of codes int32 [B, *codes_shape], N a row, each one of K.

    Attributes:
        is_exact: Whether `log_prob` is log p; otherwise its mean over noise is below log p.
        loops: Whether `draw` goes through several passes.
        num_codes: K.

    Call arguments:
        codes: Int32 [B, *codes_shape].
        condition: [B, ...], or None.
        noise: `RowNoise` of B rows, where `log_prob` draws.
        training: As in Keras.

    Returns:
        log p(codes|c): float32 [B], in nats.
    """

    is_exact = True
    loops = False
    num_codes: int

    def build(self, codes_shape: Shape, condition_shape: Shape | None = None) -> None:
        self.codes_shape = static_sizes(tuple(codes_shape)[1:])
        self.num_positions = math.prod(self.codes_shape)

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        noise: RowNoise | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        raise NotImplementedError

    def draw(
        self,
        noise: RowNoise,
        num_rows: int | tf.Tensor,
        condition: tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        """Codes int32 [B, *codes_shape], each row a function of its noise, condition and
        temperature.

        Args:
            noise: `RowNoise` of B rows.
            num_rows: B.
            condition: [B, ...], or None.
            temperature: What logits are divided by, non-negative: a number, or one for each row,
                float [B]. At 0 the most probable code is taken.
        """
        raise NotImplementedError

    def _as_grid(self, codes):
        return tf.reshape(codes, (-1, *self.codes_shape))

    def _in_a_row(self, codes):
        return tf.reshape(codes, (-1, self.num_positions))


@keras.saving.register_keras_serializable(package="zoo")
class UniformCodes(CodePrior):
    """Every code is as probable as another, at every place: log p = -N log K.

    Args:
        num_codes: K.
    """

    def __init__(self, num_codes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_codes = validation.integer("num_codes", num_codes, least=2)

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        noise: RowNoise | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        return tf.fill(tf.shape(codes)[:1], -self.num_positions * math.log(self.num_codes))

    def draw(
        self,
        noise: RowNoise,
        num_rows: int | tf.Tensor,
        condition: tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        u = noise.uniform(Stream.CODE, (self.num_positions,))
        return self._as_grid(tf.cast(u * self.num_codes, tf.int32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_codes": self.num_codes}


class NetworkPrior(CodePrior):
    """A prior whose logits come from a network of codes [B, *codes_shape] -> [B, N, K]."""

    loops = True

    def __init__(self, network: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.num_codes = network.num_codes

    def build(self, codes_shape: Shape, condition_shape: Shape | None = None) -> None:
        super().build(codes_shape)
        if not self.network.built:
            self.network.build(codes_shape, condition_shape)

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NetworkPrior":
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})


@keras.saving.register_keras_serializable(package="zoo")
class AutoregressiveCodes(NetworkPrior):
    """log p(codes) = sum_i log p(code_i | codes before i), exact.

    Args:
        network: `zoo.networks.GatedPixelCNN`, `zoo.networks.CausalTransformer`, or another network
            of codes that is a `zoo.typing.CausalNetwork`.

    Raises:
        ValueError: If the network is none.
    """

    def __init__(self, network: CausalNetwork, **kwargs: Any) -> None:
        if not isinstance(network, CausalNetwork):
            raise ValueError(
                "`network` must give codes one by one, as `zoo.networks.CausalTransformer` does. "
                f"Received: network={shown(network)}."
            )
        super().__init__(network, **kwargs)

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        noise: RowNoise | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        logits = self.network(codes, condition=condition, training=training)
        return tf.reduce_sum(_log_prob(logits, self._in_a_row(codes)), axis=-1)

    def draw(
        self,
        noise: RowNoise,
        num_rows: int | tf.Tensor,
        condition: tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        order = tf.range(self.num_positions)

        def one(position, previous, codes, cache):
            logits, cache = self.network.step(previous, position, cache, condition)
            u = noise.uniform(Stream.CODE, (1,), 1, first_sample=position)[0]  # [B, 1]
            code = _chosen(logits[:, None], u, temperature)[:, 0]
            codes = tf.where(order == position, code[:, None], codes)
            return position + 1, code, codes, cache

        nothing = tf.zeros([num_rows, self.num_positions], tf.int32)
        _, _, codes, _ = tf.while_loop(
            lambda position, *_: position < self.num_positions,
            one,
            (tf.constant(0), nothing[:, 0], nothing, self.network.start(num_rows)),
            maximum_iterations=self.num_positions,
        )
        return self._as_grid(codes)


@keras.saving.register_keras_serializable(package="zoo")
class MaskedCodes(NetworkPrior):
    """Codes in any order, several at once.

    Training masks some codes and learns what they may be. How many, and which, is drawn so that

        log p(codes) >= E_{order, m} [ N / (N - m) sum_{i masked} log p(code_i | m codes seen) ]

    bounds the log-probability of codes that are drawn one by one in a random order (Hoogeboom et
    al., "Autoregressive diffusion models", ICLR 2022, https://arxiv.org/abs/2110.02037): a
    call gives one draw of it. `draw` takes far fewer passes: in each it keeps the codes of which
    the network is surest (Chang et al., "MaskGIT", CVPR 2022, section 3.2,
    https://arxiv.org/abs/2202.04200), and is no draw of that distribution.

    Args:
        network: `zoo.networks.MaskedTransformer`, or another network of codes that is a
            `zoo.typing.MaskedNetwork`.
        num_steps: Passes of a draw. After t of T, N cos(pi t / 2 T) codes are still masked.
        choice_temperature: How far chance has a say in what is kept: the factor of Gumbel noise
            beside log p, which falls to 0 at the end.

    Raises:
        ValueError: If the network is none, or an argument is out of range.
    """

    is_exact = False

    def __init__(
        self,
        network: MaskedNetwork,
        num_steps: int = 8,
        choice_temperature: float = 4.5,
        **kwargs: Any,
    ) -> None:
        if not isinstance(network, MaskedNetwork):
            raise ValueError(
                "`network` must know masked codes, as `zoo.networks.MaskedTransformer` does. "
                f"Received: network={shown(network)}."
            )
        super().__init__(network, **kwargs)
        self.num_steps = validation.integer("num_steps", num_steps)
        self.choice_temperature = validation.non_negative("choice_temperature", choice_temperature)

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        noise: RowNoise | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        if noise is None:
            noise = RowNoise.of_seed(0, tf.shape(codes)[0])
        codes, num_positions = self._in_a_row(codes), self.num_positions
        chance = noise.uniform(Stream.PERMUTE, (num_positions + 1,))
        num_seen = tf.floor(chance[:, -1:] * num_positions)  # [B, 1], 0 ... N - 1
        masked = tf.cast(_ranks(chance[:, :-1]), tf.float32) >= num_seen
        seen = self._as_grid(tf.where(masked, self.network.mask_code, codes))
        logits = self.network(seen, condition=condition, training=training)
        log_probs = tf.where(masked, _log_prob(logits, codes), 0.0)
        return num_positions / (num_positions - num_seen[:, 0]) * tf.reduce_sum(log_probs, axis=-1)

    def draw(
        self,
        noise: RowNoise,
        num_rows: int | tf.Tensor,
        condition: tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        mask_code, num_positions = self.network.mask_code, self.num_positions

        def one(step, codes):
            logits = self.network(self._as_grid(codes), condition=condition)
            masked = codes == mask_code
            u = noise.uniform(Stream.CODE, (num_positions,), 1, first_sample=step)[0]
            drawn = _chosen(logits, u, temperature)
            left = 1.0 - tf.cast(step + 1, tf.float32) / self.num_steps  # of the passes
            v = noise.uniform(Stream.COMPONENT, (num_positions,), 1, first_sample=step)[0]
            gumbel = -tf.math.log(-tf.math.log(tf.maximum(v, 2.0**-25)))
            sure = _log_prob(logits, drawn) + self.choice_temperature * left * gumbel
            # The least sure stay masked; what was kept before is surer than all.
            sure = tf.where(masked, sure, math.inf)
            num_masked = tf.cast(num_positions * tf.cos(0.5 * math.pi * (1.0 - left)), tf.int32)
            num_masked = tf.where(step + 1 < self.num_steps, num_masked, 0)
            keep = _ranks(sure) >= num_masked
            return step + 1, tf.where(masked & keep, drawn, codes)

        nothing = tf.fill([num_rows, num_positions], mask_code)
        _, codes = tf.while_loop(
            lambda step, _: step < self.num_steps,
            one,
            (tf.constant(0), nothing),
            maximum_iterations=self.num_steps,
        )
        return self._as_grid(codes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "choice_temperature": self.choice_temperature,
        }


def _log_prob(logits, codes):
    """log p of codes [B, N] under logits [B, N, K]: [B, N]."""
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(codes, logits)


def _chosen(logits, u, temperature):
    """The codes int32 [B, N] at which the distribution functions of logits [B, N, K] pass u in
    [0, 1), [B, N]."""
    temperature = tf.reshape(tf.convert_to_tensor(temperature, tf.float32), [-1, 1, 1])
    sums = tf.cumsum(tf.nn.softmax(logits / tf.maximum(temperature, LEAST_TEMPERATURE)), axis=-1)
    passed = sums <= u[..., None] * sums[..., -1:]
    codes = tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)
    return tf.minimum(codes, logits.shape[-1] - 1)


def _ranks(values):
    """How many of the values [B, N] of a row are smaller, or equal and before: int32 [B, N]."""
    order = tf.range(values.shape[-1])
    one, other = values[:, :, None], values[:, None, :]
    before = (other < one) | ((other == one) & (order[None, :] < order[:, None]))
    return tf.reduce_sum(tf.cast(before, tf.int32), axis=-1)
