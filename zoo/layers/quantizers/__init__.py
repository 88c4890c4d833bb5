"""Quantizers: vectors in, codes and their vectors out."""

from zoo.layers.quantizers.base import Quantized, Quantizer
from zoo.layers.quantizers.fsq import FSQ
from zoo.layers.quantizers.grouped import GroupedQuantizer
from zoo.layers.quantizers.lookup_free import LookupFree
from zoo.layers.quantizers.residual import ResidualQuantizer
from zoo.layers.quantizers.vector import VectorQuantizer

__all__ = [
    "FSQ",
    "GroupedQuantizer",
    "LookupFree",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "VectorQuantizer",
]
