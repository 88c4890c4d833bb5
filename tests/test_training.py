import csv
import dataclasses
import json
import logging
import math
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from zoo import registry
from zoo.engine import checkpoints, compiled, execution
from zoo.engine.checkpoints import Checkpoint, TrainingDiverged
from zoo.runs import training
from zoo.runs.training import Run

# Enough epochs that a run is still going when it is stopped after the second.
EPOCHS = 30
ARGUMENTS = {"epochs": EPOCHS, "hidden_units": (16,)}


def state(path):
    """Weights and optimizer of the last finished epoch."""
    with np.load(path / "checkpoint.npz") as archive:
        return {name: archive[name] for name in archive.files if name != "state"}


def assert_same_state(a, b):
    a, b = state(a), state(b)
    assert a.keys() == b.keys() and len(a) > 10
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def steps_taken(path):
    """Training steps of the last checkpoint of a run in calls."""
    if not (path / "checkpoint.npz").exists():
        return 0
    with np.load(path / "checkpoint.npz") as archive:
        saved = json.loads(str(archive["state"]))
    return 120 * len(saved["history"]) + saved["step"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return training.train(
        "vae_digits", ARGUMENTS, out=tmp_path_factory.mktemp("runs") / "whole", verbose=0
    )


def test_a_run_leaves_its_record_history_weights_and_pictures(run):
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["epochs"] == EPOCHS
    assert (
        record["arguments"] | {"epochs": EPOCHS, "hidden_units": [16], "latent_dim": 8, "seed": 0}
        == record["arguments"]
    )
    packages = {"tensorflow", "keras", "tensorflow-probability", "numpy", "python"}
    assert packages <= record["versions"].keys()
    assert {"git", "machine", "mode", "precision", "seconds", "seed"} <= record.keys()
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, EPOCHS + 1))
    assert float(rows[-1]["val_elbo"]) == record["numbers"]["val_elbo"]
    assert float(rows[-1]["val_elbo"]) > float(rows[0]["val_elbo"])
    for name in ("model.weights.h5", "samples.png", "reconstructions.png", "curves.png"):
        assert (run / name).stat().st_size > 1000
    assert not list(run.glob(".*"))  # nothing half-written


def test_the_model_of_a_run_scores_as_it_did_in_training(run):
    from zoo import data

    opened = Run.open(run)
    received = opened.load_model().evaluate(
        data.load("digits", "train[1200:]"), batch_size=500, verbose=0, return_dict=True
    )
    assert received["elbo"] == pytest.approx(opened.record["numbers"]["val_elbo"], rel=1e-6)


@pytest.mark.slow
def test_the_same_seed_trains_the_same_weights_and_another_seed_others(run, tmp_path):
    again = training.train("vae_digits", ARGUMENTS, out=tmp_path / "again", verbose=0)
    assert_same_state(run, again)
    other = training.train(
        "vae_digits", {**ARGUMENTS, "seed": 1}, out=tmp_path / "other", verbose=0
    )
    assert any(np.any(state(run)[name] != state(other)[name]) for name in state(run))


def zoo_train(out, *arguments):
    command = [
        sys.executable,
        "-m",
        "zoo.cli",
        "train",
        "vae_digits",
        "--out",
        str(out),
        *arguments,
    ]
    # A shell that started the tests in the background has told them to ignore Ctrl-C.
    heed_interrupts = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_interrupts,
    )


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    out = tmp_path / "interrupted"
    process = zoo_train(out, "epochs=5000", "hidden_units=16")
    while not (out / "history.csv").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 130, output
    assert "the same command with --resume goes on" in output and "Traceback" not in output


# Four calls an epoch, so that checkpoints fall within it.
IN_CALLS = {"epochs": 10, "hidden_units": (16,), "batch_size": 10}


@pytest.fixture(scope="module")
def run_in_calls(tmp_path_factory):
    return training.train(
        "vae_digits", IN_CALLS, out=tmp_path_factory.mktemp("runs") / "in_calls", verbose=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("step", [30, 60, 120])
def test_a_run_that_stops_within_an_epoch_resumes_to_the_same_bits(
    step, run_in_calls, tmp_path, monkeypatch
):
    """Stopped at a checkpoint, resumed, and stopped again at the first checkpoint after it."""
    save = Checkpoint._save

    def train_until(stop, **how):
        def save_and_stop(self, **state):
            save(self, **state)
            if stop(len(self.history), state["step"]):
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Checkpoint, "_save", save_and_stop)
            training.train(
                "vae_digits", out=tmp_path / "out", checkpoint_minutes=0, verbose=0, **how
            )
        return steps_taken(tmp_path / "out")

    assert train_until(lambda *where: where == (2, step), arguments=IN_CALLS) == 2 * 120 + step
    # An epoch's end is a checkpoint too, at the step where its last call left off.
    assert train_until(lambda *where: True, resume=True) == 2 * 120 + min(step + 30, 120)
    training.train("vae_digits", out=tmp_path / "out", resume=True, verbose=0)
    assert_same_state(tmp_path / "out", run_in_calls)
    assert (tmp_path / "out" / "history.csv").read_text() == (
        run_in_calls / "history.csv"
    ).read_text()


@pytest.mark.parametrize(
    ("num_kills", "epochs"), [(3, 10), pytest.param(50, 200, marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bits(
    num_kills, epochs, run_in_calls, tmp_path
):
    """Checkpoints after every call. The first kill hits a process anywhere from its start on, the
    others follow a checkpoint."""
    arguments = IN_CALLS | {"epochs": epochs}
    out, reference = tmp_path / "killed", run_in_calls
    if arguments != IN_CALLS:
        reference = training.train("vae_digits", arguments, out=tmp_path / "reference", verbose=0)
    rng = np.random.default_rng(num_kills)
    steps = [0]
    for kill in range(num_kills):
        typed = (
            ["--resume"]
            if out.exists()
            else [f"{name}={value}" for name, value in (arguments | {"hidden_units": 16}).items()]
        )
        process = zoo_train(out, *typed, "--checkpoint-minutes", "0")
        if kill == 0:
            time.sleep(rng.uniform(0.0, 8.0))
        else:
            while process.poll() is None and steps_taken(out) == steps[-1]:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.2))
        process.kill()
        output = process.communicate()[0]
        assert process.returncode in (-9, 0), output
        steps.append(steps_taken(out))
        assert steps[-1] >= steps[-2], "a checkpoint was lost"
    assert len({step for step in steps if 0 < step < 120 * epochs}) >= min(2, num_kills // 2), (
        "the run was over before it was killed"
    )
    training.train("vae_digits", arguments, out=out, resume=True, verbose=0)
    assert_same_state(out, reference)
    assert (out / "history.csv").read_text() == (reference / "history.csv").read_text()
    assert json.loads((out / "run.json").read_text())["status"] == "finished"
    assert not list(out.glob(".*"))


def test_a_run_killed_at_its_very_start_begins_anew(tmp_path):
    (tmp_path / ".run.json.123").write_text("{")
    assert Run.prepare("vae_digits", ARGUMENTS, tmp_path, resume=True).record["status"] == "running"
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not a run directory"):
        Run.prepare("vae_digits", ARGUMENTS, tmp_path, resume=True)


def test_resuming_a_finished_run_changes_nothing(run):
    before = state(run)
    training.train("vae_digits", out=run, resume=True, verbose=0)
    for name, value in state(run).items():
        np.testing.assert_array_equal(value, before[name])


def test_dry_run_writes_nothing(tmp_path):
    lines = training.describe("vae_digits", {"epochs": "3"}, out=tmp_path / "out")
    assert any("3 epochs, 72 steps of 50 images, as tf-loop" in line for line in lines)
    assert any("1,200 training images" in line for line in lines)
    lines = training.describe("vae_digits", {"epochs": "200"}, out=tmp_path / "out")
    assert any("4,800 steps of 50 images, as xla-block" in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_wrong_directories_are_told(run, tmp_path):
    with pytest.raises(ValueError, match="exists and is not empty. Pass --resume"):
        training.train("vae_digits", ARGUMENTS, out=run)
    with pytest.raises(ValueError, match="is not a run directory: it holds no run.json"):
        training.train("vae_digits", ARGUMENTS, out=tmp_path / "absent", resume=True)
    with pytest.raises(
        ValueError,
        match=f"was begun with epochs={EPOCHS} and can only go on with it. Received: epochs=9",
    ):
        training.train("vae_digits", {"epochs": 9}, out=run, resume=True)
    with pytest.raises(ValueError, match="is a run of 'vae_digits'. Received: 'vae_mnist'"):
        training.train("vae_mnist", out=run, resume=True)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json' is damaged"):
        Run.open(tmp_path)


def test_wrong_arguments_leave_nothing_behind(tmp_path):
    out = tmp_path / "out"
    for arguments, message in (
        ({"epochs": "many"}, "must be of type int. Received: epochs='many'"),
        ({"epochs": 0}, "`epochs` must be a positive integer. Received: epochs=0"),
        ({"latent_dim": -1}, r"Received: latent_dim=\(-1,\)"),
        ({"depth": 3}, "has no argument 'depth'"),
        ({"seed": -1}, "Received: seed=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            training.train("vae_digits", arguments, out=out)
        assert not out.exists()


def test_divergence_is_told_and_the_last_good_epoch_kept(tmp_path):
    with pytest.raises(
        TrainingDiverged, match="The loss became (nan|inf) in epoch .* Lower the learning rate"
    ):
        training.train(
            "vae_digits", {"learning_rate": 1e6, "epochs": 20}, out=tmp_path / "out", verbose=0
        )


def test_nothing_that_is_not_finite_is_kept(tmp_path, monkeypatch):
    """A loss that stops being a number within the second epoch, between two checkpoints."""
    monkeypatch.setattr(execution, "execution_mode", lambda *arguments: "eager")
    run, step = compiled.CompiledModel._train_batch, []

    def fails_at(last):
        def train_batch(self, *arguments):
            run(self, *arguments)
            step.append(1)
            if len(step) == last:
                self.trainable_weights[0].assign(self.trainable_weights[0] * np.nan)

        return train_batch

    arguments = {"epochs": 2, "hidden_units": (4,), "batch_size": 400}  # three steps an epoch
    for last, kept in ((2, 1), (5, 4)):
        out, step[:] = tmp_path / str(last), []
        with (
            monkeypatch.context() as patch,
            pytest.raises(
                TrainingDiverged, match="epoch .* Lower the learning rate; the last checkpoint"
            ),
        ):
            patch.setattr(compiled.CompiledModel, "_train_batch", fails_at(last))
            training.train("vae_digits", arguments, out=out, checkpoint_minutes=0, verbose=0)
        assert steps_of(out) == divmod(kept, 3)
        assert all(np.all(np.isfinite(value)) for value in state(out).values())
    with (
        monkeypatch.context() as patch,
        pytest.raises(
            TrainingDiverged, match="no checkpoint had been written before, so that .*none keeps"
        ),
    ):
        step[:] = []
        patch.setattr(compiled.CompiledModel, "_train_batch", fails_at(1))
        training.train("vae_digits", arguments, out=tmp_path / "none", verbose=0)
    training.train("vae_digits", out=tmp_path / "5", resume=True, verbose=0)
    assert json.loads((tmp_path / "5" / "run.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_run_that_is_stopped_while_it_validates_goes_on(tmp_path, monkeypatch):
    """Its last checkpoint is of the last step of an epoch, which then has nothing left but its
    validation."""
    arguments = {"epochs": 2, "hidden_units": (4,), "batch_size": 400}
    whole = training.train("vae_digits", arguments, out=tmp_path / "whole", verbose=0)
    for name, problem in (
        ("nan", "Metrics became NaN or infinite .*val_loss=nan"),
        ("killed", "stopped"),
    ):
        logs = {"loss": math.nan} if name == "nan" else None

        def validate(self, *arguments, logs=logs, **options):
            if logs is None:
                raise RuntimeError("stopped")
            return logs

        out = tmp_path / name
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match=problem):
            patch.setattr(compiled.CompiledModel, "evaluate", validate)
            training.train("vae_digits", arguments, out=out, checkpoint_minutes=0, verbose=0)
        assert steps_of(out) == (0, 3)
        training.train("vae_digits", out=out, resume=True, verbose=0)
        assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()


@pytest.mark.parametrize("minutes", [-1, math.nan, "5", True])
def test_minutes_between_checkpoints_are_checked(minutes, tmp_path):
    with pytest.raises(
        ValueError,
        match="`checkpoint_minutes` must be a non-negative number. Received: "
        f"checkpoint_minutes={minutes!r}",
    ):
        training.train("vae_digits", out=tmp_path / "run", checkpoint_minutes=minutes)
    assert not (tmp_path / "run").exists()


def steps_of(path):
    """(finished epochs, steps of the next) of a checkpoint."""
    with np.load(path / "checkpoint.npz") as archive:
        saved = json.loads(str(archive["state"]))
    return len(saved["history"]), saved["step"]


@pytest.mark.parametrize(
    ("state", "arrays", "message"),
    [
        (None, {}, "`its state` must be of type dict. Received: null"),
        ({"seconds": 1.0, "step": 1, "metrics": []}, {}, "it has no 'history'"),
        (
            {"history": [{"epoch": 1.5}], "seconds": 1.0, "step": 1, "metrics": []},
            {},
            "must be of type int. Received: 1.5",
        ),
        (
            {"history": [], "seconds": 1.0, "step": "1", "metrics": []},
            {},
            r"`its state\['step'\]` must be of type int",
        ),
        (
            {"history": [], "seconds": 1.0, "step": 0, "metrics": []},
            {"0": np.zeros(3)},
            r"has the shape \(3,\), and the model's has \(2,\)",
        ),
        (
            {"history": [], "seconds": 1.0, "step": 0, "metrics": []},
            {"1": np.zeros(2)},
            "it holds 2 arrays, and the model has 1",
        ),
    ],
)
def test_checkpoints_of_another_form_are_told(state, arrays, message, tmp_path):
    path, variable = tmp_path / "checkpoint.npz", keras.Variable(np.ones(2, np.float32))
    np.savez(path, state=json.dumps(state), **{"0": np.zeros(2, np.float32), **arrays})
    with pytest.raises(
        ValueError,
        match=rf"checkpoint.npz' cannot be read: .*{message}.*Train again into another directory",
    ):
        checkpoints.read_arrays(path, [variable], checkpoints.STATE)
    np.testing.assert_array_equal(variable, np.ones(2))


def test_a_checkpoint_that_is_not_finite_is_told(tmp_path):
    variable = keras.Variable(np.full(2, np.nan, np.float32))
    checkpoints.write_arrays(tmp_path / "checkpoint.npz", [variable])
    with pytest.raises(
        ValueError, match="holds weights that are NaN or infinite, .* with a lower learning rate"
    ):
        checkpoints.read_arrays(tmp_path / "checkpoint.npz", [variable])


@pytest.fixture
def copy_of(run, tmp_path):
    import shutil

    return shutil.copytree(run, tmp_path / "copy")


def test_damaged_files_are_told(copy_of):
    weights, checkpoint = copy_of / "model.weights.h5", copy_of / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"checkpoint.npz' cannot be read"):
        training.train("vae_digits", out=copy_of, resume=True)
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"model.weights.h5' cannot be read"):
        Run.open(copy_of).load_model()
    weights.unlink()
    with pytest.raises(
        ValueError, match="holds no trained weights. Finish it with `zoo train vae_digits --resume`"
    ):
        Run.open(copy_of).load_model()


@pytest.mark.slow
def test_the_best_epoch_is_kept_where_the_recipe_says_so(tmp_path):
    """A rate that grows from epoch to epoch: the last is not the best."""
    recipe = tmp_path / "best_digits.py"
    source = (registry.find("vae_digits").path).read_text()
    source = source.replace(
        "CosineDecay(learning_rate, num_steps)",
        "ExponentialDecay(learning_rate, num_steps, 1000.0)",
    )
    recipe.write_text(
        source.replace("        epochs=epochs,\n", '        epochs=epochs,\n        keep="best",\n')
    )
    arguments = {"epochs": 8, "hidden_units": (16,), "learning_rate": 3e-3}
    run = Run.open(training.train(recipe, arguments, out=tmp_path / "run", verbose=0))
    history = list(csv.DictReader((run.path / "history.csv").read_text().splitlines()))
    losses = [float(row["val_loss"]) for row in history]
    assert run.record["epochs"] == 8 and run.record["kept_epoch"] == 1 + int(np.argmin(losses)) < 8
    from zoo import data

    validation = data.load("digits", "train[1200:]")
    model = run.load_model()
    received = model.evaluate(validation, batch_size=500, verbose=0, return_dict=True)["loss"]
    assert received == pytest.approx(min(losses), rel=1e-5) and received < losses[-1]
    with pytest.raises(ValueError, match="`keep` must be 'last' or 'best'. Received: keep='first'"):
        dataclasses.replace(registry.find(recipe).build(arguments), keep="first")


def test_a_run_that_collapsed_says_so(tmp_path, caplog):
    recipe = tmp_path / "collapsing_digits.py"
    recipe.write_text(
        registry.find("vae_digits")
        .path.read_text()
        .replace("zoo.VAE(", "zoo.BetaVAE(\n            beta=1000.0,")
    )
    arguments = {"epochs": 20, "hidden_units": (8,), "learning_rate": 3e-2}
    with caplog.at_level(logging.WARNING, "zoo"):
        run = Run.open(training.train(recipe, arguments, out=tmp_path / "run", verbose=0))
    assert "Posterior collapse: 0 of" in run.record["warning"]
    assert run.record["warning"] in [record.message for record in caplog.records]
