"""Synthetic rows: ours and those of ctgan's TVAE beside real ones.

    python benchmarks/synthesis.py RUN_OR_RECIPE [RUN_OR_RECIPE ...] --target income \
        --positive ">50K" --ctgan --data-dir DIR --json FILE

Each target is a trained model of the same table, such as runs with several seeds. As many rows as
trained are drawn of each, from seed 0, and compared with the test rows
(`zoo.evaluation.synthesis`): similarity of columns and of pairs of columns, F1 of four classifiers
that are trained on the drawn rows, and the distance to the closest training row, beside that of the
test rows. `--ctgan` trains the authors' TVAE with its own defaults on the same rows, as many times,
where ctgan is installed. Choices are made with `--split validation`. Results are kept after each
model, and found again.
"""

import argparse
import datetime
import json
import time
from pathlib import Path

import numpy as np

from zoo import data
from zoo.evaluation import synthesis
from zoo.runs.training import machine
from zoo.store import pretrained

# Rows whose distance to the training rows is measured, the first.
NUM_DISTANCES = 2000


def measure(table, synthetic, train, test, target, positive, seed):
    alike = synthesis.similarity(table, test, synthetic)
    f1 = synthesis.machine_learning_f1(table, synthetic, test, target, positive, seed)
    distances = synthesis.closest_distances(table, synthetic[:NUM_DISTANCES], train)
    return {
        **{name: alike[name] for name in ("column_similarity", "pair_similarity")},
        "machine_learning_f1": f1["mean"],
        "f1_by_classifier": f1,
        "closest_record": float(np.median(distances)),
        "identical": float((distances == 0).mean()),
    }


def of_ctgan(table, train, seed):
    import torch
    from ctgan import TVAE

    torch.manual_seed(seed)
    np.random.seed(seed)  # ctgan draws from it
    discrete = [column.name for column in table.modelled if column.kind in ("category", "binary")]
    model = TVAE()
    model.fit(train, discrete)
    return model.sample(len(train))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="+", metavar="RUN_OR_RECIPE")
    parser.add_argument("--target", required=True, help="column that classifiers predict")
    parser.add_argument("--positive", required=True, help="its value that F1 is of")
    parser.add_argument("--ctgan", action="store_true", help="beside ctgan's TVAE")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--data-dir", metavar="DIR")
    parser.add_argument("--json", metavar="FILE", required=True)
    arguments = parser.parse_args()

    opened = [pretrained.open_model(target) for target in arguments.targets]
    dataset, table = opened[0][2].dataset, opened[0][0].observation
    train, test = (
        data.load(dataset.name, split, data_dir=arguments.data_dir)["table"]
        for split in (dataset.train, getattr(dataset, arguments.split))
    )
    path = Path(arguments.json)
    record = json.loads(path.read_text()) if path.is_file() else {"rows": []}
    record |= {"machine": machine(), "date": datetime.date.today().isoformat()}
    done = {(row["model"], row["seed"]) for row in record["rows"]}

    def keep(model, seed, make):
        if (model, seed) in done:
            return
        start = time.perf_counter()
        rows = make()
        seconds = time.perf_counter() - start
        measured = measure(table, rows, train, test, arguments.target, arguments.positive, seed)
        record["rows"].append({"model": model, "seed": seed, "seconds": seconds, **measured})
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    for seed, (model, name, _) in enumerate(opened):
        keep("real rows", seed, lambda: train)
        keep(name, seed, lambda model=model: model.sample(len(train)))
        if arguments.ctgan:
            keep("ctgan's TVAE", seed, lambda seed=seed: of_ctgan(table, train, seed))
    distances = synthesis.closest_distances(table, test[:NUM_DISTANCES], train)
    record["closest_record_of_test_rows"] = float(np.median(distances))
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(markdown(record))


def markdown(record):
    names = ("column_similarity", "pair_similarity", "machine_learning_f1", "closest_record")
    lines = [
        "| rows | models | similarity of columns | of pairs | F1 on real test rows | "
        "median distance to the closest training row |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model in dict.fromkeys(row["model"] for row in record["rows"]):
        rows = [row for row in record["rows"] if row["model"] == model]
        cells = [spread([row[name] for row in rows]) for name in names]
        lines.append(f"| {model} | {len(rows)} | {' | '.join(cells)} |")
    distance = record["closest_record_of_test_rows"]
    lines.append(f"| test rows | | | | | {distance:.4f} |")
    return "\n".join(lines)


def spread(values):
    error = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{error}"


if __name__ == "__main__":
    main()
