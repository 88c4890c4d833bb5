"""How synthetic rows resemble real ones: by column, by pairs of columns, by what classifiers learn
from them, and how near they lie to the rows that were trained on.

    column similarity    1 - KS distance of numbers, 1 - total variation of categories
    pair similarity      1 - |correlation - correlation| / 2 of numbers, 1 - total variation of the
                         joint shares of categories
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.extras import need
from zoo.observations.column import Category, Column, Constant
from zoo.observations.number_columns import Binary
from zoo.observations.table import Table
from zoo.validation import shown

# Classes that a number is cut into beside a category.
NUM_BINS = 10
# Rows that are compared with all training rows at once.
CHUNK = 200


def similarity(table: Table, real: Any, synthetic: Any) -> dict[str, Any]:
    """How alike two tables are, in [0, 1]; 1 of two that are the same.

    Args:
        table: The columns.
        real, synthetic: Tables as `zoo.Table` takes them.

    Returns:
        Dict of `column_similarity` and `pair_similarity`, means over the columns and pairs that are
        modelled, and `by_column`, name -> similarity.

    Reference:
        Xu et al., NeurIPS 2019, section 5; SDMetrics' KSComplement, TVComplement,
        CorrelationSimilarity and ContingencySimilarity.
    """
    need("metrics", "Similarities of tables")
    columns = [field for field in table.fields if not isinstance(field, Constant)]
    real, synthetic = (_numbers(columns, rows) for rows in (real, synthetic))
    by_column = {
        column.name: _alike(real[column.name], synthetic[column.name], _is_class(column))
        for column in columns
    }
    pairs = [
        _pair(real, synthetic, first, second)
        for first, second in itertools.combinations(columns, 2)
    ]
    return {
        "column_similarity": float(np.mean(list(by_column.values()))),
        "pair_similarity": float(np.mean(pairs)) if pairs else 1.0,
        "by_column": by_column,
    }


def machine_learning_f1(
    table: Table,
    synthetic: Any,
    test: Any,
    target: str,
    positive: Any,
    seed: int = 0,
) -> dict[str, float]:
    """F1 of classifiers that are trained on synthetic rows, on real ones.

    The classifiers of Xu et al. 2019, section 5 and its supplement: a decision tree, AdaBoost,
    logistic regression and a multilayer perceptron.

    Args:
        table: The columns.
        synthetic: Rows to train on.
        test: Real rows, none of which the model of `synthetic` was trained on.
        target: Name of the column to predict.
        positive: The value of it that F1 is of.
        seed: Of the classifiers.

    Returns:
        Name -> F1, and "mean".

    Raises:
        ValueError: If there is no such column.
    """
    need("metrics", "Classifiers")
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.neural_network import MLPClassifier
    from sklearn.tree import DecisionTreeClassifier

    if target not in [field.name for field in table.modelled]:
        raise ValueError(
            f"`target` must be a column of the table. Received: target={shown(target)}."
        )
    classifiers = {
        "decision_tree": DecisionTreeClassifier(max_depth=15, random_state=seed),
        "ada_boost": AdaBoostClassifier(random_state=seed),
        "logistic_regression": LogisticRegression(max_iter=500),
        "mlp": MLPClassifier((50,), max_iter=50, early_stopping=True, random_state=seed),
    }
    x, y = _features(table, synthetic, target, positive)
    x_test, y_test = _features(table, test, target, positive)
    scores = {
        name: float(f1_score(y_test, classifier.fit(x, y).predict(x_test)))
        for name, classifier in classifiers.items()
    }
    return {**scores, "mean": float(np.mean(list(scores.values())))}


def closest_distances(table: Table, rows: Any, training: Any) -> np.ndarray:
    """The distance of each row to the closest training row, [N]: the mean over columns of the
    distance of standardized numbers, and of 1 where categories differ.

    Where synthetic rows are nearer to the training rows than real rows that were not trained on
    are, the model has memorized.
    """
    columns = table.modelled
    rows, training = (_numbers(columns, each) for each in (rows, training))
    scales = {
        column.name: 1.0 if _is_class(column) else np.nanstd(training[column.name]) or 1.0
        for column in columns
    }
    distances = []
    for first in range(0, len(next(iter(rows.values()))), CHUNK):
        total = np.zeros(1)
        for column in columns:
            part = rows[column.name][first : first + CHUNK, None]
            difference = np.abs(part - training[column.name]) / scales[column.name]
            total = total + ((difference > 0) if _is_class(column) else difference)
        distances.append((total / len(columns)).min(axis=1))
    return np.concatenate(distances)


def _numbers(columns: Sequence[Column], rows: Any) -> dict[str, np.ndarray]:
    from zoo.observations.frames import as_frame

    frame = as_frame(rows)
    return {column.name: column.numbers(frame[column.name]) for column in columns}


def _is_class(column):
    return isinstance(column, Category | Binary)


def _alike(real, synthetic, is_class):
    from scipy import stats

    real, synthetic = real[~np.isnan(real)], synthetic[~np.isnan(synthetic)]
    if not is_class:
        found: Any = stats.ks_2samp(real, synthetic)  # its stub knows no names
        return 1.0 - float(found.statistic)
    return 1.0 - _total_variation(real[:, None], synthetic[:, None])


def _pair(real: Mapping, synthetic: Mapping, first: Column, second: Column) -> float:
    of_real, of_synthetic = (
        np.stack([rows[first.name], rows[second.name]], axis=-1) for rows in (real, synthetic)
    )
    of_real, of_synthetic = (rows[~np.isnan(rows).any(axis=-1)] for rows in (of_real, of_synthetic))
    if not (_is_class(first) or _is_class(second)):
        correlations = [_correlation(rows) for rows in (of_real, of_synthetic)]
        return 1.0 - abs(correlations[0] - correlations[1]) / 2.0
    for axis, column in enumerate((first, second)):
        if not _is_class(column):
            edges = np.quantile(of_real[:, axis], np.linspace(0, 1, NUM_BINS + 1)[1:-1])
            for rows in (of_real, of_synthetic):
                rows[:, axis] = np.searchsorted(edges, rows[:, axis])
    return 1.0 - _total_variation(of_real, of_synthetic)


def _correlation(rows):
    if (rows.std(axis=0) == 0).any():  # of a constant there is none
        return 0.0
    return float(np.corrcoef(rows, rowvar=False)[0, 1])


def _total_variation(real, synthetic):
    """Half the sum of differences between the shares of distinct rows."""
    both, numbers = np.unique(np.concatenate([real, synthetic]), axis=0, return_inverse=True)
    numbers = numbers.ravel()
    shares = [
        np.bincount(part, minlength=len(both)) / len(part)
        for part in (numbers[: len(real)], numbers[len(real) :])
    ]
    return float(np.abs(shares[0] - shares[1]).sum() / 2.0)


def _features(table, rows, target, positive):
    """Standardized numbers and one-hot categories [N, F], and whether the target is `positive`
    [N]."""
    from zoo.observations.frames import as_frame

    frame = as_frame(rows)
    parts = []
    for column in table.modelled:
        numbers = column.numbers(frame[column.name])
        if column.name == target:
            continue
        if isinstance(column, Category):
            parts.append(np.eye(len(column.categories))[np.nan_to_num(numbers).astype(int)])
        else:
            low, high = column.bounds if not isinstance(column, Binary) else (0.0, 1.0)
            parts.append(np.nan_to_num((numbers - low) / (high - low))[:, None])
    return np.concatenate(parts, axis=1), (frame[target] == positive).to_numpy()
