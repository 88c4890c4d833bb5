"""Judging a trained model: numbers over a whole split, each example once."""

from zoo.evaluation.likelihood import evaluate as evaluate
