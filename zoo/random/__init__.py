"""Draws by row: one seed, the same numbers everywhere, and rules for the families of
distributions."""

from zoo.random.draws import draw as draw
from zoo.random.draws import draw_elementwise as draw_elementwise
from zoo.random.draws import draw_elementwise_bernoulli as draw_elementwise_bernoulli
from zoo.random.draws import draw_elementwise_half_normal as draw_elementwise_half_normal
from zoo.random.draws import draw_elementwise_normal as draw_elementwise_normal
from zoo.random.draws import draw_independent as draw_independent
from zoo.random.draws import draw_mixture as draw_mixture
from zoo.random.draws import draw_multivariate_normal as draw_multivariate_normal
from zoo.random.draws import draw_one_hot as draw_one_hot
from zoo.random.draws import gumbel as gumbel
from zoo.random.noise import EVALUATION_STEP as EVALUATION_STEP
from zoo.random.noise import RowNoise as RowNoise
from zoo.random.noise import Stream as Stream
from zoo.random.noise import layer_noise as layer_noise
from zoo.random.noise import layers_draw as layers_draw
from zoo.random.noise import permutation as permutation
from zoo.random.noise import threefry as threefry
