"""How far each latent takes after one factor: scores in [0, 1] of codes [N, D] beside ground-truth
factors [N, K].

Codes are posterior means; factors are integers, such as those of `zoo.data.sprites`. Every score
follows its paper in the form that disentanglement_lib gave it (Locatello et al., "Challenging
common assumptions in the unsupervised learning of disentangled representations", ICML 2019,
https://arxiv.org/abs/1811.12359), with one difference for all: disentanglement_lib draws new images
from the data set for every score, where here all of it is drawn from the N rows that were given.
Rows that share a factor's value are looked up among them, and models are fitted on a random half
and scored on the other.
"""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from zoo.extras import need

need("metrics", "Scores beside known factors")

from joblib import Parallel, delayed
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC

NUM_BINS = 20
# Rows of one vote (FactorVAE) or pairs of one difference (beta-VAE), votes to fit with and votes to
# score with.
VOTE_ROWS, FITTED_VOTES, SCORED_VOTES = 64, 10_000, 5_000
# A latent whose variance is below this is taken for switched off, where codes of N(0, I) have 1.
ACTIVE_VARIANCE = 0.05
MIN_ROWS = 200


def scores(
    codes: Any, factors: Any, metrics: str | Iterable[str] = "all", seed: int = 0
) -> dict[str, float]:
    """Scores by name.

    Args:
        codes: Float array [N, D].
        factors: Int array [N, K].
        metrics: "all", or names out of `METRICS`.
        seed: Of the draws and halves.

    Returns:
        Dict of name -> score. `dci` gives three: `dci_disentanglement`, `dci_completeness`,
        `dci_informativeness`.

    Raises:
        ValueError: If a metric is unknown, there are fewer than 200 rows, the two arrays do not fit
            each other, a code is not finite or a factor has one value only.
    """
    names = list(METRICS) if metrics == "all" else list(metrics)
    unknown = sorted(set(names) - METRICS.keys())
    if unknown or not names:
        raise ValueError(
            f"`metrics` must be 'all' or some of {', '.join(METRICS)}. Received: "
            f"{', '.join(unknown) or 'none'}."
        )
    codes, factors = _checked(codes, factors)
    found = {}
    for name in names:
        score = METRICS[name](codes, factors, seed)
        found |= score if isinstance(score, dict) else {name: score}
    return {name: float(score) for name, score in found.items()}


def beta_vae(codes: Any, factors: Any, seed: int = 0) -> float:
    """Accuracy of a linear classifier that reads from mean |z - z'| over pairs of rows which factor
    they share.

    Higgins et al., ICLR 2017, section 3. https://openreview.net/forum?id=Sy2fzU9gl
    """
    codes, factors = _checked(codes, factors)
    generator = np.random.default_rng(seed)
    rows_of = _Groups(factors)

    def differences(num_votes):
        shared = generator.integers(factors.shape[1], size=num_votes)
        first = generator.integers(len(codes), size=(num_votes, VOTE_ROWS))
        second = rows_of.draw(generator, shared[:, None], first)
        return np.abs(codes[first] - codes[second]).mean(axis=1), shared

    classifier = LogisticRegression(max_iter=1000).fit(*differences(FITTED_VOTES))
    return classifier.score(*differences(SCORED_VOTES))


def factor_vae(codes: Any, factors: Any, seed: int = 0) -> float:
    """Accuracy of a majority vote that reads from the latent that varies least, over rows that
    share a factor, which one it is.

    Latents that are switched off do not vote; 0 where all are.

    Kim & Mnih, "Disentangling by factorising", ICML 2018, section 4.
    https://arxiv.org/abs/1802.05983
    """
    codes, factors = _checked(codes, factors)
    variances = codes.var(axis=0, ddof=1)
    active = variances >= ACTIVE_VARIANCE
    if not active.any():
        return 0.0
    codes = codes[:, active] / np.sqrt(variances[active])
    generator = np.random.default_rng(seed)
    rows_of = _Groups(factors)

    def votes(num_votes):
        shared = generator.integers(factors.shape[1], size=num_votes)
        anchor = generator.integers(len(codes), size=num_votes)
        rows = rows_of.draw(
            generator, shared[:, None], np.broadcast_to(anchor[:, None], (num_votes, VOTE_ROWS))
        )
        return codes[rows].var(axis=1, ddof=1).argmin(axis=1), shared

    table = np.zeros((codes.shape[1], factors.shape[1]))
    np.add.at(table, votes(FITTED_VOTES), 1)
    least, shared = votes(SCORED_VOTES)
    return np.mean(table.argmax(axis=1)[least] == shared)


def mig(codes: Any, factors: Any, seed: int = 0) -> float:
    """Mutual information gap: by how much the latent that knows most about a factor surpasses the
    next, in units of its entropy.

    Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in VAEs", NeurIPS 2018, eq.
    6. https://arxiv.org/abs/1802.04942
    """
    codes, factors = _checked(codes, factors)
    information = np.sort(_mutual_information(codes, factors), axis=0)  # [D, K]
    second = information[-2] if len(information) > 1 else 0.0
    entropy = [mutual_info_score(factor, factor) for factor in factors.T]
    return np.mean((information[-1] - second) / entropy)


def modularity(codes: Any, factors: Any, seed: int = 0) -> float:
    """How much each latent knows about one factor only: 1 - sum_{f != f*} I_f^2 / (I_f*^2 (K - 1)),
    the mean over latents.

    A latent that knows about none counts 0.

    Ridgeway & Mozer, "Learning deep disentangled embeddings with the F-statistic loss", NeurIPS
    2018, section 3.
    https://arxiv.org/abs/1802.05312
    """
    codes, factors = _checked(codes, factors)
    squares = _mutual_information(codes, factors) ** 2  # [D, K]
    most = squares.max(axis=1)
    rest = squares.sum(axis=1) - most
    spread = np.divide(
        rest, most * max(1, factors.shape[1] - 1), out=np.ones_like(most), where=most > 0
    )
    return np.mean(1.0 - spread)


def sap(codes: Any, factors: Any, seed: int = 0) -> float:
    """Separated attribute predictability: by how much the best single latent predicts a factor
    better than the next one, in accuracy.

    Kumar, Sattigeri & Balakrishnan, "Variational inference of disentangled latent concepts from
    unlabeled observations", ICLR 2018, section 3. https://arxiv.org/abs/1711.00848. The predictor
    is disentanglement_lib's: a linear support vector machine, C = 0.01.
    """
    codes, factors = _checked(codes, factors)
    fitted, scored = _halves(len(codes), seed)

    def accuracy(latent, factor):
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a latent that does not know
            return machine.fit(codes[fitted, latent, None], factors[fitted, factor]).score(
                codes[scored, latent, None], factors[scored, factor]
            )

    shape = codes.shape[1], factors.shape[1]
    accuracies = Parallel(n_jobs=-1, prefer="threads")(
        delayed(accuracy)(*pair) for pair in np.ndindex(shape)
    )
    accuracies = np.sort(np.fromiter(accuracies, np.float64).reshape(shape), axis=0)
    return np.mean(accuracies[-1] - (accuracies[-2] if len(accuracies) > 1 else 0.0))


def dci(codes: Any, factors: Any, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, from the importance of each latent to a
    predictor of each factor.

    Disentanglement is 1 - the entropy of a latent's importances over factors (in units of log K),
    weighted by its share of all importance; completeness is the same for a factor over latents;
    informativeness is the accuracy.

    Eastwood & Williams, "A framework for the quantitative evaluation of disentangled
    representations", ICLR 2018. https://openreview.net/forum?id=By-7dz-AZ. The predictor is
    disentanglement_lib's: gradient-boosted trees.
    """
    codes, factors = _checked(codes, factors)
    fitted, scored = _halves(len(codes), seed)

    def predict(factor):
        trees = GradientBoostingClassifier(random_state=0).fit(
            codes[fitted], factors[fitted, factor]
        )
        return trees.feature_importances_, trees.score(codes[scored], factors[scored, factor])

    order = np.argsort([-len(np.unique(factor)) for factor in factors.T])  # the longest first
    importances, accuracies = zip(
        *Parallel(n_jobs=-1, prefer="threads")(delayed(predict)(factor) for factor in order),
        strict=True,
    )
    importances = np.stack(importances, axis=1) + 1e-11  # [D, K]
    total = importances.sum()
    of_latents, of_factors = (
        np.sum(importances.sum(axis=axis) / total * (1.0 - _entropy(importances, axis=axis)))
        for axis in (1, 0)
    )
    return {
        "dci_disentanglement": of_latents,
        "dci_completeness": of_factors,
        "dci_informativeness": np.mean(accuracies),
    }


METRICS = {
    "beta_vae": beta_vae,
    "factor_vae": factor_vae,
    "mig": mig,
    "sap": sap,
    "dci": dci,
    "modularity": modularity,
}


class _Groups:
    """Rows by the value of each factor."""

    def __init__(self, factors: np.ndarray) -> None:
        # [K, N] each: rows sorted by each factor, and the first and the number of those like a row.
        self.order = np.argsort(factors, axis=0, kind="stable").T
        ordered = np.take_along_axis(factors, self.order.T, axis=0).T
        pairs = list(zip(ordered, factors.T, strict=True))
        self.first = np.stack([np.searchsorted(o, f, "left") for o, f in pairs])
        self.size = np.stack([np.searchsorted(o, f, "right") for o, f in pairs]) - self.first

    def draw(
        self, generator: np.random.Generator, factor: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """For each of `rows`, a random row that has the same value of `factor`."""
        factor = np.broadcast_to(factor, rows.shape)
        offset = (generator.random(rows.shape) * self.size[factor, rows]).astype(np.int64)
        return self.order[factor, self.first[factor, rows] + offset]


def _mutual_information(codes, factors):
    """I(z_d; f_k) in nats [D, K], of codes in 20 bins of equal width."""
    binned = [np.digitize(code, np.histogram_bin_edges(code, NUM_BINS)[1:-1]) for code in codes.T]
    return np.array([[mutual_info_score(code, factor) for factor in factors.T] for code in binned])


def _entropy(importances, axis):
    """Entropy of the shares along an axis, in units of that of equal shares; 0 where there is only
    one."""
    shares = importances / importances.sum(axis=axis, keepdims=True)
    return -np.sum(shares * np.log(shares), axis=axis) / np.log(max(2, importances.shape[axis]))


def _halves(num_rows, seed):
    order = np.random.default_rng(seed).permutation(num_rows)
    return order[: num_rows // 2], order[num_rows // 2 :]


def _checked(codes, factors):
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if (
        codes.ndim != 2
        or factors.ndim != 2
        or len(codes) != len(factors)
        or not factors.shape[1]
        or not codes.shape[1]
    ):
        raise ValueError(
            "Codes [N, D] and factors [N, K] are needed. "
            f"Received: shapes {codes.shape} and {factors.shape}."
        )
    if len(codes) < MIN_ROWS:
        raise ValueError(f"At least {MIN_ROWS} rows are needed. Received: {len(codes)}.")
    if not np.isfinite(codes).all():
        raise ValueError(
            f"Codes must be finite. Received: {int((~np.isfinite(codes)).any(axis=1).sum())} "
            "rows with NaN or infinity."
        )
    if factors.dtype.kind not in "iu":
        raise ValueError(f"Factors must be integers. Received: dtype {factors.dtype}.")
    constant = [k for k, factor in enumerate(factors.T) if (factor == factor[0]).all()]
    if constant:
        raise ValueError(
            "A factor with one value cannot be told from the others. Received: factor "
            f"{constant[0]} is constant."
        )
    return codes, factors
