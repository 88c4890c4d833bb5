"""Transformers over codes: one that sees what came before, and one that sees what is not masked."""

from typing import Any

import keras
import tensorflow as tf

from zoo import validation
from zoo.layers.noise import Dropout
from zoo.networks.base import size_of
from zoo.networks.codes import Cache, CodeNetwork, Shape, embedding, given


class AttentionBlock(keras.layers.Layer):
    """Attention over positions and an MLP of each, both after a normalization: [B, N, width] ->
    [B, N, width].

    Vaswani et al., "Attention is all you need", NeurIPS 2017 (https://arxiv.org/abs/1706.03762),
    normalized first as by Child et al., 2019 (https://arxiv.org/abs/1904.10509).

    Args:
        width: A multiple of `num_heads`.
        num_heads: Number of heads.
        causal: Whether a position sees itself and those before it alone.
        dropout: Fraction that is dropped of both outputs in training, by row.
    """

    def __init__(
        self, width: int, num_heads: int, causal: bool, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.width, self.num_heads, self.causal = width, num_heads, causal
        self.normalize = keras.layers.LayerNormalization(dtype=policy)
        self.project = keras.layers.Dense(3 * width, dtype=policy)
        self.join = keras.layers.Dense(width, dtype=policy)
        self.normalize_again = keras.layers.LayerNormalization(dtype=policy)
        self.expand = keras.layers.Dense(4 * width, activation="gelu", dtype=policy)
        self.contract = keras.layers.Dense(width, dtype=policy)
        self.drops = [Dropout(dropout, dtype=policy) for _ in range(2)] if dropout else []

    def build(self, shape: Shape) -> None:
        for layer in (
            self.normalize,
            self.project,
            self.join,
            self.normalize_again,
            self.expand,
        ):
            layer.build(shape)
        self.contract.build((*shape[:-1], 4 * self.width))

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        queries, keys, values = self._heads(x)  # [B, N, heads, d]
        num_positions = x.shape[1]
        seen = None
        if self.causal:
            order = tf.range(num_positions)
            seen = order[None, :] <= order[:, None]  # [N of queries, N of keys]
        x += self._dropped(0, self.join(self._attend(queries, keys, values, seen)), training)
        return x + self._dropped(1, self._mlp(x), training)

    def step(self, x: tf.Tensor, position: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
        """One position [B, 1, width] after those whose keys and values the cache holds, each
        [B, N, heads, d]."""
        queries, key, value = self._heads(x)
        order = tf.range(cache[0].shape[1])
        here = (order == position)[None, :, None, None]
        keys, values = tf.where(here, key, cache[0]), tf.where(here, value, cache[1])
        seen = (order <= position)[None, :]
        x += self.join(self._attend(queries, keys, values, seen))
        return x + self._mlp(x), (keys, values)

    def start(self, num_rows: int | tf.Tensor, num_positions: int) -> Cache:
        """A cache of nothing."""
        shape = [num_rows, num_positions, self.num_heads, self.width // self.num_heads]
        return (tf.zeros(shape, self.compute_dtype), tf.zeros(shape, self.compute_dtype))

    def _heads(self, x):
        projected = self.project(self.normalize(x))
        num_positions, depth = projected.shape[1], self.width // self.num_heads
        projected = tf.reshape(projected, (-1, num_positions, 3, self.num_heads, depth))
        return tf.unstack(projected, axis=2)

    def _attend(self, queries, keys, values, seen):
        scale = (self.width // self.num_heads) ** -0.5
        scores = tf.cast(tf.einsum("bqhd,bkhd->bhqk", queries * scale, keys), tf.float32)
        if seen is not None:
            scores = tf.where(seen, scores, -1e9)
        weights = tf.cast(tf.nn.softmax(scores, axis=-1), values.dtype)
        mixed = tf.einsum("bhqk,bkhd->bqhd", weights, values)
        return tf.reshape(mixed, (-1, mixed.shape[1], self.width))

    def _mlp(self, x):
        return self.contract(self.expand(self.normalize_again(x)))

    def _dropped(self, number, x, training):
        for drop in self.drops[number : number + 1]:  # none without dropout
            x = drop(x, training=training)
        return x


class Transformer(CodeNetwork):
    """What both transformers over codes share.

    Args:
        num_codes: K.
        width: Of the vectors of a position, a multiple of `num_heads`.
        num_layers, num_heads: Numbers of blocks, and of heads of each.
        dropout: Fraction that is dropped in training, by row.
    """

    _ARGUMENTS = ("num_codes", "width", "num_layers", "num_heads", "dropout")
    # Whether a position sees those before it alone.
    causal = True

    def __init__(
        self,
        num_codes: int,
        width: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_codes, **kwargs)
        self.width = validation.integer("width", width)
        self.num_layers = validation.integer("num_layers", num_layers)
        self.num_heads = validation.integer("num_heads", num_heads)
        if self.width % self.num_heads:
            raise ValueError(
                "`width` must be a multiple of `num_heads`. Received: "
                f"width={self.width}, num_heads={self.num_heads}."
            )
        self.dropout = dropout
        policy = self.dtype_policy
        # One more: what stands where no code is seen.
        self.embed = embedding(self.num_codes + 1, self.width, policy)
        self.blocks = [
            AttentionBlock(self.width, self.num_heads, self.causal, dropout, dtype=policy)
            for _ in range(self.num_layers)
        ]
        self.normalize = keras.layers.LayerNormalization(dtype=policy)
        # All codes are equally likely before anything is learned.
        self.head = keras.layers.Dense(self.num_codes, kernel_initializer="zeros", dtype=policy)

    def build(self, codes_shape: Shape, condition_shape: Shape | None = None) -> None:
        super().build(codes_shape)
        vectors = (None, self.num_positions, self.width)
        self.embed.build((None, self.num_positions))
        self.positions = self.add_weight(
            shape=vectors[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="positions",
        )
        self.given = None
        if condition_shape is not None:
            self.given = keras.layers.Dense(self.width, dtype=self.dtype_policy)
            self.given.build((None, size_of(condition_shape)))
        for layer in (*self.blocks, self.normalize, self.head):
            layer.build(vectors)

    def _through(self, seen, condition, training):
        """Logits [B, N, K] of what each position sees, codes or K where it sees none: [B, N]."""
        x = self.embed(seen) + tf.cast(self.positions, self.compute_dtype)
        x = self._beside(x, condition)
        for block in self.blocks:
            x = block(x, training=training)
        return tf.cast(self.head(self.normalize(x)), tf.float32)

    def _beside(self, x, condition):
        if self.given is None:
            return x
        return x + self.given(given(condition))[:, None]


@keras.saving.register_keras_serializable(package="zoo")
class CausalTransformer(Transformer):
    """Each position attends to the codes before it (Chen et al., "Generative pretraining from
    pixels", ICML 2020). Positions are learned; a condition is added to all of them.

    A step of sampling keeps the keys and values of the positions before.

    Args:
        num_codes, width, num_layers, num_heads, dropout: As in `Transformer`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        codes = tf.reshape(codes, (-1, self.num_positions))
        first = tf.fill([tf.shape(codes)[0], 1], self.num_codes)
        return self._through(tf.concat([first, codes[:, :-1]], axis=1), condition, training)

    def start(self, num_rows: int | tf.Tensor) -> Cache:
        return [block.start(num_rows, self.num_positions) for block in self.blocks]

    def step(
        self,
        previous: tf.Tensor,
        position: tf.Tensor,
        cache: Cache,
        condition: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, Cache]:
        seen = tf.where(position == 0, self.num_codes, previous)[:, None]
        place = tf.gather(tf.convert_to_tensor(self.positions), position)
        x = self._beside(self.embed(seen) + tf.cast(place, self.compute_dtype), condition)
        caches = []
        for block, before in zip(self.blocks, cache, strict=True):
            x, after = block.step(x, position, before)
            caches.append(after)
        return tf.cast(self.head(self.normalize(x))[:, 0], tf.float32), caches


@keras.saving.register_keras_serializable(package="zoo")
class MaskedTransformer(Transformer):
    """Each position attends to all that are seen, and tells what those that are masked may be
    (Chang et al., "MaskGIT", CVPR 2022, https://arxiv.org/abs/2202.04200).

    A code of `mask_code`, K, is masked.

    Args:
        num_codes, width, num_layers, num_heads, dropout: As in `Transformer`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    causal = False

    @property
    def mask_code(self) -> int:
        """What stands for a code that is masked."""
        return self.num_codes

    def call(
        self,
        codes: tf.Tensor,
        condition: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        codes = tf.reshape(codes, (-1, self.num_positions))
        return self._through(codes, condition, training)
