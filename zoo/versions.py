"""Versions of a model on disk: their numbers, and whether their files are those that were written.
Standard library alone."""

import hashlib
from pathlib import Path
from typing import Any


def versions(directory: str | Path) -> list[int]:
    """The versions in a model's directory, ascending."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    names = (child.name for child in directory.iterdir())
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def file_hashes(version_directory: str | Path) -> dict[str, str]:
    """ "<version>/<path>" -> sha256 of every file of a version, cards left out."""
    directory = Path(version_directory)
    files = sorted(
        path for path in directory.rglob("*") if path.is_file() and path.name != "card.json"
    )
    hashes = {}
    for path in files:
        name = f"{directory.name}/{path.relative_to(directory).as_posix()}"
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def check_files(directory: str | Path, card: dict[str, Any]) -> None:
    """Raises ValueError unless the files of the card's version, which lies in a model's directory,
    are those that it was written for."""
    directory = Path(directory)
    version_directory = directory / str(card["version"])
    if not version_directory.is_dir():
        raise ValueError(
            f"The files of version {card['version']} are missing: {version_directory}."
        )
    assert_files(version_directory, card)


def assert_files(version_directory: Path, card: dict[str, Any]) -> None:
    """Raises ValueError unless a version's directory, wherever it lies, holds the files of its
    card."""
    if not card["files"]:
        raise ValueError(
            f"The card of {str(version_directory)!r} names no files, so that nothing can be "
            "checked. Push the run again."
        )
    received = {_within(name): digest for name, digest in file_hashes(version_directory).items()}
    for name in received.keys() - {_within(name) for name in card["files"]}:
        if not name.rpartition("/")[2].startswith("."):  # a file manager's
            raise ValueError(
                f"{str(version_directory / name)!r} is not among the files of its card. Remove "
                "it, or push the run again."
            )
    for name, digest in card["files"].items():
        if received.get(_within(name)) != digest:
            state = "is not the file that the card describes (its sha256 differs)"
            if _within(name) not in received:
                state = "is missing"
            raise ValueError(
                f"{str(version_directory / _within(name))!r} {state}. Restore it, or push the "
                "run again."
            )


def _within(name):
    """ "3/variables/variables.index" -> "variables/variables.index"."""
    return name.partition("/")[2]
