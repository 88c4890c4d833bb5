"""Whether a model generates: are its codes where the prior draws them, is its decoder smooth, and
do prior draws look like data?

One definition each that fits a VAE and a deterministic autoencoder alike, so that the two can be
compared.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.extras import need
from zoo.models.autoencoder import Autoencoder
from zoo.models.base import Model
from zoo.models.vae import VAE
from zoo.observations.image import to_unit_interval
from zoo.random import RowNoise

if TYPE_CHECKING:  # `python -m` runs that module: it must not be imported with the package
    from zoo.evaluation.classifier import Reader


def sliced_wasserstein(codes: Any, draws: Any, num_directions: int = 500, seed: int = 0) -> float:
    """Sliced 2-Wasserstein distance between two samples of equal size, in units of the latent
    space.

    Args:
        codes: Float array [N, D], such as draws from the aggregate posterior, or an autoencoder's
            codes.
        draws: Float array [N, D], such as draws from the prior.
        num_directions: Random directions that both are projected on.
        seed: Of the directions.

    Returns:
        sqrt of the mean over directions of the squared 1-D distance, which sorting gives exactly.

    Raises:
        ValueError: If the shapes differ.

    Reference:
        Rabin, Peyre, Delon & Bernot, "Wasserstein barycenter and its application to texture
        mixing", SSVM 2011, definition 2.
    """
    codes, draws = np.asarray(codes, np.float64), np.asarray(draws, np.float64)
    if codes.shape != draws.shape or codes.ndim != 2:
        raise ValueError(
            f"Both samples must have one shape [N, D]. Received: {codes.shape} and {draws.shape}."
        )
    directions = np.random.default_rng(seed).normal(size=(codes.shape[1], num_directions))
    directions /= np.linalg.norm(directions, axis=0)
    difference = np.sort(codes @ directions, axis=0) - np.sort(draws @ directions, axis=0)
    return float(np.sqrt(np.mean(difference**2)))


def continuity(
    decode: Callable[[np.ndarray], Any],
    codes: np.ndarray,
    images: Any,
    step: float = 0.05,
    seed: int = 0,
) -> dict[str, float]:
    """How far an image moves when its code moves a little: a Lipschitz-type ratio, small where
    neighbours decode to neighbours.

    Each code goes `step` of the way to another code that is drawn at random. Distances are in units
    of the root mean square distance between random codes, and between random images, so that the
    scale of a latent space plays no part: a decoder that is linear between codes has a ratio of
    about 1.

    Args:
        decode: Function z [N, D] -> images [N, ...].
        codes: Float array [N, D].
        images: Array [N, ...] of the same images.
        step: Share of the way.
        seed: Of the pairs.

    Returns:
        Dict of the `median` and the 99th percentile (`p99`) of the ratio over pairs.
    """
    other = np.random.default_rng(seed).permutation(len(codes))
    moved = codes + step * (codes[other] - codes)

    def distance(a, b):
        a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (a, b))
        return np.linalg.norm(a - b, axis=1)

    def spread(values):
        return np.sqrt(np.mean(distance(values, np.asarray(values)[other]) ** 2))

    kept = other != np.arange(len(codes))
    of_images = distance(decode(moved), decode(codes)) / spread(images)
    of_codes = distance(moved, codes) / spread(codes)
    ratio = of_images[kept] / of_codes[kept]
    return {"median": float(np.median(ratio)), "p99": float(np.percentile(ratio, 99))}


def precision(generated: Any, real: Any, num_neighbours: int = 3) -> float:
    """Share of generated points inside the manifold of real ones: within some real point's distance
    to its k-th neighbour.

    Args:
        generated: Features [M, F].
        real: Features [N, F] of real images.
        num_neighbours: k.

    Returns:
        Share in [0, 1].

    Reference:
        Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models",
        NeurIPS 2019, eqs. 1 and 2.
        https://arxiv.org/abs/1904.06991
    """
    need("metrics", "Precision and recall")
    from sklearn.neighbors import NearestNeighbors

    generated, real = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    neighbours = NearestNeighbors(n_neighbors=num_neighbours + 1).fit(real)
    # The first neighbour of a point is the point itself.
    radii = neighbours.kneighbors(real)[0][:, -1]
    inside = np.zeros(len(generated), bool)
    for first in range(0, len(generated), 500):
        part = generated[first : first + 500]
        squared = (part**2).sum(1)[:, None] + (real**2).sum(1)[None] - 2 * part @ real.T
        inside[first : first + 500] = np.any(squared <= radii[None] ** 2 + 1e-12, axis=1)
    return float(inside.mean())


def frechet_distance(generated: Any, real: Any) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) between normal distributions of the two means and
    covariances: FID, of any features.

    Args:
        generated, real: Features [M, F] and [N, F].

    Returns:
        The distance, in squared units of the features: it means nothing beside one of other
        features.

    Raises:
        ValueError: If there are fewer images than features, or one is not finite.

    Reference:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium", NeurIPS 2017, eq. 6.
        https://arxiv.org/abs/1706.08500
    """
    generated, real = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    if (
        generated.ndim != 2
        or generated.shape[1:] != real.shape[1:]
        or min(len(generated), len(real)) <= real.shape[1]
    ):
        raise ValueError(
            "More images than features are needed, [M, F] and [N, F]. Received: "
            f"{generated.shape} and {real.shape}."
        )
    if not (np.isfinite(generated).all() and np.isfinite(real).all()):
        raise ValueError("Features must be finite. Received: NaN or infinity.")
    difference = generated.mean(axis=0) - real.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (generated, real)]
    # tr (C C')^(1/2) = sum of the roots of the eigenvalues of C C', which are real and not negative
    # up to rounding.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0.0))
    return float(
        difference @ difference
        + np.trace(covariances[0])
        + np.trace(covariances[1])
        - 2.0 * roots.sum()
    )


def quality(
    model: Model,
    examples: Mapping[str, Any],
    reader: "Reader",
    num_images: int = 5000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """How samples look beside images, in the features of a classifier: Frechet distance, precision
    and recall.

    Samples are means of p(x|z) at z ~ p(z), of random classes where the model is conditional on
    one; images are those of the examples in grey.

    Args:
        model: A model that generates.
        examples: Dict with images, of the test split.
        reader: A `zoo.evaluation.classifier.Reader`.
        num_images: Images and samples that are used.
        seed: Of the samples.

    Returns:
        Dict of numbers `fid`, `precision` and `recall`, each a dict of `value`, `unit`,
        `num_examples` and `features`.

    Raises:
        ValueError: If the model does not generate by itself.
    """
    num_classes = model.num_classes
    if "sample" not in model.answers() or (
        model.condition_shape is not None and model.condition_shape != (num_classes,)
    ):
        raise ValueError(
            f"{type(model).__name__} draws no images by itself, so that there is nothing to judge."
        )
    images = np.asarray(to_unit_interval(np.asarray(examples[model.key][:num_images])))
    samples = []
    for first in range(0, len(images), 1000):
        rows = np.arange(first, min(first + 1000, len(images)), dtype=np.int32)
        condition = None
        if model.condition_shape is not None:
            condition = np.random.default_rng((seed, first)).integers(0, num_classes, len(rows))
        answer = model.generate(RowNoise(seed, 0, rows), condition)
        samples.append(np.asarray(answer["reconstruction"]))
    generated, real = reader.features(np.concatenate(samples)), reader.features(images)
    card = reader.card
    features = "of a classifier"
    if card:
        features = f"{card['num_features']} of the {card['data']} classifier"
        features += f" ({card['accuracy']:.4f} accurate)"
    scores = {
        "fid": {"value": frechet_distance(generated, real), "unit": "squared features"},
        "precision": {"value": precision(generated, real), "unit": "share"},
        "recall": {"value": precision(real, generated), "unit": "share"},
    }
    return {
        name: {**score, "num_examples": len(images), "features": features}
        for name, score in scores.items()
    }


def compare(
    model: VAE | Autoencoder,
    examples: Mapping[str, Any],
    reader: "Reader",
    num_images: int = 5000,
    seed: int = 0,
) -> dict[str, Any]:
    """All of the above for one model.

    Codes are draws from q(z|x), an autoencoder's codes themselves; images are the means of p(x|z).

    Args:
        model: A `zoo.VAE` or `zoo.Autoencoder`.
        examples: Dict with images, of the test split.
        reader: A `zoo.evaluation.classifier.Reader`, whose features `precision` is measured in.
        num_images: Images, and draws from N(0, I), that are used.
        seed: Of all draws.

    Returns:
        Dict of numbers: `sliced_wasserstein` and what it is between two samples of the prior
        (`sliced_wasserstein_of_prior`), `continuity`, `precision` of decoded prior draws and
        `precision_of_reconstructions`, `recall` (the share of the images inside the manifold of
        decoded prior draws: the same paper's measure of what a model leaves out), and the rms
        `reconstruction_error` a pixel.
    """
    generator = np.random.default_rng(seed)
    images = np.asarray(examples[model.key][:num_images], np.float32) / np.float32(255)
    codes = _codes(model, images, generator)
    draws, others = (generator.normal(size=codes.shape).astype(np.float32) for _ in range(2))
    real = reader.features(images)

    def decode(z):
        parts = np.array_split(z, max(1, len(z) // 1000))
        return np.concatenate([np.asarray(model.decode(part).mean()) for part in parts])

    reconstructions, generated = decode(codes), reader.features(decode(draws))
    return {
        "sliced_wasserstein": sliced_wasserstein(codes, draws, seed=seed),
        "sliced_wasserstein_of_prior": sliced_wasserstein(others, draws, seed=seed),
        "continuity": continuity(decode, codes, images, seed=seed),
        "precision": precision(generated, real),
        "recall": precision(real, generated),
        "precision_of_reconstructions": precision(reader.features(reconstructions), real),
        "reconstruction_error": float(np.sqrt(np.mean((reconstructions - images) ** 2))),
        "num_images": len(images),
    }


def _codes(model, images, generator):
    q = [model.encode(part) for part in np.array_split(images, max(1, len(images) // 1000))]
    if model.latents:
        q = [part.mean() + part.stddev() * generator.normal(size=part.mean().shape) for part in q]
    return np.concatenate([np.asarray(part, np.float32) for part in q])
