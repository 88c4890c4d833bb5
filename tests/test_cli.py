import json
import os
import subprocess
import sys
import time
import zipfile
import zlib

import pytest
import tensorflow as tf

from zoo import cli, registry
from zoo.store import cards


def zoo(*arguments, **keywords):
    return subprocess.run(
        [sys.executable, "-m", "zoo.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        **keywords,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    process = zoo("train", "vae_digits", "epochs=3", "hidden_units=16", "--out", out)
    assert process.returncode == 0, process.stderr
    assert "Epoch 3/3" in process.stdout and "val_elbo" in process.stdout
    assert (
        "Training runs as tf-loop in blocks of 24 steps, in float32; 0.1 MB of data "
        "stay on the device." in process.stderr
    )
    return out


def answer(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_list_shows_every_recipe(capsys):
    status, out, _ = answer(capsys, "list")
    header, *rows = out.splitlines()
    assert status == 0 and header.split("  ")[0] == "recipe"
    rows = {row.split()[0]: row for row in rows}
    assert {"vae_digits", "vae_mnist"} <= rows.keys()
    for name, row in rows.items():
        assert cards.headline(cards.find_card(name), registry.find(name).build({}).headline) in row


def test_show_prints_docstring_arguments_and_card(capsys):
    status, out, _ = answer(capsys, "show", "vae_digits")
    assert status == 0
    assert "scikit-learn" in out and "latent_dim: int = 8" in out and "Card:" in out


def test_listing_and_showing_import_no_tensorflow():
    code = (
        "import sys, zoo.cli; [sys.modules.__setitem__(n, None) for n in "
        "('tensorflow', 'keras', 'numpy')]; "
    )
    for command in ("['list']", "['show', 'vae_mnist']", "['copy', 'vae_mnist', 'absent/x.txt']"):
        process = subprocess.run(
            [sys.executable, "-c", f"{code}sys.exit(zoo.cli.main({command}))"],
            capture_output=True,
            text=True,
        )
        assert process.returncode == (2 if "copy" in command else 0), process.stderr


def test_evaluate_writes_the_numbers_it_prints(run, capsys, tmp_path):
    status, out, _ = answer(
        capsys, "evaluate", run, "--num-samples", 20, "--json", tmp_path / "numbers.json"
    )
    assert status == 0 and "vae_digits on 297 images, digits test:" in out
    numbers = json.loads((tmp_path / "numbers.json").read_text())["numbers"]
    assert f"{numbers['nll']['value']:.3f} nats" in out and numbers["nll"]["num_samples"] == 20
    _, out, _ = answer(capsys, "evaluate", run, "--num-samples", 5, "--split", "validation")
    assert "300 images, digits train[1200:]" in out
    _, out, _ = answer(capsys, "evaluate", run, "--num-samples", 5, "--split", "test[:7]")
    assert "7 images, digits test[:7]" in out


def test_pictures_export_and_push(run, capsys, tmp_path):
    for command in ("sample", "reconstruct"):
        assert answer(capsys, command, run, "--out", tmp_path / f"{command}.png")[0] == 0
        assert (tmp_path / f"{command}.png").stat().st_size > 1000
    status, out, _ = answer(capsys, "export", run, "--out", tmp_path / "base")
    assert status == 0 and f"Check it: zoo check {tmp_path / 'base' / 'vae_digits' / '1'}" in out
    assert (tmp_path / "base" / "vae_digits" / "1" / "saved_model.pb").is_file()
    card = json.loads(
        (tmp_path / "base" / "vae_digits" / "1" / "assets.extra" / "card.json").read_text()
    )
    assert card["recipe"] == "vae_digits"
    assert card["arguments"]["hidden_units"] == [16]
    assert card["numbers"] == {}
    assert 'name: "vae_digits"' in (tmp_path / "base" / "models.config").read_text()
    status, out, _ = answer(
        capsys, "push", run, "--num-samples", 5, "--allow-dirty", "--root", tmp_path / "models"
    )
    assert status == 0 and "Stored: version 1 of vae_digits" in out
    assert (tmp_path / "models" / "vae_digits" / "card.json").is_file()


@pytest.mark.slow
def test_a_copied_recipe_runs(capsys, tmp_path):
    file = tmp_path / "my_vae.py"
    assert answer(capsys, "copy", "vae_digits", file)[0] == 0
    file.write_text(file.read_text().replace("latent_dim: int = 8", "latent_dim: int = 5"))
    status, _, _ = answer(capsys, "train", file, "epochs=1", "--out", tmp_path / "run")
    assert status == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["arguments"]["latent_dim"] == 5
    assert answer(capsys, "evaluate", tmp_path / "run", "--num-samples", 2)[0] == 0
    status, _, err = answer(capsys, "copy", "vae_digits", file)
    assert status == 2 and "exists" in err


def test_options_may_stand_before_the_arguments(capsys, tmp_path):
    assert (
        cli.main(
            [
                "train",
                "vae_digits",
                "epochs=3",
                "--out",
                str(tmp_path / "out"),
                "latent_dim=2",
                "--dry-run",
            ]
        )
        == 0
    )
    assert "latent_dim=2" in (output := capsys.readouterr().out) and "epochs=3" in output
    for wrong in (
        ["train", "vae_digits", "--out", "x", "--epochs=3"],
        ["show", "vae_digits", "epochs=3"],
    ):
        with pytest.raises(SystemExit, match="2"):
            cli.main(wrong)
        err = capsys.readouterr().err
        assert "unrecognized arguments" in err
        assert ("written name=value, such as epochs=3" in err) == (wrong[0] == "train")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["sweep", "vae_digits", "--jobs", "0"])
    assert "--jobs: must be a positive integer. Received: 0" in capsys.readouterr().err


def test_dry_run_says_what_would_happen(capsys, tmp_path):
    status, out, _ = answer(
        capsys, "train", "vae_digits", "epochs=2", "--dry-run", "--out", tmp_path / "run"
    )
    assert status == 0 and "2 epochs, 48 steps" in out and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "vae_mnits"], "No recipe is named 'vae_mnits'. Did you mean 'vae_mnist'?"),
        (["train", "vae_digits", "epoch=3"], "Did you mean 'epochs'?"),
        (["train", "vae_digits", "epochs"], "written name=value. Received: 'epochs'"),
        (["train", "vae_digits", "latent_dim=-1"], "Received: latent_dim=(-1,)"),
        (["evaluate", "runs/none"], "There is no run directory 'runs/none'"),
        (["evaluate", "tests"], "'tests' is not a run directory"),
        (
            ["evaluate", "tests", "--json", "nowhere/numbers.json"],
            "There is no directory for --json 'nowhere/numbers.json'",
        ),
        (
            ["evaluate", "vae_digits", "--json", "tests"],
            "--json must be a file. Received: --json='tests', which is a directory",
        ),
        (
            ["sample", "vae_digits", "--out", "tests"],
            "--out must be a file. Received: --out='tests'",
        ),
        (
            ["sample", "vae_digits", "--out", "nowhere/a.png"],
            "There is no directory for --out 'nowhere/a.png'",
        ),
        (["reconstruct", "vae_digits", "--out", "a.txt"], "must end in .png or another of"),
        (
            ["report", "vae_digits", "--out", "tests"],
            "--out must be a file. Received: --out='tests'",
        ),
        (
            ["report", "vae_digits", "--out", "tests/file/report.html"],
            "Received: --out='tests/file', where 'tests/file' is a file",
        ),
        (
            ["train", "vae_digits", "--out", "tests/file"],
            "--out must be a directory. Received: --out='tests/file'",
        ),
        (
            ["sweep", "vae_digits", "seed=1,2", "--out", "tests/file/a"],
            "Received: --out='tests/file/a', where 'tests/file' is a file",
        ),
        (
            ["export", "vae_digits", "--out", "tests/file"],
            "--out must be a directory. Received: --out='tests/file'",
        ),
        (
            ["push", "vae_digits", "--root", "tests/file"],
            "--root must be a directory. Received: --root='tests/file'",
        ),
        (["copy", "vae_digits", "nowhere/a.py"], "There is no directory for FILE 'nowhere/a.py'"),
        (["report", "vae_digits", "vae_mnits"], "No recipe is named 'vae_mnits'"),
        (["verify", "vae_digits", "vae_mnits"], "No recipe is named 'vae_mnits'"),
        (["verify", "vae_digits", "--version", "9"], "'vae_digits' has no version 9."),
        (["evaluate", "vae_digits", "--num-samples", "0"], "Received: num_samples=0"),
        (["sample", "ae_mnist"], "Autoencoder draws no images by itself"),
        (
            ["sample", "cvae_mnist_quadrants"],
            "CompletionCVAE draws the rest of an image, given what is seen of it",
        ),
        (["verify", "vae_mnits"], "No recipe is named 'vae_mnits'. Did you mean 'vae_mnist'?"),
        (["copy", "vae_digits", "no-name.py"], "Received: 'no-name.py'"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "file").write_text("")
    status, out, err = answer(capsys, *arguments)
    assert status == 2 and out == ""
    assert err.startswith("zoo: ") and len(err.splitlines()) == 1 and message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tests"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            tf.errors.InvalidArgumentError(None, None, "bad\n  shape"),
            "InvalidArgumentError: bad shape. ZOO_TRACEBACK=1 shows where",
        ),
        (
            tf.errors.OutOfRangeError(
                None, None, "{{node a/b}} x/y; File too large [Op:SaveV2] name: "
            ),
            "OutOfRangeError: x/y; File too large.",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM"),
            "There is not enough memory or disk space for this: OOM. Ask for less",
        ),
        (MemoryError(), "There is not enough memory or disk space for this: no more is known."),
        (
            zipfile.BadZipFile("File is not a zip file"),
            "BadZipFile: File is not a zip file. ZOO_TRACEBACK=1",
        ),
        (zlib.error("invalid block type"), "error: invalid block type."),
        (EOFError(), "EOFError: no more is known."),
        (KeyError("numbers"), "KeyError: 'numbers'. ZOO_TRACEBACK=1"),
        (OverflowError("too large"), "OverflowError: too large."),
        (AssertionError(), "AssertionError: no more is known."),
        (ValueError("x" * 5000), "x" * 1000 + " ..."),
        (
            OSError(28, "No space left on device", "a/b"),
            "[Errno 28] No space left on device: 'a/b'",
        ),
    ],
)
def test_faults_of_every_kind_are_told_in_one_line(error, line, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setitem(cli.COMMANDS, "list", fail)
    status, out, err = answer(capsys, "list")
    assert status == 2
    assert out == ""
    assert err.startswith(f"zoo: {line}")
    assert len(err.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error():
    """As `zoo show vae_digits | head -1`, with a reader that is gone before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "zoo.cli", "show", "vae_digits"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert process.stderr == "" and process.returncode == 1


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("ZOO_TRACEBACK", "1")
    with pytest.raises(ValueError, match="No recipe"):
        cli.main(["show", "nothing_like_it"])


@pytest.mark.parametrize("module", ["zoo.cli", "zoo"])
def test_unknown_commands_exit_with_usage(module):
    process = subprocess.run([sys.executable, "-m", module, "fly"], capture_output=True, text=True)
    assert process.returncode == 2 and "usage: zoo" in process.stderr


@pytest.mark.slow
def test_list_and_show_answer_at_once():
    for command in (["list"], ["show", "vae_mnist"]):
        started = time.perf_counter()
        assert zoo(*command).returncode == 0
        assert time.perf_counter() - started < 0.5


def test_export_wants_one_target_or_all(capsys, tmp_path):
    for arguments in ([], ["vae_digits", "--all"]):
        status, _, err = answer(capsys, "export", *arguments, "--out", tmp_path)
        assert status == 2 and "Name a run or a recipe, or pass --all" in err


@pytest.mark.slow
def test_every_stored_model_exports_and_passes_every_check(capsys, tmp_path):
    assert answer(capsys, "export", "--all", "--out", tmp_path / "base")[0] == 0
    stored = {name for name in registry.list_recipes() if cards.find_card(name)}
    assert {path.name for path in (tmp_path / "base").iterdir() if path.is_dir()} == stored
    status, out, _ = answer(capsys, "check", tmp_path / "base")
    assert status == 0, [line for line in out.splitlines() if line.startswith("FAIL")]
