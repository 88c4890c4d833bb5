"""Draws by row: one seed, the same numbers everywhere, and rules for the families of
distributions."""

from zoo.random.draws import (
    draw,
    draw_elementwise,
    draw_elementwise_bernoulli,
    draw_elementwise_half_normal,
    draw_elementwise_normal,
    draw_independent,
    draw_mixture,
    draw_multivariate_normal,
    draw_one_hot,
    gumbel,
)
from zoo.random.noise import (
    EVALUATION_STEP,
    RowNoise,
    Stream,
    layer_noise,
    layers_draw,
    permutation,
    threefry,
)

__all__ = [
    "EVALUATION_STEP",
    "RowNoise",
    "Stream",
    "draw",
    "draw_elementwise",
    "draw_elementwise_bernoulli",
    "draw_elementwise_half_normal",
    "draw_elementwise_normal",
    "draw_independent",
    "draw_mixture",
    "draw_multivariate_normal",
    "draw_one_hot",
    "gumbel",
    "layer_noise",
    "layers_draw",
    "permutation",
    "threefry",
]
