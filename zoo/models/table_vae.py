"""A variational autoencoder of the rows of a table: dense networks, and a likelihood by column.

Kingma & Welling, ICLR 2014, with the mixed likelihoods of Nazabal et al., "Handling incomplete
heterogeneous data using VAEs", Pattern Recognition 107, 2020. https://arxiv.org/abs/1807.03653
"""

from collections.abc import Sequence
from typing import Any

from zoo.layers import Columns, DiagonalNormal
from zoo.models.vae import VAE
from zoo.networks import MLP
from zoo.observations.rows import Rows


def table_vae(
    table: Rows,
    *,
    hidden_units: Sequence[int] = (128, 128),
    activation: str = "silu",
    latent_dim: int | None = None,
    real: str | tuple[str, int] = "student_t",
    least_scale: float = 0.1,
    **kwargs: Any,
) -> VAE:
    """A VAE of tables with these columns.

    Args:
        table: What a row is, such as `zoo.Table.of(data)`.
        hidden_units: Units of the encoder's hidden layers; the decoder has them in reverse.
        activation: Of hidden layers, as in Keras.
        latent_dim: D; by default half of the columns, at most 16.
        real: The likelihood of real columns, as in `zoo.layers.Columns`.
        least_scale: As in `zoo.layers.Columns`, in standard deviations of a standardized column.
        kwargs: `objective`, `prior`, `seed` and others of `zoo.VAE`.
    """
    if latent_dim is None:
        latent_dim = min(16, max(1, len(table.columns) // 2))
    posterior = DiagonalNormal(latent_dim)
    likelihood = Columns.of(table, real=real, least_scale=least_scale)
    return VAE(
        encoder=MLP(tuple(hidden_units), posterior.num_params, activation),
        decoder=MLP(tuple(reversed(hidden_units)), likelihood.num_params, activation),
        posterior=posterior,
        likelihood=likelihood,
        observation=table,
        **kwargs,
    )
