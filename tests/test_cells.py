"""Cells: a file that is found or fetched, its parts, and the genes that are kept."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pooch
import pytest

from zoo import cli, data
from zoo.data import cells
from zoo.engine import execution
from zoo.runs import training
from zoo.store import cards, hub, verify

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


RECIPE = '''"""A small model of cells."""

import zoo


def recipe(*, epochs: int = 2, seed: int = 0) -> zoo.Recipe:
    def model():
        posterior, likelihood = zoo.layers.DiagonalNormal(2), zoo.layers.NegativeBinomial(10)
        encoder = zoo.networks.MLP((8,), posterior.num_params)
        decoder = zoo.networks.MLP((8,), likelihood.num_params)
        return zoo.VAE(encoder, decoder, posterior, likelihood, seed=seed)

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(0.01)

    return zoo.Recipe(
        family="VAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(
            name="worm_neurons", train="train", validation="validation", binarization="grey"
        ),
        epochs=epochs,
        batch_size=35,
        seed=seed,
        initialize=lambda model, examples: model.start_at_data(examples["counts"]),
        evaluation_samples=10,
    )
'''


def test_a_model_of_cells_is_stored_verified_and_reported(made_up, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "execution_mode", lambda *arguments: "eager")
    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    hub.INDEX.write_text("{}")
    monkeypatch.setattr(cards, "roots", lambda: [tmp_path / "models"])
    (tmp_path / "tiny_cells.py").write_text(RECIPE)
    run, directory = tmp_path / "run", str(made_up[0].parent)
    training.train(tmp_path / "tiny_cells.py", out=run, data_dir=directory, verbose=0)
    command = ["push", str(run), "--data-dir", directory, "--allow-dirty"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "over examples" in printed and "Stored: version 1 of tiny_cells" in printed
    text = (tmp_path / "models" / "tiny_cells" / "README.md").read_text(encoding="utf-8")
    assert "20 cells; 10 samples each" in text and "| sha256 of the cells |" in text
    assert "![latent_pca](latent_pca.png)" in text
    assert all(row.agrees for row in verify.verify("tiny_cells", data_dir=directory))
    for target in (str(run), "tiny_cells"):
        page = tmp_path / "page.html"
        assert cli.main(["report", target, "--data-dir", directory, "--out", str(page)]) == 0
        text = page.read_text(encoding="utf-8")
        for words in (
            "No explorer: The page decodes images, and this is a model of cells.",
            "20 cells can show 3.00 at most",
            "along which they vary most, coloured by their label.",
            "how often it is 0 in real cells",
            "Training curves",
        ):
            assert words in text, words
        assert "left out" not in text and "the decoders on this page" not in text
    assert "over cells" in text


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
