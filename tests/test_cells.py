"""Cells: a file that is found or fetched, its parts, and the genes that are kept."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pooch
import pytest

from zoo import data
from zoo.data import cells

NUM_CELLS, NUM_GENES = 100, 40


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A small file of the same form, taken for the real one, and its counts."""
    generator = np.random.default_rng(0)
    counts = generator.poisson(generator.gamma(1.0, 2.0, NUM_GENES), (NUM_CELLS, NUM_GENES))
    path = tmp_path / cells.WORM_NEURONS[0]
    with h5py.File(path, "w") as file:
        file["X"] = counts.astype(np.float64)
        file["Y"] = 1.0 + np.arange(NUM_CELLS) % 3
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cells, "WORM_NEURONS", (*cells.WORM_NEURONS[:2], digest))
    monkeypatch.setattr(cells, "NUM_GENES", 10)
    cells._splits.cache_clear()
    yield path, counts
    cells._splits.cache_clear()


def test_every_cell_is_in_one_part_and_genes_are_chosen_by_training_cells(made_up):
    path, counts = made_up
    parts = {
        split: data.load("worm_neurons", split, data_dir=path.parent)
        for split in ("train", "validation", "test")
    }
    assert [len(part["counts"]) for part in parts.values()] == [70, 10, 20]
    order = np.random.default_rng(0).permutation(NUM_CELLS)
    genes = cells.most_variable(counts[order[:70]], 10)
    for part, rows in zip(parts.values(), np.split(order, [70, 80]), strict=True):
        assert part["counts"].dtype == part["label"].dtype == np.int32
        np.testing.assert_array_equal(part["counts"], counts[rows][:, genes])
        np.testing.assert_array_equal(part["label"], rows % 3)
    np.testing.assert_array_equal(
        data.load("worm_neurons", "train[:5]", data_dir=path.parent)["counts"],
        parts["train"]["counts"][:5],
    )
    batch = next(iter(data.batches("worm_neurons", "test", batch_size=7, data_dir=path.parent)))
    np.testing.assert_array_equal(batch["counts"], parts["test"]["counts"][:7])
    with pytest.raises(ValueError, match="'worm_neurons' has no split 'all'"):
        data.load("worm_neurons", "all", data_dir=path.parent)


def test_the_file_may_lie_in_a_directory_tables_or_where_the_environment_says(made_up, monkeypatch):
    path, _ = made_up
    (path.parent / "tables").mkdir()
    path.rename(path.parent / "tables" / path.name)
    monkeypatch.setenv("ZOO_DATA_DIR", str(path.parent))
    assert len(data.load("worm_neurons", "test")["label"]) == 20


def test_another_file_of_this_name_is_told(made_up):
    path, _ = made_up
    path.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"worm_neuron_cell.h5' is not the file that is known"):
        data.load("worm_neurons", "train", data_dir=path.parent)


def test_what_is_not_there_is_fetched_from_the_revision_of_its_authors(made_up, monkeypatch):
    path, _ = made_up
    asked = []

    def retrieve(url, sha256, fname, path, progressbar):
        asked.append((fname, url, sha256))
        (Path(path) / fname).write_bytes(content)
        return str(Path(path) / fname)

    content = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for split in ("train", "test"):
        data.load("worm_neurons", split, data_dir=path.parent)
    assert asked == [cells.WORM_NEURONS]  # once
    assert "/ff7f29d003be7112c6a3dcab37c44d461423647d/" in cells.WORM_NEURONS[1]


def test_genes_that_vary_beyond_their_mean_are_kept():
    generator = np.random.default_rng(0)
    mean = np.geomspace(0.1, 50, 200)
    counts = generator.poisson(mean, (500, 200))
    odd = [60, 90, 150]
    for gene in odd:  # of two kinds of cells
        counts[:, gene] = generator.poisson(mean[gene] * np.where(np.arange(500) % 2, 0.1, 1.9))
    counts[:, 7] = 0
    np.testing.assert_array_equal(cells.most_variable(counts, 3), odd)


def test_the_real_cells():
    directory = Path(os.environ.get("ZOO_DATA_DIR", "."))
    places = (directory / cells.WORM_NEURONS[0], directory / "tables" / cells.WORM_NEURONS[0])
    if not any(place.is_file() for place in places):
        pytest.skip(f"needs {cells.WORM_NEURONS[0]}: set ZOO_DATA_DIR to a directory that holds it")
    examples = data.load("worm_neurons", "test")
    assert examples["counts"].shape == (837, 2000) and set(examples["label"]) == set(range(10))
    assert examples["counts"].max() == 96 and np.median(examples["counts"].sum(axis=1)) == 68
