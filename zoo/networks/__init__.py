"""Tensors -> parameters: the neural networks between images and latents, with no probability
inside.

Every network has the same contract: `network(x, condition=None, training=None)` takes x [B, ...] of
any shape and an optional condition [B, ...], and returns [B, output_size]. Any Keras layer or model
with that contract fits in its place; those that do nothing else in training need not name
`training`, and those of unconditional models need not know of conditions.
"""

from zoo.networks.calls import apply as apply
from zoo.networks.calls import over_conditions as over_conditions
from zoo.networks.calls import over_maps as over_maps
from zoo.networks.calls import over_pairs as over_pairs
from zoo.networks.calls import over_samples as over_samples
from zoo.networks.calls import reason_of as reason_of
from zoo.networks.calls import set_output_bias as set_output_bias
from zoo.networks.calls import unfold as unfold
from zoo.networks.convolutional import ConvDecoder as ConvDecoder
from zoo.networks.convolutional import ConvEncoder as ConvEncoder
from zoo.networks.mlp import MLP as MLP
