"""JointVAE: class and style without a label, each kept informative by a capacity of its own.

    loss = -E_q[log p(x|y, z)] + gamma |KL_z - C_z(step)| + gamma |KL_y - C_y(step)|

where both KL are means over the batch. Dupont, "Learning disentangled joint continuous and discrete representations", NeurIPS 2018,
eq. 7. https://arxiv.org/abs/1804.00104
"""

import keras
import tensorflow as tf

from zoo import validation
from zoo.models.class_style_vae import ClassStyleVAE
from zoo.schedules import as_schedule
from zoo.shards import batch_mean


@keras.saving.register_keras_serializable(package="zoo")
class JointVAE(ClassStyleVAE):
    """`ClassStyleVAE` with capacities.

    Args:
        style_capacity: C_z in nats, a number or a schedule of `zoo.schedules`.
        class_capacity: C_y in nats. It cannot usefully exceed log K.
        gamma: Weight of the distance to the capacities.
        Others: As in `ClassStyleVAE`.
    """

    _PARTS = {**ClassStyleVAE._PARTS, "style_capacity": "style_capacity", "class_capacity": "class_capacity"}
    weighs_kl = True
    batch_statistics = True

    def __init__(self, *args, style_capacity, class_capacity, gamma=30.0, **kwargs):
        self.style_capacity = as_schedule(style_capacity, "style_capacity")
        self.class_capacity = as_schedule(class_capacity, "class_capacity")
        self.gamma = validation.non_negative("gamma", gamma)
        super().__init__(*args, **kwargs)

    def regularizer(self, out):
        kl = {name: batch_mean(value) for name, value in self.kl_by_latent(out).items()}
        step = self.training_step
        return self.gamma * (tf.abs(kl["z"] - self.style_capacity(step)) + tf.abs(kl["y"] - self.class_capacity(step)))

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
