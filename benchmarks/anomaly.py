"""Anomaly detection on the 33 tables of ADBench that `zoo.Detector` is judged by, beside detectors
of PyOD.

    python benchmarks/anomaly.py DIRECTORY --records runs/anomaly.jsonl \
        --json benchmarks/results/anomaly.json

DIRECTORY holds ADBench's classical tables as they come, `<number>_<name>.npz` with X and y (Han et
al., "ADBench", NeurIPS 2022, https://arxiv.org/abs/2206.09426).

One class: a random half of the normal rows trains, the other half and all anomalies are the test.
Of tables with more than 10,000 rows a random 10,000 are taken first. Both follow from the seed.
Columns are standardized by the training rows. AUROC x 100, means over 5 seeds.

One configuration serves all tables: the default of `zoo.Detector`, which `choose_detector.py` chose
on made-up tables. Its calibration rows come out of the training half.

Published numbers beside ours are those of Livernoche et al., "On Diffusion Modeling for Anomaly
Detection", ICLR 2024 (https://arxiv.org/abs/2305.18593), as its repository vicliv/DTE prints them.
That repository splits in the order of the file, and first draws 1,000 rows with replacement from
tables with fewer: in those eight tables (marked *) copies of training rows are in its test. Here
they are not, so those rows cannot be compared; a second mean is over the other tables.

A run goes on where it was stopped: what is in the records is not measured again.
"""

import argparse
import datetime
import importlib.metadata
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from train_step import machine, versions

MOST_ROWS, FALSE_ALARM_RATE = 10_000, 0.05
# Fewer rows than this are drawn with replacement by the published numbers' code.
DUPLICATED_BELOW = 1000
# Published: VAE, isolation forest, kNN, DTE-NP.
PUBLISHED = {
    "aloi": (54.04, 50.74, 51.04, 51.19),
    "annthyroid": (85.44, 90.28, 92.81, 92.90),
    "breastw": (99.22, 99.50, 99.05, 99.28),
    "campaign": (77.07, 73.64, 78.48, 78.79),
    "cardio": (96.55, 93.32, 92.00, 91.80),
    "cardiotocography": (78.90, 74.24, 62.11, 63.76),
    "celeba": (80.32, 71.23, 73.14, 70.40),
    "donors": (88.60, 89.44, 99.49, 99.26),
    "fault": (55.87, 55.86, 58.73, 58.64),
    "hepatitis": (84.84, 82.69, 96.46, 93.22),
    "http": (99.94, 99.35, 100.00, 99.98),
    "landsat": (54.22, 58.80, 68.25, 68.20),
    "letter": (30.23, 32.04, 35.43, 34.38),
    "lymphography": (99.88, 99.45, 99.93, 99.93),
    "magic.gamma": (70.64, 77.09, 83.27, 83.57),
    "mammography": (89.58, 88.02, 87.58, 87.62),
    "musk": (100.00, 90.58, 100.00, 100.00),
    "optdigits": (58.17, 81.07, 93.72, 94.28),
    "pageblocks": (86.16, 82.64, 89.65, 89.32),
    "pendigits": (94.50, 97.22, 99.87, 99.61),
    "pima": (73.18, 74.26, 76.94, 81.50),
    "satellite": (74.14, 77.46, 82.24, 82.11),
    "satimage-2": (98.98, 99.12, 99.71, 99.67),
    "spambase": (81.40, 85.18, 83.36, 83.74),
    "stamps": (93.28, 93.47, 95.89, 97.87),
    "thyroid": (98.55, 98.96, 98.68, 98.63),
    "vowels": (52.12, 61.83, 82.21, 81.42),
    "waveform": (64.84, 72.29, 75.21, 74.48),
    "wbc": (99.25, 99.41, 99.12, 99.54),
    "wdbc": (99.14, 98.73, 99.05, 99.52),
    "wilt": (35.41, 47.97, 63.66, 62.91),
    "wpbc": (54.42, 56.33, 63.67, 83.16),
    "yeast": (42.39, 41.80, 44.74, 44.58),
}


def pyod_model(name, seed):
    """A detector of PyOD with its defaults."""
    if name == "pyod_knn":
        from pyod.models.knn import KNN

        return KNN()
    if name == "pyod_iforest":
        from pyod.models.iforest import IForest

        return IForest(random_state=seed)
    from pyod.models.vae import VAE

    return VAE(random_state=seed, verbose=0)


def score_zoo(detectors, train, test, seed):
    """Scores [N] of test rows, and which of them are called anomalies. A detector serves the seeds
    of a table, so that its program is compiled once."""
    import zoo

    if not detectors:
        detectors.append(zoo.Detector(false_alarm_rate=FALSE_ALARM_RATE))
    detector = detectors[0].set_params(seed=seed).fit(train)
    scores = detector.anomaly_score(test)
    return scores, scores > detector.threshold_


def score_pyod(name, train, test, seed):
    """Scores [N] of test rows."""
    scaler = StandardScaler().fit(train)
    detector = pyod_model(name, seed).fit(scaler.transform(train))
    return np.nan_to_num(detector.decision_function(scaler.transform(test))), None


def tables(directory: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, rows [N, C] and truth [N] of each table, the smallest first."""
    for path in sorted(directory.glob("*.npz"), key=lambda path: path.stat().st_size):
        with np.load(path) as archive:
            X, y = archive["X"].astype(np.float64), archive["y"].astype(int).ravel()
        yield path.stem.partition("_")[2].lower(), X, y


def split(X, y, seed):
    """Training rows, test rows and the truth of these."""
    generator = np.random.default_rng(seed)
    if len(X) > MOST_ROWS:
        kept = generator.choice(len(X), MOST_ROWS, replace=False)
        X, y = X[kept], y[kept]
    normal = generator.permutation(np.flatnonzero(y == 0))
    half = len(normal) // 2
    test = np.concatenate([normal[half:], np.flatnonzero(y == 1)])
    return X[normal[:half]], X[test], y[test]


def measure(contender, detectors, X, y, seed):
    """One record: a dict."""
    train, test, truth = split(X, y, seed)
    start = time.perf_counter()
    if contender == "zoo":
        scores, alarms = score_zoo(detectors, train, test, seed)
    else:
        scores, alarms = score_pyod(contender, train, test, seed)
    record = {
        "auroc": 100 * float(roc_auc_score(truth, scores)),
        "seconds": time.perf_counter() - start,
        "rows": len(X),
        "train": len(train),
    }
    if alarms is not None:
        record["false_alarms"] = float(alarms[truth == 0].mean())
    return record


def run(directory, contenders, seeds, records):
    """Measures what the file of records lacks."""
    done = {
        tuple(record[key] for key in ("contender", "table", "seed")) for record in read(records)
    }
    for contender in contenders:
        for name, X, y in tables(directory):
            detectors = []
            for seed in range(seeds):
                if (contender, name, seed) in done:
                    continue
                record = measure(contender, detectors, X, y, seed)
                record = {"contender": contender, "table": name, "seed": seed, **record}
                with records.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{contender:14} {name:18} {seed} {record['auroc']:7.2f}", flush=True)


def read(records):
    if not records.exists():
        return []
    return [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]


def report(records):
    """The table as lines of text."""
    contenders = list(dict.fromkeys(record["contender"] for record in records))
    found = {}
    for record in records:
        found.setdefault((record["contender"], record["table"]), []).append(record)
    small = {record["table"] for record in records if record["rows"] < DUPLICATED_BELOW}
    names = sorted({record["table"] for record in records})
    published = ("VAE", "IForest", "kNN", "DTE-NP")
    yield (
        f"{'table':18}" + "".join(f"{name:>14}" for name in contenders) + "   published: "
        + " ".join(f"{name:>7}" for name in published)
    )  # fmt: skip

    def mean(contender, tables):
        values = [
            np.mean([record["auroc"] for record in found[contender, name]])
            for name in tables
            if (contender, name) in found
        ]
        return f"{np.mean(values):14.2f}" if len(values) == len(tables) and tables else f"{'':14}"

    for name in names:
        yield (
            f"{name + ('*' if name in small else ''):18}"
            + "".join(mean(contender, [name]) for contender in contenders)
            + " " * 14
            + " ".join(f"{value:7.2f}" for value in PUBLISHED[name])
        )
    groups = {"mean": names, "mean without *": [name for name in names if name not in small]}
    for title, tables_of_group in groups.items():
        values = np.array([PUBLISHED[name] for name in tables_of_group])
        yield (
            f"{title:18}"
            + "".join(mean(contender, tables_of_group) for contender in contenders)
            + " " * 14
            + " ".join(f"{value:7.2f}" for value in values.mean(axis=0))
        )
    alarms = [
        np.mean([record["false_alarms"] for record in found["zoo", name]])
        for name in names
        if ("zoo", name) in found
    ]
    if alarms:
        yield f"false alarms of zoo on held-out normal rows: {100 * np.mean(alarms):.2f} %"
    for contender in contenders:
        seconds = [record["seconds"] for record in records if record["contender"] == contender]
        middle, most = np.median(seconds), max(seconds)
        yield f"seconds a table, {contender}: median {middle:.1f}, most {most:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="of ADBench's tables")
    parser.add_argument(
        "--contenders",
        nargs="+",
        default=["zoo", "pyod_knn", "pyod_iforest", "pyod_vae"],
        choices=["zoo", "pyod_knn", "pyod_iforest", "pyod_vae"],
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--records", type=Path, required=True, help="JSON lines, which it goes on")
    parser.add_argument("--json", type=Path, help="write all records, with machine and versions")
    arguments = parser.parse_args()
    run(arguments.directory, arguments.contenders, arguments.seeds, arguments.records)
    records = read(arguments.records)
    print("\n".join(report(records)))
    if arguments.json:
        content = {
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": versions()
            | {name: importlib.metadata.version(name) for name in ("pyod", "scikit-learn")},
            "records": records,
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
