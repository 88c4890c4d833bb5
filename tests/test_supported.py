"""Versions that were tested: refused at import where they are others, and what a later version of
the package has written."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo import supported

ROOT = Path(__file__).parents[1]


@pytest.fixture
def installed(monkeypatch):
    """Function: makes a package seem to be installed in a version, or not at all."""
    version = importlib.metadata.version

    def install(package, number):
        def told(name):
            if name != package:
                return version(name)
            if number is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return number

        monkeypatch.setattr(importlib.metadata, "version", told)

    monkeypatch.delenv(supported.ANY, raising=False)
    return install


@pytest.mark.parametrize(
    "package, number",
    [("tensorflow", "2.17.1"), ("keras", "3.16.0"), ("tensorflow-probability", "1.0")],
)
def test_other_versions_are_refused_in_one_line(package, number, installed, monkeypatch):
    installed(package, number)
    lowest, beyond = supported.SUPPORTED[package]
    message = f"{package} from {lowest} to below {beyond}. Received: {number}.*{supported.ANY}=1"
    with pytest.raises(ImportError, match=message) as caught:
        supported.check()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(supported.ANY, "1")
    supported.check()


def test_a_package_that_is_not_there_is_told(installed):
    installed("keras", None)
    with pytest.raises(ImportError, match=r"zoo needs keras.*pip install 'keras>=3\.8,<3\.16'"):
        supported.check()


def test_versions_within_are_taken(installed):
    for number in ("3.8.0", "3.15.1", "3.15.0rc1"):
        installed("keras", number)
        supported.check()


def test_an_import_of_another_version_ends_in_that_line():
    code = "import importlib.metadata as m; m.version = lambda name: '9.9'; import zoo"
    environment = {name: value for name, value in os.environ.items() if name != supported.ANY}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: zoo was tested with tensorflow from 2.18")


def test_bounds_are_those_of_the_installation():
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    for package, (lowest, beyond) in supported.SUPPORTED.items():
        assert re.search(rf'"{package}>={lowest},<{beyond}"', text), package


def test_what_a_later_version_wrote_asks_for_an_upgrade(tmp_path):
    (stored,) = (ROOT / "saved_models" / "vae_digits").glob("[0-9]*")
    version = shutil.copytree(stored, tmp_path / "1")
    card = json.loads((version / "assets.extra" / "card.json").read_text())
    configuration = version / "assets.extra" / "model.json"
    text = configuration.read_text()
    configuration.write_text(text.replace('"seed"', '"number_of_flows": 3, "seed"'))
    from zoo.models.exported import read_model

    with pytest.raises(ValueError, match="number_of_flows") as caught:
        read_model(version)
    assert "upgrade" not in str(caught.value)
    card["versions"]["vae-zoo"] = "9.0.0"
    (version / "assets.extra" / "card.json").write_text(json.dumps(card))
    message = rf"number_of_flows.* written by vae-zoo 9\.0\.0, and this is {zoo.__version__}: pip"
    with pytest.raises(ValueError, match=message):
        read_model(version)
