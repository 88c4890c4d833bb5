"""Codes: the nearest of K vectors."""

import math
from typing import Any, Literal

import keras
import tensorflow as tf

from zoo import shards, validation
from zoo.layers.quantizers.base import (
    Quantized,
    Quantizer,
    rotated,
    straight_through,
    sum_over_places,
)
from zoo.random import RowNoise, Stream

# Vectors for each code that `start_at` looks at: more change its means by little.
VECTORS_PER_CODE = 64


@keras.saving.register_keras_serializable(package="zoo")
class VectorQuantizer(Quantizer):
    """The nearest code of a codebook that follows what it codes.

    By default a code is the mean of the vectors that were nearest to it lately: m_k / n_k, moving
    averages of their sum and number. With `decay=None` the codes are weights, and the term
    `codebook` = |sg(x) - e|^2 draws them to the vectors.

    Terms: `commitment`, |x - sg(e)|^2, what it costs the vectors to be away from their codes;
    `codebook`, of learned codes; `loss` = commitment_cost * commitment + codebook.

    Codes that no vector is near to stay where they are and are lost. `start_at` puts the codes
    where the vectors are; `restart_below` puts a code whose n_k has fallen below it upon some
    vector of the batch.

    van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017,
    eq. 3 and appendix A.1. https://arxiv.org/abs/1711.00937

    Args:
        num_codes: K, at least 2.
        code_dim: D.
        decay: What a step leaves of the averages, in [0, 1). None: codes are weights.
        commitment_cost: The factor of `commitment` in the loss.
        distance: "euclidean"; or "cosine": vectors and codes are scaled to length 1 (Yu et al.,
            ICLR 2022, https://arxiv.org/abs/2110.04627).
        gradient: How gradients pass: "straight_through", or "rotation" (`rotated`).
        restart_below: Vectors a step; 0: codes are never restarted. Needs `decay`.
        seed: Which vectors a restart takes is a function of (seed, step, code).

    Raises:
        ValueError: If an argument is out of range.
    """

    # What a code that is never nearest counts for: it stays where it is, and no division is by 0.
    EPSILON = 1e-5

    def __init__(
        self,
        num_codes: int,
        code_dim: int,
        decay: float | None = 0.99,
        commitment_cost: float = 0.25,
        distance: Literal["euclidean", "cosine"] = "euclidean",
        gradient: Literal["straight_through", "rotation"] = "straight_through",
        restart_below: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_codes = validation.integer("num_codes", num_codes, least=2)
        self.code_dim = validation.integer("code_dim", code_dim)
        if decay is not None and not (validation.is_number(decay) and 0 <= decay < 1):
            raise ValueError(
                "`decay` must lie in [0, 1), or be None. "
                f"Received: decay={validation.shown(decay)}."
            )
        self.decay = None if decay is None else float(decay)
        self.commitment_cost = validation.non_negative("commitment_cost", commitment_cost)
        self.distance = validation.one_of("distance", distance, ("euclidean", "cosine"))
        self.gradient = validation.one_of("gradient", gradient, ("straight_through", "rotation"))
        self.restart_below = validation.non_negative("restart_below", restart_below)
        self.seed = validation.seed(seed)
        if self.restart_below and self.decay is None:
            raise ValueError(
                "`restart_below` needs moving averages, which count how often a code is nearest. "
                f"Received: restart_below={self.restart_below}, decay=None."
            )
        self._add_weights()

    def _add_weights(self):
        shape = (self.num_codes, self.code_dim)
        spread = keras.initializers.RandomNormal(stddev=1.0)
        if self.decay is None:
            self.weight = self.add_weight(shape=shape, initializer=spread, name="codebook")
            return
        self.counts = self.add_weight(
            shape=shape[:1], initializer="ones", trainable=False, name="counts"
        )
        self.sums = self.add_weight(shape=shape, initializer=spread, trainable=False, name="sums")
        if self.restart_below:
            self.step = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
            )

    @property
    def term_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("loss", "commitment", *(("codebook",) if self.decay is None else ()))

    @property
    def codebook(self) -> tf.Tensor:
        """The codes' vectors [K, D]."""
        if self.decay is None:
            codebook = tf.convert_to_tensor(self.weight)
        else:
            counts = tf.maximum(tf.convert_to_tensor(self.counts), self.EPSILON)
            codebook = tf.convert_to_tensor(self.sums) / counts[:, None]
        return self._on_sphere(codebook)

    def _on_sphere(self, vectors):
        return vectors if self.distance == "euclidean" else tf.math.l2_normalize(vectors, axis=-1)

    def quantize_vectors(self, x: tf.Tensor, training: bool | None = None) -> Quantized:
        x, codes, nearest, terms = self.assign(x)
        if training:
            self.learn(x, codes)
        through = straight_through if self.gradient == "straight_through" else rotated
        return Quantized(through(x, nearest), codes, terms)

    def assign(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Vectors x [B, ..., D] in float32, on the sphere where the distance is the angle's; their
        codes, the vectors of these, and the terms."""
        self.assert_shape(x.shape)
        x = self._on_sphere(tf.cast(x, tf.float32))
        codebook = self.codebook
        codes = _nearest(x, codebook)
        nearest = tf.gather(codebook, codes)
        commitment = sum_over_places((x - tf.stop_gradient(nearest)) ** 2)
        loss = self.commitment_cost * commitment
        terms = {"loss": loss, "commitment": commitment}
        if self.decay is None:
            terms["codebook"] = sum_over_places((tf.stop_gradient(x) - nearest) ** 2)
            terms["loss"] = loss + terms["codebook"]
        return x, codes, nearest, terms

    def learn(self, x: tf.Tensor, codes: tf.Tensor) -> None:
        """Moves the averages to vectors x [B, ..., D] and their codes, int [B, ...]. A code of -1
        counts for nothing."""
        if self.decay is None:
            return
        x = tf.stop_gradient(x)
        counts, sums = self._counted(x, codes, shards.weights_of_sum(tf.shape(x)[0]))
        # Both are this shard's part: the mean over replicas is the sum over the batch.
        counts = self.decay * self.counts + (1.0 - self.decay) * counts
        sums = self.decay * self.sums + (1.0 - self.decay) * sums
        if self.restart_below:
            # By the counts of before this step, which are alike in all replicas.
            dead = tf.convert_to_tensor(self.counts) < self.restart_below
            fresh = max(self.restart_below, self.EPSILON)
            counts = tf.where(dead, fresh, counts)
            sums = tf.where(dead[:, None], fresh * self._some_of(x), sums)
            self.step.assign_add(1)
        self.counts.assign(counts)
        self.sums.assign(sums)

    def _counted(self, x, codes, weights):
        """How many vectors have each code [K], and their sum [K, D], rows weighed by [B]."""
        chosen = tf.one_hot(codes, self.num_codes)  # [B, ..., K]
        chosen *= tf.reshape(weights, [-1] + [1] * (chosen.shape.rank - 1))
        chosen = tf.reshape(chosen, [-1, self.num_codes])
        sums = tf.matmul(chosen, tf.reshape(x, [-1, self.code_dim]), transpose_a=True)
        return tf.reduce_sum(chosen, axis=0), sums

    def _some_of(self, x):
        """This shard's part of K vectors of the batch x [B, ..., D], by chance: [K, D]."""
        noise = RowNoise(self.seed, tf.convert_to_tensor(self.step), tf.range(self.num_codes))
        chance = noise.uniform(Stream.RESTART, (2,))  # [K, 2]
        x = tf.reshape(x, [tf.shape(x)[0], -1, self.code_dim])  # [B, places, D]
        num_places = tf.cast(tf.shape(x)[1], tf.float32)
        of_rows = shards.part_of_rows(x, chance[:, 0])  # [K, places, D]
        places = tf.cast(chance[:, 1] * num_places, tf.int32)
        return tf.gather(of_rows, places, batch_dims=1)

    def start_at(self, vectors: tf.Tensor, iterations: int = 10) -> None:
        """Sets the codes to the means of K clusters of vectors [..., D].

        K-means++ (Arthur & Vassilvitskii, SODA 2007): Lloyd's iterations from vectors that are far
        from each other.

        Raises:
            ValueError: If there are fewer than K vectors, or they have another D.
        """
        self.assert_shape(vectors.shape)
        x = self._on_sphere(tf.reshape(tf.cast(vectors, tf.float32), [-1, self.code_dim]))
        num_vectors = int(tf.shape(x)[0])
        if num_vectors < self.num_codes:
            raise ValueError(
                f"A codebook of {self.num_codes} codes starts at no fewer vectors. Received: "
                f"{num_vectors}."
            )
        noise = RowNoise(self.seed, 0, tf.range(num_vectors))
        order = tf.argsort(noise.uniform(Stream.RESTART, (1,))[:, 0], stable=True)
        x = tf.gather(x, order[: VECTORS_PER_CODE * self.num_codes])
        codebook = self._far_apart(x)
        for _ in range(validation.integer("iterations", iterations, least=0)):
            codes = _nearest(x, codebook)
            counts, sums = self._counted(x, codes, tf.ones([tf.shape(x)[0]]))
            means = self._on_sphere(sums / tf.maximum(counts, 1.0)[:, None])
            # A code without vectors goes to one of those that are farthest from theirs.
            errors = tf.reduce_sum((x - tf.gather(codebook, codes)) ** 2, axis=-1)
            farthest = tf.gather(x, tf.math.top_k(errors, self.num_codes).indices)
            empty = counts == 0
            order_of_empty = tf.maximum(tf.cumsum(tf.cast(empty, tf.int32)) - 1, 0)
            codebook = tf.where(empty[:, None], tf.gather(farthest, order_of_empty), means)
        if self.decay is None:
            self.weight.assign(codebook)
        else:
            self.counts.assign(tf.ones([self.num_codes]))
            self.sums.assign(codebook)

    def _far_apart(self, x):
        """K of the vectors x [N, D]: the first of them, and each other one by chance, as its
        squared distance to the nearest before it."""
        chance = RowNoise(self.seed, 1, tf.range(self.num_codes)).uniform(Stream.RESTART, (1,))
        chosen = [x[0]]
        distances = tf.fill(tf.shape(x)[:1], math.inf)
        for u in tf.unstack(chance[1:, 0]):
            distances = tf.minimum(distances, tf.reduce_sum((x - chosen[-1]) ** 2, axis=-1))
            sums = tf.cumsum(distances)
            number = tf.searchsorted(sums, [u * sums[-1]], side="right")[0]
            chosen.append(x[tf.minimum(number, len(x) - 1)])
        return tf.stack(chosen)

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., D] of codes, int [...]; 0 for a code of -1."""
        known = tf.expand_dims(tf.cast(codes >= 0, tf.float32), axis=-1)
        return known * tf.gather(self.codebook, tf.maximum(codes, 0))

    def codes(self, vectors: tf.Tensor) -> tf.Tensor:
        """The codes int32 [...] of vectors [..., D]: the inverse of `vectors`."""
        return _nearest(self._on_sphere(tf.cast(vectors, tf.float32)), self.codebook)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "code_dim": self.code_dim,
            "decay": self.decay,
            "commitment_cost": self.commitment_cost,
            "distance": self.distance,
            "gradient": self.gradient,
            "restart_below": self.restart_below,
            "seed": self.seed,
        }


def _nearest(x, codebook):
    """The number of the vector of the codebook [K, D] that is nearest to each x [..., D]."""
    # |x - e|^2 = |x|^2 - 2 x.e + |e|^2, of which the first is the same for all codes.
    distances = tf.reduce_sum(codebook**2, axis=-1) - 2.0 * tf.einsum("...d,kd->...k", x, codebook)
    return tf.argmin(distances, axis=-1, output_type=tf.int32)
