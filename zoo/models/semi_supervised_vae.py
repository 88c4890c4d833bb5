"""The semi-supervised VAE, "M2": a class and a style, where some images say which class they are.

    labelled     L(x, y) = E_q(z|x, y)[log p(x|y, z)] + log p(y) - KL(q(z|x, y) || p(z))
    unlabelled   U(x)    = sum_y q(y|x) L(x, y) + H(q(y|x))
    objective    sum of U over unlabelled + sum of L + alpha log q(y|x) over labelled images

Kingma, Rezende, Mohamed & Welling, "Semi-supervised learning with deep generative models", NIPS
2014, eqs. 6 to 9.
https://arxiv.org/abs/1406.5298
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import validation
from zoo.inference import Enumeration, Objective
from zoo.inference.handlers import EveryClass
from zoo.models.class_style_vae import ClassStyleVAE
from zoo.models.condition import assert_labels, check_labels
from zoo.random import RowNoise


@keras.saving.register_keras_serializable(package="zoo")
class SemiSupervisedVAE(ClassStyleVAE):
    """`ClassStyleVAE` that is told the class of some images.

    Data are dicts of x and "label", int [N] in 0 ... K - 1, with -1 where it is unknown: labelled
    and unlabelled rows come mixed.

    Args:
        parts: As in `ClassStyleVAE`.
        classification_weight: alpha: weight of -log q(y|x) on labelled images.
        others: As in `ClassStyleVAE`; y is always summed over.

    Metrics: those of `ClassStyleVAE`, where the bounds are of log p(x) whether or not a label is
    known, and `accuracy` of the most probable class over the labelled rows.

    Raises:
        ValueError: If labels are missing or out of range.
    """

    classes_are_labels = True

    def __init__(
        self,
        *parts: Any,
        classification_weight: float = 1.0,
        objective: Objective | None = None,
        **others: Any,
    ) -> None:
        if objective is not None and type(objective) is not Enumeration:
            raise ValueError(
                "SemiSupervisedVAE sums over classes. Received: "
                f"objective={type(objective).__name__}."
            )
        super().__init__(*parts, objective=objective, **others)
        self.classification_weight = validation.non_negative(
            "classification_weight", classification_weight
        )

    def loss_terms(
        self, batch: Mapping[str, Any], noise: RowNoise, training: bool
    ) -> dict[str, Any]:
        trace = self.run(EveryClass(noise, "y"), batch, training)
        of_class = tf.transpose(self.bound_by_class(trace))  # L(x, y): [B, K]
        log_probs = tf.nn.log_softmax(trace["y"].posterior.logits_parameter())  # [B, K]
        unlabelled = tf.reduce_sum(tf.exp(log_probs) * (of_class - log_probs), axis=-1)  # U(x)

        label = batch["label"]
        known = label >= 0
        class_of = tf.one_hot(label, self.num_classes)  # zeros where the label is -1
        labelled = tf.reduce_sum(
            class_of * (of_class + self.classification_weight * log_probs), axis=-1
        )
        correct = tf.equal(tf.argmax(log_probs, axis=-1, output_type=tf.int32), label)
        return {
            "loss": -tf.where(known, labelled, unlabelled),
            **self.bound_terms(trace),
            "accuracy": (tf.cast(correct, tf.float32), tf.cast(known, tf.float32)),
        }

    @property
    def term_names(self) -> tuple[str, ...]:
        return (*super().term_names, "accuracy")

    def standardize_companions(
        self, data: Mapping[str, Any], num_rows: int | None = None
    ) -> dict[str, Any]:
        label = data.get("label")
        if label is None:
            raise ValueError(
                "SemiSupervisedVAE needs 'label' beside 'image', int [N] with -1 where it is "
                "unknown. Received: none."
            )
        if num_rows is not None:
            label = np.asarray(label)
            if label.shape != (num_rows,):
                raise ValueError(
                    f"`label` must be int [{num_rows}]. "
                    f"Received: {label.dtype} of shape {label.shape}."
                )
            check_labels(label, -1, self.num_classes)
            return {"label": label.astype(np.int32)}
        label = assert_labels(label, -1, self.num_classes)
        if label.shape.rank != 1 or not label.dtype.is_integer:
            raise ValueError(
                "`label` must be int [B]. "
                f"Received: {label.dtype.name} of shape {tuple(label.shape)}."
            )
        return {"label": tf.cast(label, tf.int32)}
