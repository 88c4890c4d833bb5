"""Judging a trained model: numbers over a whole split, each example once; what its latents hold;
scores beside known factors."""

from zoo.evaluation.latents import LatentMonitor, LatentReader
from zoo.evaluation.likelihood import evaluate

__all__ = [
    "LatentMonitor",
    "LatentReader",
    "evaluate",
]
