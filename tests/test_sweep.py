"""A sweep of a recipe: its points, its directory, its picture."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import image

from zoo import cli, files, plots, registry
from zoo.engine import checkpoints, execution
from zoo.runs import points as points_of_a_sweep
from zoo.runs import sweep, training

RECIPE = '''
"""A BetaVAE that trains in no time."""

import zoo


class WithoutRate(zoo.VAE):
    term_names = ("loss", "elbo")


def recipe(
    *,
    beta: float = 1.0,
    has_rate: bool = True,
    hidden_units: tuple[int, ...] = (8,),
    sizes: tuple[int, ...] | None = None,
    latent_dim: int = 3,
    title: str = "",
    epochs: int = 2,
    seed: int = 0,
) -> zoo.Recipe:
    def model():
        posterior = zoo.layers.DiagonalNormal(latent_dim)
        likelihood = zoo.layers.Bernoulli((8, 8, 1))
        parts = dict(
            encoder=zoo.networks.MLP(hidden_units, posterior.num_params),
            decoder=zoo.networks.MLP(hidden_units, likelihood.num_params),
            posterior=posterior,
            likelihood=likelihood,
        )
        if has_rate:
            return zoo.BetaVAE(**parts, beta=beta, seed=seed)
        return WithoutRate(**parts, seed=seed)

    def optimizer(num_steps):
        import keras

        return keras.optimizers.Adam(0.01)

    return zoo.Recipe(
        family="BetaVAE",
        model=model,
        optimizer=optimizer,
        dataset=zoo.Dataset(name="digits", train="train[:200]", validation="train[1400:]"),
        epochs=epochs,
        batch_size=50,
        seed=seed,
    )
'''


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny_beta.py"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def swept(recipe, tmp_path_factory):
    """The directory of a sweep of two points, and what the command printed."""
    out, printed = tmp_path_factory.mktemp("sweeps") / "sweep", io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        # Compiling takes longer than these few steps.
        patch.setattr(execution, "execution_mode", lambda *arguments: "eager")
        assert (
            cli.main(
                [
                    "sweep",
                    str(recipe),
                    "beta=0.5,8",
                    "epochs=3",
                    "hidden_units=8,8",
                    "--out",
                    str(out),
                    "--jobs",
                    "1",
                ]
            )
            == 0
        )
    return out, printed.getvalue()


@pytest.fixture
def copy(swept, tmp_path):
    """A copy of the sweep, to go on with."""
    return shutil.copytree(swept[0], tmp_path / "sweep")


def points_of(path):
    return json.loads((path / "sweep.json").read_text())["points"]


def changed(path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("checkpoint.npz")}


def test_each_point_is_a_run_and_its_numbers_are_written_and_printed(swept):
    path, printed = swept
    assert sorted(file.name for file in path.iterdir()) == [
        "beta=0.5",
        "beta=8.0",
        "rate_distortion.png",
        "sweep.json",
    ]
    assert image.imread(path / "rate_distortion.png").shape[2] == 4
    table = {line.split()[0]: line.split() for line in printed.splitlines()}
    for point, beta in zip(points_of(path), (0.5, 8.0), strict=True):
        record = json.loads((path / point["label"] / "run.json").read_text())
        assert record["status"] == "finished" and record["arguments"] == point["arguments"]
        assert (
            point["arguments"]["beta"],
            point["arguments"]["epochs"],
            point["arguments"]["hidden_units"],
        ) == (beta, 3, [8, 8])
        assert (
            point["elbo"]
            == record["numbers"]["val_elbo"]
            == pytest.approx(point["log_likelihood"] - point["kl"], rel=1e-5)
        )
        assert point["loss"] == pytest.approx(
            -point["log_likelihood"] + beta * point["kl"], rel=1e-5
        )
        assert 0 <= point["active_units"] <= point["latent_dim"] == 3
        assert f"{point['elbo']:.3f}" in table[point["label"]]
        assert f"{point['kl']:.3f}" in table[point["label"]]
    assert points_of(path)[0]["kl"] > points_of(path)[1]["kl"]
    assert "Swept:" in printed and "--resume" not in printed


def test_finished_points_are_skipped_and_unfinished_ones_go_on(recipe, copy, caplog):
    before = points_of(copy)
    record = copy / "beta=8.0" / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    (copy / "beta=8.0" / "model.weights.h5").unlink()
    (copy / "sweep.json").unlink()
    times = changed(copy)
    with caplog.at_level("INFO", logger="zoo"):
        assert (
            sweep.sweep(recipe, {"beta": [0.5, 8], "epochs": 3}, out=copy, resume=True, verbose=0)
            == copy
        )
    assert "beta=8.0: run 1 of 1 (1 were finished before)." in caplog.text
    assert json.loads(record.read_text())["status"] == "finished"
    assert points_of(copy) == before
    # All epochs of the unfinished point had been trained: nothing was trained again.
    assert changed(copy) == times


def test_points_train_in_processes_of_their_own_and_end_the_same(recipe, swept, tmp_path, caplog):
    out = tmp_path / "sweep"
    with caplog.at_level("INFO", logger="zoo"):
        sweep.sweep(
            recipe, {"beta": [0.5, 8], "epochs": 3, "hidden_units": (8, 8)}, out=out, jobs=2
        )
    assert "2 runs, 2 at a time (0 were finished before): beta=0.5, beta=8.0." in caplog.text
    assert "finished, 2 of 2." in caplog.text
    for point, other in zip(points_of(out), points_of(swept[0]), strict=True):
        assert point["elbo"] == pytest.approx(other["elbo"], rel=1e-4)


@pytest.mark.slow
def test_a_point_that_fails_fails_the_sweep_and_leaves_the_others(recipe, tmp_path):
    with pytest.raises(checkpoints.TrainingDiverged, match="The loss became"):
        sweep.sweep(recipe, {"beta": ["1", "1e38"], "epochs": 2}, out=tmp_path / "sweep", jobs=2)


def test_a_directory_with_runs_is_not_trained_over(recipe, swept, capsys):
    path, _ = swept
    times = changed(path)
    assert cli.main(["sweep", str(recipe), "beta=0.5,8", "--out", str(path)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "exists and is not empty. Pass --resume to go on with it, or another --out." in error
    assert changed(path) == times


def test_points_that_were_begun_otherwise_are_told(recipe, swept):
    path, _ = swept
    with pytest.raises(
        ValueError, match=r"was begun with epochs=3 and can only go on with it. Received: epochs=4"
    ):
        sweep.sweep(recipe, {"beta": "0.5,8", "epochs": 4}, out=path, resume=True)
    message = (
        r"Received: beta=0.5 with hidden_units=\[8, 8\], beta=2.0 with "
        r"hidden_units=\(8,\). Give hidden_units beside --resume"
    )
    with pytest.raises(ValueError, match=message):
        sweep.sweep(recipe, {"beta": "0.5,2", "epochs": 3}, out=path, resume=True)


def test_all_combinations_are_points_and_tuples_are_one_value(recipe):
    file = registry.find(recipe)
    points = sweep.expand(
        file,
        {
            "beta": "0.5,1",
            "latent_dim": "2,4",
            "hidden_units": "8,8",
            "sizes": "1,2",
            "epochs": "1",
        },
    )
    assert list(points) == [
        f"beta={beta},latent_dim={dim}" for beta in (0.5, 1.0) for dim in (2, 4)
    ]
    bound = file.bind(points["beta=1.0,latent_dim=2"])
    assert (
        bound["beta"],
        bound["latent_dim"],
        bound["hidden_units"],
        bound["sizes"],
        bound["epochs"],
    ) == (1.0, 2, (8, 8), (1, 2), 1)
    assert list(sweep.expand(file, {"hidden_units": [(8,), (8, 8)]})) == [
        "hidden_units=(8,)",
        "hidden_units=(8, 8)",
    ]
    assert list(sweep.expand(file, {"title": "a/b,c"})) == ["title=a_b", "title=c"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["beta=4"],
            "needs an argument with several values, such as latent_dim=2,4,8. Received: beta=4.",
        ),
        (["hidden_units=8,8"], "Received: hidden_units=8,8."),
        ([], "Received: no arguments."),
        (["beta=1,1.0"], "Each value of a sweep is given once. Received: beta=1.0 twice."),
        (["beta=1,"], "must be of type float. Received: beta=''"),
        (["betta=1,2"], "Did you mean 'beta'?"),
        (["epochs=1,0"], "Received: epochs=0"),
        (["latent_dim=2,-1"], "Received: latent_dim=(-1,)"),
        (
            ["has_rate=true,false"],
            "metrics `kl` and `log_likelihood`. "
            "Received: has_rate=False, a WithoutRate with loss, elbo.",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(recipe, arguments, message, capsys, tmp_path):
    assert cli.main(["sweep", str(recipe), *arguments, "--out", str(tmp_path / "sweep")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and len(printed.err.splitlines()) == 1 and printed.out == ""
    assert not (tmp_path / "sweep").exists()


def test_a_dry_run_tells_the_points_and_writes_nothing(recipe, copy, tmp_path, capsys):
    out = tmp_path / "dry"
    assert (
        cli.main(
            [
                "sweep",
                str(recipe),
                "beta=0.5,8",
                "epochs=3",
                "--out",
                str(out),
                "--jobs",
                "1",
                "--dry-run",
            ]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == ["recipe", "tiny_beta: 2 points, 2 to train, 1 at a time"]
    assert (
        lines[1]
        .split(maxsplit=1)[1]
        .startswith("digits: 200 training images (train[:200]), 100 validation images")
    )
    assert [line.split(maxsplit=1) for line in lines[2:]] == [
        ["beta=0.5", "begins: 3 epochs of 50 images a step"],
        ["beta=8.0", "begins: 3 epochs of 50 images a step"],
        ["output", str(out)],
    ]
    assert not out.exists()
    before = changed(copy)
    lines = sweep.describe(
        recipe, {"beta": [0.5, 2], "epochs": 3, "hidden_units": (8, 8)}, out=copy, resume=True
    )
    assert [line.split(maxsplit=1)[1] for line in lines[2:4]] == [
        "is finished",
        "begins: 3 epochs of 50 images a step",
    ]
    assert changed(copy) == before
    with pytest.raises(ValueError, match="`jobs` must be a positive integer. Received: jobs=0"):
        sweep.describe(recipe, {"beta": [0.5, 2]}, out=out, jobs=0)


def test_a_sweep_over_tables_speaks_of_rows_and_makes_each_model_of_them(tmp_path):
    lines = sweep.describe("table_vae", {"latent_dim": [2, 3], "hidden_units": (4,)}, out=tmp_path)
    assert "breast_cancer: 463 training rows (train), 46 validation rows" in lines[1]
    assert lines[2].endswith("begins: 100 epochs of 128 rows a step")


def test_an_argument_beside_the_swept_ones_may_be_a_path(tmp_path, monkeypatch):
    text = RECIPE.replace("import zoo\n", "import pathlib\n\nimport zoo\n", 1)
    file = tmp_path / "of_files.py"
    file.write_text(
        text.replace('title: str = ""', 'images: pathlib.Path = pathlib.Path("images")')
    )
    monkeypatch.chdir(tmp_path)
    for given in ({}, {"images": "other"}):
        lines = sweep.describe(file, {"beta": [0.5, 2], **given}, out=tmp_path / "dry")
        assert "of_files: 2 points" in lines[0]
    # Of a run that was begun, and of a new one.
    kept, typed = (
        {"images": str(tmp_path / "images")},
        {"images": sweep.Path("images")},
    )
    runs = {
        label: SimpleNamespace(record={"arguments": arguments})
        for label, arguments in (("a", kept), ("b", typed))
    }
    sweep._assert_comparable(runs, {})


def point(label, seed, beta, kl):
    arguments = {"beta": beta, "seed": seed}
    return {
        "label": label,
        "arguments": arguments,
        "elbo": -9.0 - kl,
        "log_likelihood": -9.0,
        "kl": kl,
        "active_units": 2,
        "latent_dim": 3,
    }


def test_numbers_are_averaged_over_seeds(tmp_path):
    points = [
        point(f"beta={beta},seed={seed}", seed, beta, beta + seed)
        for beta in (1.0, 2.0)
        for seed in (0, 1, 5)
    ]
    means = sweep.means_over_seeds(points)
    assert [mean["label"] for mean in means] == ["beta=1.0", "beta=2.0"]
    assert means[0]["arguments"] == {"beta": 1.0}
    assert means[0]["seeds"] == [0, 1, 5]
    assert means[0]["latent_dim"] == 3
    # Of 2, 3 and 7.
    assert means[1]["kl"] == {
        "mean": pytest.approx(4.0),
        "std": pytest.approx(7**0.5),
    }
    assert means[1]["elbo"] == {"mean": pytest.approx(-13.0), "std": pytest.approx(7**0.5)}
    assert means[1]["active_units"] == {"mean": 2.0, "std": 0.0}
    assert sweep.means_over_seeds(points[::3]) == []  # one seed each
    assert [
        mean["label"]
        for mean in sweep.means_over_seeds(
            [point(f"seed={seed}", seed, 1.0, 1.0) for seed in (0, 1)]
        )
    ] == ["all"]
    (tmp_path / "sweep.json").write_text(json.dumps({"points": points, "means": means}))
    lines = sweep.table(tmp_path).splitlines()
    assert len(lines) == 1 + 6 + 2
    assert lines[-1].split("  ")[0] == "beta=2.0: mean of 3 seeds ± deviation"
    assert "4.000 ± 2.646" in lines[-1] and "2.0 ± 0.0 of 3" in lines[-1]


def test_a_directory_is_swept_by_one_process_at_a_time(recipe, copy):
    with (
        files.locked(copy),
        pytest.raises(
            ValueError,
            match="Another process sweeps in '.*sweep'. Wait for its end, or pass another --out",
        ),
    ):
        sweep.sweep(recipe, {"beta": [0.5, 8], "epochs": 3}, out=copy, resume=True)


@pytest.mark.slow
def test_workers_end_with_their_sweep_however_it_ends(recipe, tmp_path):
    out, labels = tmp_path / "sweep", ("beta=1.0", "beta=2.0")
    command = [
        sys.executable,
        "-m",
        "zoo.cli",
        "sweep",
        str(recipe),
        "beta=1,2",
        "epochs=100000",
        "--out",
        str(out),
        "--jobs",
        "2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not all((out / label / "history.csv").exists() for label in labels):
        assert process.poll() is None
        time.sleep(0.05)
    for label in labels:
        with pytest.raises(ValueError, match=f"Another process trains in '.*{label}'"):
            training.train(recipe, out=out / label, resume=True)
    process.kill()
    process.wait()
    for label in labels:
        with files.locked(out / label):  # waits for the worker's end
            pass


def test_units_are_active_where_their_mean_depends_on_the_image(make_vae, images):
    model = make_vae(pixels="as_given")
    kernel = model.encoder.stack[-1].kernel
    many = {"image": np.tile(images, (20, 1, 1, 1))}  # more than are held at once
    for units in ([], [1], [0, 2]):
        weights = np.zeros(kernel.shape, np.float32)
        weights[:, units] = 10.0  # the first three columns are the means
        kernel.assign(weights)
        assert points_of_a_sweep.active_units(model, many) == (len(units), 3)
    variances = np.var(model.encode(images).mean(), axis=0)
    np.testing.assert_array_equal(variances > 0.01, [True, False, True])


def test_rate_is_drawn_against_distortion():
    numbers = [
        ("beta=0.5", -70.0, 30.0, 10),
        ("beta=4.0", -110.0, 10.0, 6),
        ("beta=8.0", -150.0, 0.0, 0),
        ("beta=9.0", -150.1, 0.0, 0),
    ]
    names = ("label", "log_likelihood", "kl", "active_units")
    figure = plots.rate_distortion(
        [{**dict(zip(names, point, strict=True)), "latent_dim": 10} for point in numbers],
        noun="row",
    )
    plane, bars = figure.axes
    np.testing.assert_allclose(
        plane.lines[0].get_xydata(), [(70, 30), (110, 10), (150, 0), (150.1, 0)]
    )
    assert plane.get_xlabel().startswith("distortion: -log p(x|z), nats")
    assert plane.get_ylabel() == "rate: KL(q || p), nats per row"
    assert plane.get_title() == "validation rows, with lines of equal ELBO"
    assert [text.get_text() for text in plane.texts if "beta" in text.get_text()] == [
        "beta=0.5",
        "beta=4.0",
        "beta=8.0\nbeta=9.0",
    ]
    for segment in (
        path for lines in plane.collections for path in lines.get_paths() if len(path.vertices)
    ):
        # One ELBO.
        np.testing.assert_allclose(
            segment.vertices.sum(axis=1), segment.vertices.sum(axis=1)[0], rtol=1e-4
        )
    assert [bar.get_width() for bar in bars.patches] == [10, 6, 0, 0]
    assert [text.get_text() for text in bars.texts] == ["10 of 10", "6 of 10", "0 of 10", "0 of 10"]
