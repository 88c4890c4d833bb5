"""What commands do with models of tables: rows read from files, and written to them."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import data, validation
from zoo.cli.asked import temperature
from zoo.evaluation.anomalies import contributions
from zoo.files import write_atomically
from zoo.models.anomaly_model import rate
from zoo.observations import Table
from zoo.observations.frames import as_frame
from zoo.store import pretrained
from zoo.validation import shown

WRITES = (".csv", ".parquet")
# Columns that are named of a row.
NUM_REASONS = 3


def is_table(path: str | None) -> bool:
    """Whether a path is that of a file of rows."""
    return path is not None and Path(path).suffix.lower() in WRITES


def draws_rows(model: Any, arguments: argparse.Namespace) -> bool:
    """Whether `zoo sample` is to write rows.

    Raises:
        ValueError: If what was asked for is not what the model draws.
    """
    of_rows = isinstance(model.observation, Table)
    if of_rows:
        _assert_writes(arguments.out)
    elif arguments.num_rows is not None or arguments.given or is_table(arguments.out):
        raise ValueError(
            "Rows are drawn by models of tables. Received: a model of "
            f"{model.observation.noun}s of shape {shown(model.observation.shape)}."
        )
    return of_rows


def sample(model: Any, name: str, arguments: argparse.Namespace) -> str:
    """The path of the rows that `zoo sample` has written."""
    path, num_rows = arguments.out or f"{name}_rows.csv", arguments.num_rows or 1000
    given = _given(model.observation, arguments.given)
    if given and arguments.temperature:
        raise ValueError(
            "Rows that are drawn with --given have no temperature. Received: --temperature "
            f"{arguments.temperature[0]}."
        )
    if given:
        rows = model.sample_given(num_rows, given, seed=arguments.seed)
    else:
        chosen = temperature(arguments.temperature)
        rows = model.sample(num_rows, seed=arguments.seed, temperature=chosen)
    _write(rows, path)
    return path


def detect(arguments: argparse.Namespace) -> list[str]:
    """What `zoo detect` prints, once its scores are written."""
    from zoo.detection.conformal import p_values

    _assert_writes(arguments.out)
    wanted, seed = rate(arguments.false_alarms), validation.seed(arguments.seed)
    model, name, recipe = _open_table(arguments.target)
    rows = as_frame(arguments.file)
    # Rows that training did not see say what is usual.
    dataset = recipe.dataset
    normal = data.load(dataset, dataset.validation, data_dir=arguments.data_dir)["table"]
    usual = -np.asarray(model.log_prob(normal, seed=seed))
    scores = -np.asarray(model.log_prob(rows, seed=seed))
    ps = p_values(usual, scores)
    odd = ps <= wanted
    nats, names = contributions(model, rows, seed=seed)
    excess = nats - np.median(contributions(model, normal, seed=seed)[0], axis=0)
    found = rows.assign(score=scores, p_value=ps, is_anomaly=odd, because=_reasons(names, excess))[
        ["score", "p_value", "is_anomaly", "because"]
    ]
    path = arguments.out or f"{name}_scores.csv"
    _write(found, path)
    lines = [
        f"{odd.sum():,} of {len(rows):,} rows are odder than all but {wanted:g} of "
        f"{len(usual):,} validation rows.",
    ]
    for row in np.argsort(-scores)[:5]:
        lines.append(f"    row {row}: {scores[row]:.2f} nats; {found['because'][row]}")
    return [*lines, f"Scores: {path}"]


def impute(arguments: argparse.Namespace) -> list[str]:
    """What `zoo impute` prints, once the filled rows are written."""
    _assert_writes(arguments.out)
    model, name, _ = _open_table(arguments.target)
    rows = as_frame(arguments.file)
    columns = [field.name for field in model.observation.fields if field.name in rows]
    gaps = int(rows[columns].isna().to_numpy().sum())
    filled = model.impute(rows, arguments.num_samples, seed=arguments.seed).imputed
    path = arguments.out or f"{name}_imputed.csv"
    _write(filled, path)
    return [f"{gaps:,} gaps of {len(rows):,} rows are filled.", f"Rows: {path}"]


def _open_table(target):
    model, name, recipe = pretrained.open_model(target)
    if not isinstance(model.observation, Table):
        raise ValueError(
            "Rows are taken by models of tables. Received: a model of "
            f"{model.observation.noun}s of shape {shown(model.observation.shape)}."
        )
    return model, name, recipe


def _reasons(names, excess):
    """The columns that are the most above what is usual, in words: a text for each row."""
    texts = []
    for row in excess:
        worst = [number for number in np.argsort(-row)[:NUM_REASONS] if row[number] > 0]
        texts.append(", ".join(f"{names[number]} (+{row[number]:.1f})" for number in worst))
    return texts


def _given(table, assignments):
    """Column -> value of texts such as "job=cook"."""
    given, kinds = {}, {field.name: field for field in table.fields}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator or name not in kinds:
            raise ValueError(
                f"--given takes COLUMN=VALUE, with one of the columns {', '.join(kinds)}. "
                f"Received: --given {text}."
            )
        given[name] = value if kinds[name].served == tf.string else _number(text, value)
    return given


def _number(text, value):
    try:
        return float(value)
    except ValueError:
        raise ValueError(
            f"--given takes a number for this column. Received: --given {text}."
        ) from None


def _assert_writes(path):
    if path is not None and not is_table(path):
        raise ValueError(f"Rows are written as .csv or .parquet. Received: --out {path}.")


def _write(frame, path):
    """Writes a DataFrame, whole or not at all."""
    parquet = Path(path).suffix.lower() == ".parquet"
    content = frame.to_parquet(index=False) if parquet else frame.to_csv(index=False).encode()
    write_atomically(Path(path), content)
