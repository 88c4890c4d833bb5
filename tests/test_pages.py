"""The pages of `docs` tell the truth: their Python and their commands run, in their order."""

import re
from pathlib import Path

import numpy as np
import pytest

from zoo import cli
from zoo.cli import arguments

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = {
    path.name: re.findall(
        r"```(python|console)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL
    )
    for path in sorted(DOCS.glob("*.md"))
}
COMMANDS = [
    line.removeprefix("$ zoo ").split()
    for blocks in BLOCKS.values()
    for kind, text in blocks
    if kind == "console"
    for line in text.splitlines()
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a page in an empty directory: name of the file -> the names that it leaves."""
    monkeypatch.chdir(tmp_path)

    def run(page):
        names = {"__name__": "__main__"}
        for kind, text in BLOCKS[page]:
            if kind == "python":
                exec(compile(text, page, "exec"), names)
                continue
            for line in text.splitlines():
                assert cli.main(line.removeprefix("$ zoo ").split()) == 0, line
        return names

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_parse(command):
    assert callable(arguments.parse(command, cli.COMMANDS).command)


@pytest.mark.slow
def test_the_page_of_tables_runs(run, capsys):
    pd = pytest.importorskip("pandas")
    names = run("tables.md")
    scores = pd.read_csv("scores.csv")
    assert scores["score"].idxmax() == 2 and "mean radius" in scores["because"][2]
    assert scores["is_anomaly"][2]
    assert pd.read_csv("malignant.csv")["diagnosis"].tolist() == ["malignant"] * 5
    assert pd.read_csv("filled.csv")["mean texture"].notna().all()
    assert names["detector"].predict(names["new"])[2] == -1
    assert "All " in capsys.readouterr().out  # checks passed


@pytest.mark.slow
def test_the_page_of_codes_runs(run, capsys):
    names = run("codes.md")
    out = capsys.readouterr().out
    assert "(2, 2, 2) int32" in out
    loss, nats, cost = (
        float(number)
        for number in re.search(
            r"([\d.]+) nats\n.*ELBO ([\d.]+) nats, of which codes cost ([\d.]+)", out, re.DOTALL
        ).groups()
    )
    images = names["images"]
    mean = images.mean(axis=0).clip(1e-3, 1 - 1e-3)
    alone = -np.sum(mean * np.log(mean) + (1 - mean) * np.log(1 - mean))  # nats, without codes
    assert loss < 0.9 * alone and nats < alone and cost < 4 * np.log(32)
    assert names["drawn"].shape == (4, 8, 8, 1)
    assert (Path("served/digits_tokens") / "1").is_dir()
