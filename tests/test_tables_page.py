"""The page about tables tells the truth: its Python and its commands run, in its order."""

import re
from pathlib import Path

import pytest

from zoo import cli
from zoo.cli import arguments

PAGE = (Path(__file__).parents[1] / "docs" / "tables.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    line.removeprefix("$ zoo ").split()
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_parse(command):
    assert callable(arguments.parse(command, cli.COMMANDS).command)


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    pd = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "tables.md", "exec"), names)
            continue
        for line in text.splitlines():
            assert cli.main(line.removeprefix("$ zoo ").split()) == 0, line
    scores = pd.read_csv("scores.csv")
    assert scores["score"].idxmax() == 2 and "mean radius" in scores["because"][2]
    assert scores["is_anomaly"][2]
    assert pd.read_csv("malignant.csv")["diagnosis"].tolist() == ["malignant"] * 5
    assert pd.read_csv("filled.csv")["mean texture"].notna().all()
    assert names["detector"].predict(names["new"])[2] == -1
    assert "All " in capsys.readouterr().out  # checks passed
