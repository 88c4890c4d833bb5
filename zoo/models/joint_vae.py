"""JointVAE: class and style without a label, each kept informative by a capacity of its own.

    loss = -E_q[log p(x|y, z)] + gamma |KL_z - C_z(step)| + gamma |KL_y - C_y(step)|

where both KL are means over the batch. Dupont, "Learning disentangled joint continuous and discrete
representations", NeurIPS 2018, eq. 7. https://arxiv.org/abs/1804.00104
"""

from typing import Any

import keras

from zoo import validation
from zoo.inference import Capacity
from zoo.models.class_style_vae import ClassStyleVAE
from zoo.schedules import Schedule, as_schedule


@keras.saving.register_keras_serializable(package="zoo")
class JointVAE(ClassStyleVAE):
    """`ClassStyleVAE` with capacities.

    Args:
        parts: As in `ClassStyleVAE`.
        style_capacity: C_z in nats, a number or a schedule of `zoo.schedules`.
        class_capacity: C_y in nats. It cannot usefully exceed log K.
        gamma: Weight of the distance to the capacities.
        others: As in `ClassStyleVAE`.
    """

    def __init__(
        self,
        *parts: keras.layers.Layer,
        style_capacity: float | Schedule,
        class_capacity: float | Schedule,
        gamma: float = 30.0,
        **others: Any,
    ) -> None:
        super().__init__(*parts, **others)
        self.style_capacity = as_schedule(style_capacity, "style_capacity")
        self.class_capacity = as_schedule(class_capacity, "class_capacity")
        self.gamma = validation.non_negative("gamma", gamma)
        self.regularize_by(
            Capacity({"z": self.style_capacity, "y": self.class_capacity}, self.gamma)
        )
