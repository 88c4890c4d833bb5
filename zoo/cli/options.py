"""Options that several commands share. Standard library alone."""

import argparse
from typing import Any


def positive(text: str) -> int:
    """A positive integer, as argparse takes a type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer. Received: {text}")
    return int(text)


def add_data_dir(subparser: argparse.ArgumentParser) -> None:
    """`--data-dir`."""
    subparser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="TFDS data directory (default: $ZOO_DATA_DIR, else TFDS's own)",
    )


def add_imports(subparser: argparse.ArgumentParser) -> None:
    """`--import`, as `imports`."""
    help = (
        "run a file of your own, or import a module, that defines layers of the models; "
        "may be given several times"
    )
    subparser.add_argument(
        "--import", dest="imports", action="append", default=[], metavar="FILE.py", help=help
    )


def add_target(subparser: argparse.ArgumentParser, **options: Any) -> None:
    """What a command is about, as `target`, and `--import`."""
    help = (
        "run directory, name of a recipe with stored weights, or directory of a stored or "
        "exported model"
    )
    subparser.add_argument("target", metavar="RUN_OR_RECIPE", help=help, **options)
    add_imports(subparser)
