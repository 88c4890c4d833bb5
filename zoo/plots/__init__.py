"""Pictures: each function returns a Matplotlib figure, and writes it where a path is given.

Figures are made without `pyplot`: they need no display, leave the user's backend alone, and are
gone when nobody holds them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from zoo.extras import need
from zoo.models.anomaly_model import AnomalyModel
from zoo.models.vq_vae import VQVAE
from zoo.observations import Counts, Image, Table

need("plots", "Pictures")

from zoo.plots.anomalies import contributions, scores
from zoo.plots.codebook import codebook
from zoo.plots.codes import aggregate_posterior, factor_maps, has_code_of_normals, latent_maps
from zoo.plots.counts import count_marginals
from zoo.plots.curves import curves, importance_curve, rate_distortion
from zoo.plots.figures import check_suffix
from zoo.plots.groups import group_kls
from zoo.plots.imputation import imputations
from zoo.plots.latents import interpolations, manifold, traversals
from zoo.plots.principal import latent_pca
from zoo.plots.sheets import completions, decoded_draws, reconstructions, samples, transfers
from zoo.plots.tables import marginals

__all__ = [
    "aggregate_posterior",
    "check_suffix",
    "codebook",
    "completions",
    "contributions",
    "count_marginals",
    "curves",
    "decoded_draws",
    "factor_maps",
    "group_kls",
    "has_code_of_normals",
    "importance_curve",
    "imputations",
    "interpolations",
    "latent_maps",
    "latent_pca",
    "manifold",
    "marginals",
    "pictures",
    "rate_distortion",
    "reconstructions",
    "samples",
    "scores",
    "transfers",
    "traversals",
]


def pictures(model: keras.Model, examples: Mapping[str, Any], directory: Path) -> None:
    """Writes the pictures that suit a model into a directory.

    Args:
        model: A trained model of the zoo.
        examples: Dict with x [N, ...], and "label" where there are labels.
        directory: `pathlib.Path`.
    """
    if isinstance(model, AnomalyModel):
        scores(
            model.scores(examples),
            examples.get("anomaly"),
            model.threshold,
            noun=model.observation.noun,
            path=directory / "scores.png",
        )
    if model.observation.missing and "complete" in examples:
        imputations(model, examples, path=directory / "imputations.png")
    if isinstance(model.observation, Counts) and dict(model.latent_shapes).get("z", (1,)) != (1,):
        latent_pca(model, examples, path=directory / "latent_pca.png")
    if isinstance(model.observation, Counts) and model.latents:
        count_marginals(model, examples, path=directory / "count_marginals.png")
    if isinstance(model.observation, Table):
        marginals(model, examples, path=directory / "marginals.png")
    if isinstance(model.observation, Image):
        _pictures_of_images(model, examples, directory)


def _pictures_of_images(model, examples, directory):
    answers = model.answers()
    if model.visible is not None:
        completions(model, examples, path=directory / "completions.png")
    else:
        reconstructions(model, examples, path=directory / "reconstructions.png")
        if "sample" in answers:
            samples(model, path=directory / "samples.png")
    if isinstance(model, VQVAE):
        codebook(model, path=directory / "codebook.png")
    if "transfer" in answers:
        transfers(model, examples, path=directory / "transfers.png")
    shapes = dict(model.latent_shapes)
    if list(shapes.values()) == [(2,)] and "label" in examples:
        latent_maps({"": model}, examples, path=directory / "latent_map.png")
    if list(shapes.values()) == [(2,)] and model.condition_shape is None and model.visible is None:
        manifold(model, path=directory / "manifold.png")
    if "factors" in examples and set(shapes) == {"z"} and shapes["z"] != (1,):
        factor_maps(model, examples, path=directory / "factor_maps.png")
    if has_code_of_normals(model) and model.visible is None:
        traversals(model, examples, path=directory / "traversals.png")
