"""Tensors -> parameters: the neural networks between images and latents, with no probability
inside.

Every network has the same contract: `network(x, condition=None, training=None)` takes x [B, ...] of
any shape and an optional condition [B, ...], and returns [B, output_size]; networks of maps, which
are the parts of others, return maps [B, H, W, filters]. Any Keras layer or model with that contract
fits in its place; those that do nothing else in training need not name
`training`, and those of unconditional models need not know of conditions.
"""

from zoo.networks.calls import (
    apply,
    over_conditions,
    over_maps,
    over_pairs,
    over_samples,
    reason_of,
    set_output_bias,
    unfold,
)
from zoo.networks.codes import CodeNetwork
from zoo.networks.convolutional import ConvDecoder, ConvEncoder
from zoo.networks.mlp import MLP
from zoo.networks.pixel_cnn import GatedPixelCNN
from zoo.networks.residual import (
    ConvBlock,
    ResidualBlock,
    SelfAttention,
    StateUpdate,
    Upsample,
)
from zoo.networks.residual_coders import ResidualDecoder, ResidualEncoder
from zoo.networks.transformer import CausalTransformer, MaskedTransformer

__all__ = [
    "MLP",
    "CausalTransformer",
    "CodeNetwork",
    "ConvBlock",
    "ConvDecoder",
    "ConvEncoder",
    "GatedPixelCNN",
    "MaskedTransformer",
    "ResidualBlock",
    "ResidualDecoder",
    "ResidualEncoder",
    "SelfAttention",
    "StateUpdate",
    "Upsample",
    "apply",
    "over_conditions",
    "over_maps",
    "over_pairs",
    "over_samples",
    "reason_of",
    "set_output_bias",
    "unfold",
]
