"""The README tells the truth: its table is the cards', its Python runs, its commands exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import versions
from zoo import cli, registry
from zoo.cli import arguments
from zoo.store import cards

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SNIPPETS = re.findall(r"```python[^\n]*\n(.*?)```", README, re.DOTALL)  # and those not to be run
COMMANDS = re.findall(r"^\$ zoo (.*?)(?:\s+#.*)?$", README, re.MULTILINE)


def test_recipe_table_is_the_one_of_the_cards(capsys):
    cli.main(["list", "--markdown"])
    (table,) = re.findall(r"<!-- zoo list --markdown -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert table == capsys.readouterr().out, (
        "the table has drifted: put the output of `zoo list --markdown` between the marks"
    )


def test_versions_are_those_that_were_tested():
    results = json.loads(versions.RESULTS.read_text(encoding="utf-8"))
    table = versions.TABLE.search(README)[0].splitlines()[1:-1]
    assert table == versions.table(results).splitlines()
    assert all(row["passed"] and not row["failed"] for row in results)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("saved_models/*/README.md")), ids=lambda path: path.parent.name
)
def test_readmes_of_stored_models_are_those_of_their_cards(path):
    from zoo.store import push

    expected = push.readme(path.parent, cards.read_card(path.parent))
    assert path.read_text(encoding="utf-8") == expected, (
        "it has drifted: run `python -m zoo.store.push`"
    )


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})


def test_python_passes_a_type_checker(tmp_path):
    for number, code in enumerate(SNIPPETS):
        (tmp_path / f"snippet_{number}.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, tmp_path]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
    assert callable(arguments.parse(command.split(), cli.COMMANDS).command)


def test_latencies_are_those_that_were_measured():
    path = ROOT / "benchmarks" / "results" / "serving_latency.json"
    for point in json.loads(path.read_text())["points"]:
        cells = (
            f"{point['p50_ms']:.2f}{' ms' if point['rows'] == 1 else ''} | {point['p99_ms']:.2f} |"
        )
        lines = [
            line for line in README.splitlines() if line.startswith(f"| `{point['signature']}` |")
        ]
        assert point["signature"] == "serving_default" or any(cells in line for line in lines)


def test_fine_tuning_is_what_was_measured():
    rows = json.loads((ROOT / "benchmarks" / "results" / "fine_tuning.json").read_text())["rows"]
    for text in (README, (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")):
        assert all(f"{row['nll']:.2f}" in text for row in rows.values())


@pytest.mark.parametrize("name", registry.list_recipes())
def test_docstrings_state_the_number_of_the_card(name):
    card, docstring = cards.find_card(name), " ".join(registry.find(name).docstring().split())
    if card is None:
        assert "Not yet measured." in docstring
    else:
        numbers = cards.headline_numbers(card, registry.find(name).build({}).headline)
        assert numbers
        assert all(cards.value_shown(number) in docstring for number in numbers.values())
        assert "Not yet measured." not in docstring


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
