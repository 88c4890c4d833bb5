"""Chooses the configuration of `zoo.Detector`'s table model on made-up tables with made-up
anomalies.

    python benchmarks/choose_detector.py --json benchmarks/results/choose_detector.json
    python benchmarks/choose_detector.py --normal-rows DIRECTORY \
        --json benchmarks/results/choose_detector_steps.json

No table of `benchmarks/anomaly.py` is read here: what is chosen was fixed before a label of them
was. Its starting point is a configuration that was found on those tables (see
`benchmarks/README.md`); this script decides what is changed of it.

Three kinds of tables of 1,600 normal rows: a curved manifold with noise, six clusters, and columns
of which some are skewed and some rounded. Three kinds of anomalies, after those that ADBench makes
(Han et al., NeurIPS 2022, section 3.2): a third of the columns without their dependence on the
others, noise added to a row, and a cluster beside the center. Half of the normal rows train.

AUROC x 100 on the other half and 200 anomalies. The candidate with the greatest mean is chosen, and
of those within 0.3 the one with the least -log p(x) of held-out normal rows.

The second command decides how long is trained, by -log p(x) of normal rows alone: those that train
in ADBench's tables, of which the detector spares some for its threshold. No anomaly is read and no
normal row of the test. Of candidates within 0.1 of the lowest mean rank over the tables, the one
of the fewest steps is chosen.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import anomaly
import numpy as np
import scipy.stats
from sklearn.metrics import roc_auc_score

import zoo
from zoo.detection import Settings

NORMAL_ROWS, ANOMALIES = 1600, 200
TABLES = {"manifold": 20, "clusters": 10, "mixed": 12}
# Where the choice began; `Settings()` is where it ended.
BASE = Settings(least_scale=0.1)
# Name -> (settings, arguments of the detector).
CANDIDATES = {
    "two members": (BASE, {}),
    "one member": (BASE, {"num_members": 1, "num_samples": 32}),
    "least_scale 0.05": (dataclasses.replace(BASE, least_scale=0.05), {}),
    "least_scale 0.2": (dataclasses.replace(BASE, least_scale=0.2), {}),
    "jitter 0": (dataclasses.replace(BASE, jitter=0.0), {}),
    "jitter 0.1": (dataclasses.replace(BASE, jitter=0.1), {}),
    "latent_dim 4": (dataclasses.replace(BASE, latent_dim=4), {}),
}
# Name -> training steps for each row, and the most. Twice as many as 1,600 take longer than half a
# minute on 10,000 rows.
STEPS = {
    "0.75 a row, 800": (0.75, 800),
    "0.75 a row, 1600": (0.75, 1600),
    "1.5 a row, 1600": (1.5, 1600),
    "3 a row, 1600": (3.0, 1600),
}
LEAST_STEPS = 300


def normal_rows(kind, num_columns, generator):
    """A function of n that draws n rows [n, C]."""
    num_factors = max(2, num_columns // 4)
    if kind == "manifold":
        inner = generator.normal(size=(num_factors, 32))
        outer = generator.normal(size=(32, num_columns)) / np.sqrt(32)

        def draw(n):
            factors = generator.normal(size=(n, num_factors))
            return np.tanh(factors @ inner) @ outer + 0.1 * generator.normal(size=(n, num_columns))
    elif kind == "clusters":
        centers = 2 * generator.normal(size=(6, num_columns))
        shapes = 0.7 * generator.normal(size=(6, num_columns, num_columns)) / np.sqrt(num_columns)

        def draw(n):
            number = generator.integers(0, 6, n)
            noise = generator.normal(size=(n, num_columns))
            return centers[number] + np.einsum("nc,ncd->nd", noise, shapes[number])
    else:
        loadings = generator.normal(size=(num_factors, num_columns)) / np.sqrt(num_factors)

        def draw(n):
            x = generator.normal(size=(n, num_factors)) @ loadings
            x += 0.3 * generator.normal(size=(n, num_columns))
            x[:, ::3] = np.exp(x[:, ::3])
            x[:, 1::3] = np.round(x[:, 1::3])
            return x

    return draw


def anomalies(draw, generator):
    """Kind -> rows [200, C] that are odd."""
    rows, others = draw(ANOMALIES), draw(ANOMALIES)
    num_columns, spread = rows.shape[1], draw(NORMAL_ROWS).std(axis=0)
    dependency = rows.copy()
    for column in generator.choice(num_columns, max(1, num_columns // 3), replace=False):
        dependency[:, column] = generator.permutation(others[:, column])
    direction = generator.choice([-1.0, 1.0], num_columns)
    return {
        "dependency": dependency,
        "noise": rows + 0.4 * spread * generator.normal(size=rows.shape),
        "cluster": draw(ANOMALIES) * 0.3 + 1.2 * spread * direction,
    }


def measure(settings, arguments, seed):
    """Rows of the table: one for each made-up table, a dict."""
    rows = []
    for number, (kind, num_columns) in enumerate(TABLES.items()):
        generator = np.random.default_rng([seed, number])
        draw = normal_rows(kind, num_columns, generator)
        train, normal = draw(NORMAL_ROWS // 2), draw(NORMAL_ROWS // 2)
        odd = anomalies(draw, generator)
        start = time.perf_counter()
        detector = zoo.Detector(settings=settings, seed=seed, **arguments).fit(train)
        scores = detector.anomaly_score(normal)
        row = {"table": kind, "nll": float(scores.mean())}
        truth = np.repeat([0, 1], [len(normal), ANOMALIES])
        for name, x in odd.items():
            both = np.concatenate([scores, detector.anomaly_score(x)])
            row[name] = 100 * float(roc_auc_score(truth, both))
        rows.append({**row, "seconds": time.perf_counter() - start})
    return rows


def choose_by_anomalies(seed, path):
    """Settings, on made-up tables."""
    kinds, found = ("dependency", "noise", "cluster"), {}
    print(f"{'candidate':18} {'AUROC':>6} {'nll':>7}  " + "  ".join(f"{k:>10}" for k in kinds))
    for name, (settings, options) in CANDIDATES.items():
        rows = measure(settings, options, seed)
        by_kind = {kind: float(np.mean([row[kind] for row in rows])) for kind in kinds}
        mean, nll = np.mean(list(by_kind.values())), np.mean([row["nll"] for row in rows])
        found[name] = {
            "settings": dataclasses.asdict(settings),
            "arguments": options,
            "auroc": float(mean),
            "nll": float(nll),
            "tables": rows,
        }
        print(
            f"{name:18} {mean:6.2f} {nll:7.3f}  "
            + "  ".join(f"{by_kind[kind]:10.2f}" for kind in kinds),
            flush=True,
        )
        write(path, found)
    best = max(number["auroc"] for number in found.values())
    close = [name for name, number in found.items() if number["auroc"] >= best - 0.3]
    print("chosen:", min(close, key=lambda name: found[name]["nll"]))


def choose_by_normal_rows(directory, seed, path):
    """The number of steps, by held-out normal rows of real tables."""
    found = {}
    for table, X, y in anomaly.tables(directory):
        train, _, _ = anomaly.split(X, y, seed)
        found[table] = {}
        for name, (per_row, most) in STEPS.items():
            steps = int(np.clip(round(per_row * len(train), -2), LEAST_STEPS, most))
            start = time.perf_counter()
            detector = zoo.Detector(steps=steps, seed=seed).fit(train)
            found[table][name] = {
                "nll": float(np.mean(detector.calibration_scores_)),
                "steps": steps,
                "seconds": time.perf_counter() - start,
            }
        nlls = "  ".join(f"{found[table][name]['nll']:10.3f}" for name in STEPS)
        print(f"{table:18} {len(train):6}  {nlls}", flush=True)
        write(path, found)
    nlls = np.array([[row[name]["nll"] for name in STEPS] for row in found.values()])
    ranks = scipy.stats.rankdata(nlls, axis=1).mean(axis=0)
    for name, rank in zip(STEPS, ranks, strict=True):
        print(f"{name:18} mean rank {rank:.2f}")
    close = [name for name, rank in zip(STEPS, ranks, strict=True) if rank <= ranks.min() + 0.1]
    print("chosen:", close[0])


def write(path, found):
    if path:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument(
        "--normal-rows", type=Path, metavar="DIRECTORY", help="choose the number of steps"
    )
    arguments = parser.parse_args()
    if arguments.normal_rows:
        choose_by_normal_rows(arguments.normal_rows, arguments.seed, arguments.json)
    else:
        choose_by_anomalies(arguments.seed, arguments.json)


if __name__ == "__main__":
    main()
