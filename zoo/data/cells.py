"""Cells and the transcripts that were counted of their genes."""

import functools
from pathlib import Path
from typing import Any, cast

import numpy as np

from zoo.data.examples import known_split
from zoo.data.tables import find_file
from zoo.extras import need
from zoo.observations import Counts

COUNTS = Counts.key
# Name, address and sha256.
WORM_NEURONS = (
    "worm_neuron_cell.h5",
    "https://raw.githubusercontent.com/ttgump/scDeepCluster/"
    "ff7f29d003be7112c6a3dcab37c44d461423647d/scRNA-seq%20data/worm_neuron_cell.h5",
    "4f2a3c4b8492bcd11d957a8a74098ba258c271d714718c175854a7c44b1e31e6",
)
# Shares of the cells, in a fixed random order.
PARTS = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}
NUM_GENES = 2000
ROWS_AT_ONCE = 500  # 13,488 genes of float64: 54 MB


def worm_neurons(split: str, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Neurons of the worm C. elegans: 4,186 cells of 10 types, of which 70 % train, 10 % validate
    and 20 % test.

    Of the 13,488 genes the 2,000 are kept that vary most over the training cells
    (`most_variable`).

    Cao et al., "Comprehensive single-cell transcriptional profiling of a multicellular organism",
    Science 357, 2017; the file of Tian et al., "Clustering single-cell RNA-seq data with a
    model-based deep learning approach", Nature Machine Intelligence 1, 2019 (Apache-2.0).

    Args:
        split: "train", "validation" or "test".
        data_dir: Directory that holds `worm_neuron_cell.h5`, or a directory `tables` with it. Where
            it is in neither it is downloaded.

    Returns:
        Dict of "counts" int32 [N, 2000] and "label" int32 [N], the type of each cell, 0 ... 9.

    Raises:
        ValueError: If the file is not there and cannot be downloaded, or is another one.
    """
    known_split("worm_neurons", split, PARTS)
    need("cells", "Cells")
    return _splits(find_file(*WORM_NEURONS, data_dir))[split]


@functools.lru_cache(maxsize=1)
def _splits(path):
    """Split -> its examples; the arrays are shared between calls."""
    import h5py

    with h5py.File(path) as file:
        # Its stub knows that a name may be a group as well.
        x, types = cast("h5py.Dataset", file["X"]), np.asarray(file["Y"])
        rows = range(0, len(x), ROWS_AT_ONCE)
        counts = np.concatenate([x[i : i + ROWS_AT_ONCE].astype(np.int32) for i in rows])
    labels = np.unique(types, return_inverse=True)[1].astype(np.int32)
    order = np.random.default_rng(0).permutation(len(counts))
    cells = {
        split: order[round(first * len(order)) : round(last * len(order))]
        for split, (first, last) in PARTS.items()
    }
    genes = most_variable(counts[cells["train"]], NUM_GENES)
    splits = {
        split: {COUNTS: counts[numbers][:, genes], "label": labels[numbers]}
        for split, numbers in cells.items()
    }
    for examples in splits.values():
        for array in examples.values():
            array.flags.writeable = False
    return splits


def most_variable(counts: np.ndarray, num_genes: int) -> np.ndarray:
    """The genes whose counts vary most for genes of their mean.

    The standard deviation that is expected of a mean is that of a parabola through all genes'
    log10(variance) over log10(mean). Counts are standardized by it, clipped at the square root of
    the number of cells, and genes ranked by the variance of the result.

    Stuart et al., "Comprehensive integration of single-cell data", Cell 177, 2019 (Seurat v3), with
    a parabola in place of the local regression.

    Args:
        counts: Array [N, G], of training cells.
        num_genes: How many.

    Returns:
        Their numbers, int [num_genes], increasing.
    """
    mean, variance = counts.mean(axis=0), counts.var(axis=0, ddof=1)
    varies = variance > 0
    log_mean, log_variance = np.log10(mean[varies]), np.log10(variance[varies])
    expected = np.polyval(np.polyfit(log_mean, log_variance, 2), log_mean)
    scores = np.zeros(counts.shape[1])
    standardized = (counts[:, varies] - mean[varies]) / 10 ** (expected / 2)
    clipped = np.clip(standardized, None, np.sqrt(len(counts)))
    scores[varies] = clipped.var(axis=0, ddof=1)
    return np.sort(np.argsort(-scores, kind="stable")[:num_genes])
