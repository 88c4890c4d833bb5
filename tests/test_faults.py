"""What is left, and what is told, when something fails on the way: a picture, a disk, another
process."""

import errno
import os
import resource

import pytest
from PIL import Image

from zoo import cli, files, plots
from zoo.engine import execution
from zoo.runs import training
from zoo.runs.training import Run
from zoo.store import push
from zoo.versions import versions

TINY = {"epochs": 1, "hidden_units": (8,)}


@pytest.fixture
def eager(monkeypatch):
    # Compiling takes longer than these few steps.
    monkeypatch.setattr(execution, "execution_mode", lambda *arguments: "eager")


def no_space(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere/samples.png")


def test_a_failing_picture_leaves_a_finished_run(eager, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(plots, "pictures", no_space)
    with caplog.at_level("WARNING", logger="zoo"):
        run = Run.open(training.train("vae_digits", TINY, out=tmp_path / "run", verbose=0))
    assert run.record["status"] == "finished"
    assert "val_elbo" in run.record["numbers"]
    assert run.weights_path.is_file()
    assert (
        "The run is finished; its pictures failed (OSError: [Errno 28] No space left on "
        "device: 'somewhere/samples.png')" in caplog.text
    )


def test_a_run_is_trained_by_one_process_at_a_time(eager, tmp_path, monkeypatch):
    out = tmp_path / "run"
    out.mkdir()
    with (
        files.locked(out),
        pytest.raises(
            ValueError,
            match="Another process trains in '.*run'. Wait for its end, or pass another --out",
        ),
    ):
        training.train("vae_digits", TINY, out=out, verbose=0)
    assert list(out.iterdir()) == []
    prepared = Run.prepare("vae_digits", TINY, out, resume=False)
    (out / "run.json").write_text("{}")  # since then
    with (
        pytest.raises(
            ValueError, match="Another process has trained in '.*run'. Pass --resume to go on"
        ),
        prepared.alone(resume=False),
    ):
        pass
    with pytest.raises(ValueError, match="no split 'nowhere'"):
        monkeypatch.setattr(
            "zoo.data.load", lambda *arguments, **options: _raise(ValueError("no split 'nowhere'"))
        )
        training.train("vae_digits", TINY, out=tmp_path / "other" / "run", verbose=0)
    assert not (tmp_path / "other").exists()


def _raise(error):
    raise error


def test_an_export_that_fails_is_told_in_one_line_and_leaves_nothing(tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files that grow beyond fail to, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        status = cli.main(["export", "vae_digits", "--out", str(tmp_path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert status == 2
    assert len(error.splitlines()) == 1
    assert error.startswith("zoo: ")
    assert "File too large" in error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert versions(tmp_path / "vae_digits") == []


def test_a_push_that_fails_leaves_the_stored_model_as_it_was(store, models, monkeypatch):
    directory = models / "vae_digits"

    def state():
        return {
            path.relative_to(directory): path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file()
        }

    before = state()
    monkeypatch.setattr(push, "evaluate", lambda *arguments, **options: store[2]["numbers"])
    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match="No space left on device: 'somewhere/samples.png'"),
    ):
        patch.setattr(plots, "pictures", no_space)
        push.push(store[1], root=models, allow_dirty=True, verbose=0)
    assert state() == before
    assert [path for path in directory.iterdir() if path.name.startswith(".")] == []


def test_a_model_is_stored_without_the_curves_that_its_run_lacks(tmp_path, monkeypatch):
    def draw(model, examples, directory):
        Image.new("RGB", (4, 4)).save(directory / "samples.png")

    monkeypatch.setattr(plots, "pictures", draw)
    push._draw(None, None, tmp_path, tmp_path / "absent" / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]
