"""The contract of every quantizer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from zoo import shards

Shape = tuple[int | None, ...]


class Quantized(NamedTuple):
    """What a quantizer makes of vectors x [B, ..., D].

    Attributes:
        quantized: The vectors of the codes, like x. Gradients pass through them to x.
        codes: Int32 [B, ..., *code_shape].
        terms: Name -> float32 [B], sums over the places of an example and their elements, as
            log-likelihoods are. `loss` is what training adds to -log p(x|codes).
    """

    quantized: tf.Tensor
    codes: tf.Tensor
    terms: dict[str, tf.Tensor]


class Quantizer(keras.layers.Layer):
    """Vectors -> the nearest vectors of a finite set, and their codes.

    Computes in float32 whatever the precision policy. In a Keras model of your own, Functional
    ones included, a call adds the mean of `terms["loss"]` to the model's loss, once.

    Attributes:
        code_dim: D.
        num_codes: K: codes are 0 ... K - 1.
        lowest_code: -1 where codes may be left out, else 0.
        code_shape: Shape of the codes of one vector: () where it has one.
        term_names: The keys of `terms`.
        batch_statistics: Whether a term is a function of means over the batch.

    Call arguments:
        x: Tensor [B, ..., D].
        training: Whether what the quantizer has learned goes on learning.
        adds_loss: Whether the call adds the loss. The models of the zoo add it themselves.

    Returns:
        (quantized, codes, terms), as in `Quantized`.

    Raises:
        ValueError: If the vectors have another number of elements.
    """

    code_dim: int
    num_codes: int
    lowest_code = 0
    code_shape: tuple[int, ...] = ()
    term_names: Sequence[str] = ("loss",)
    batch_statistics = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def build(self, x_shape: Shape) -> None:
        """Weights are made with the layer; what is built checks the shape."""
        self.assert_shape(x_shape)

    def quantize_vectors(self, x: tf.Tensor, training: bool | None = None) -> Quantized:
        """As a call does, and adds no loss."""
        raise NotImplementedError

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., D] of codes, int [..., *code_shape]."""
        raise NotImplementedError

    def start_at(self, vectors: tf.Tensor) -> None:
        """Starts from vectors [..., D] as training will see them, where there is anything to
        start."""

    def call(
        self, x: tf.Tensor, training: bool | None = None, adds_loss: bool = True
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        quantized, codes, terms = self.quantize_vectors(x, training)
        if adds_loss:
            self.add_loss(shards.part_of_mean(terms["loss"]))
        return quantized, codes, terms

    def compute_output_spec(
        self, x: keras.KerasTensor, training: bool | None = None, adds_loss: bool = True
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, dict[str, keras.KerasTensor]]:
        self.assert_shape(x.shape)
        return (
            keras.KerasTensor(x.shape, "float32"),
            keras.KerasTensor((*x.shape[:-1], *self.code_shape), "int32"),
            {name: keras.KerasTensor(x.shape[:1], "float32") for name in self.term_names},
        )

    def assert_shape(self, x_shape: Shape | tf.TensorShape) -> None:
        """Raises ValueError unless it is the shape [B, ..., D] of vectors of the quantizer's D."""
        if len(x_shape) < 2 or x_shape[-1] != self.code_dim:
            raise ValueError(
                f"{type(self).__name__} codes vectors of {self.code_dim} elements, [B, ..., "
                f"{self.code_dim}]. Received: a tensor of shape {tuple(x_shape)}."
            )


def straight_through(x: tf.Tensor, quantized: tf.Tensor) -> tf.Tensor:
    """`quantized`, to the bit, with the gradient of x (Bengio, Leonard & Courville, 2013,
    https://arxiv.org/abs/1308.3432)."""
    return tf.stop_gradient(quantized) + (x - tf.stop_gradient(x))


def rotated(x: tf.Tensor, quantized: tf.Tensor) -> tf.Tensor:
    """`quantized`, to the bit, as a rotation and scaling of x that gradients do not see into.

    Gradients keep their angle to the vector: those of one cell differ, where `straight_through`
    gives all of them the same.

    Fifty et al., "Restructuring vector quantization with the rotation trick", ICLR 2025.
    https://arxiv.org/abs/2410.06424
    """
    e, q = tf.stop_gradient(x), tf.stop_gradient(quantized)
    length, target = (tf.maximum(tf.norm(v, axis=-1, keepdims=True), 1e-6) for v in (e, q))
    unit, unit_target = e / length, q / target
    middle = tf.math.l2_normalize(unit + unit_target, axis=-1)

    def along(direction):
        return tf.reduce_sum(x * direction, axis=-1, keepdims=True)

    # R = I - 2 r r' + 2 q e', of unit vectors, r half way between e and q.
    turned = x - 2.0 * along(middle) * middle + 2.0 * along(unit) * unit_target
    turned *= target / length
    return turned + tf.stop_gradient(quantized - turned)


def sum_over_places(values: tf.Tensor) -> tf.Tensor:
    """[B, ...] -> [B]."""
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
