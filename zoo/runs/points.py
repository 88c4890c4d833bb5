"""The points of a sweep: what is measured of each, their means over seeds, their table."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import data
from zoo.evaluation.likelihood import ACTIVE_VARIANCE
from zoo.random import EVALUATION_STEP, RowNoise
from zoo.runs.run import Run

# Examples held at once when active units are counted.
BATCH_SIZE = 500


def assert_has_rate(model: keras.Model, label: str) -> None:
    """Raises ValueError unless a model has the two metrics that a sweep compares."""
    names = model.term_names
    if "log_likelihood" not in names or not {"kl", "kl_monte_carlo"} & set(names):
        family = type(model).__name__
        raise ValueError(
            f"A sweep compares the metrics `kl` and `log_likelihood`. Received: {label}, a "
            f"{family} with {', '.join(names)}."
        )


def measure(run: Run, label: str, data_dir: str | Path | None = None) -> dict[str, Any]:
    """A point as it stands in sweep.json: its label and arguments, the means of its validation
    metrics (nats) and its active units."""
    dataset = run.task.dataset
    examples = data.load(dataset, dataset.validation, data_dir=data_dir)
    numbers = {
        name.removeprefix("val_").removesuffix("_monte_carlo"): value
        for name, value in run.record["numbers"].items()
    }
    active, latent_dim = active_units(run.load_model(), examples)
    return {
        "label": label,
        "arguments": run.record["arguments"],
        **numbers,
        "active_units": active,
        "latent_dim": latent_dim,
    }


def active_units(model: keras.Model, examples: dict[str, Any]) -> tuple[int, int]:
    """Number of latent dimensions that tell examples apart, Var_x E_q[z] > 0.01 (Burda et al. 2016,
    section 5.2), and number of all.

    Args:
        model: A compiled `zoo.VAE`.
        examples: Dict of data [N, ...]; binarized as in validation.
    """
    examples = model.standardize(examples)
    num_rows = data.num_examples(examples)
    means = []
    for first in range(0, num_rows, BATCH_SIZE):
        rows = np.arange(first, min(first + BATCH_SIZE, num_rows))
        noise = RowNoise(model.seed, EVALUATION_STEP, tf.constant(rows, tf.int32))
        batch = model.prepare(
            {name: tf.constant(np.asarray(array[rows])) for name, array in examples.items()}, noise
        )
        means.append(np.concatenate(list(model.latent_means(batch).values()), axis=-1))
    variances = np.concatenate(means).var(axis=0)
    return int((variances > ACTIVE_VARIANCE).sum()), len(variances)


def means_over_seeds(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points that differ in their seed alone, taken together.

    Args:
        points: As `measure` gives them.

    Returns:
        List of dicts: `label` and `arguments` without the seed, the `seeds`, and for every number
        its `mean` and `std`, the sample standard deviation between seeds. Points with one seed are
        left out.
    """
    groups = {}
    for point in points:
        others = {name: value for name, value in point["arguments"].items() if name != "seed"}
        groups.setdefault(json.dumps(others), []).append(point)
    means = []
    for group in groups.values():
        if len(group) < 2:
            continue
        label = ",".join(
            part for part in group[0]["label"].split(",") if not part.startswith("seed=")
        )
        arguments = {name: value for name, value in group[0]["arguments"].items() if name != "seed"}
        numbers = {}
        for name in group[0].keys() - {"label", "arguments", "latent_dim"}:
            values = [point[name] for point in group]
            numbers[name] = {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}
        seeds = [point["arguments"]["seed"] for point in group]
        means.append(
            {
                "label": label or "all",
                "arguments": arguments,
                "seeds": seeds,
                **dict(sorted(numbers.items())),
            }
        )
        means[-1]["latent_dim"] = group[0]["latent_dim"]
    return means


def table(path: str | Path) -> str:
    """The points of a sweep's directory as lines of text, and the means over seeds below them where
    there are some."""
    record = json.loads((Path(path) / "sweep.json").read_text(encoding="utf-8"))
    names = ("elbo", "log_likelihood", "kl")
    rows: list[tuple[str, ...]] = [("validation, nats", *names, "active units")]
    for point in record["points"]:
        active = f"{point['active_units']} of {point['latent_dim']}"
        rows.append((point["label"], *(f"{point[name]:.3f}" for name in names), active))
    for mean in record.get("means", []):
        label = f"{mean['label']}: mean of {len(mean['seeds'])} seeds ± deviation"
        cells = [f"{mean[name]['mean']:.3f} ± {mean[name]['std']:.3f}" for name in names]
        active = "{mean:.1f} ± {std:.1f}".format(**mean["active_units"])
        rows.append((label, *cells, f"{active} of {mean['latent_dim']}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *others = widths
    return "\n".join(
        "  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in rows
    )
