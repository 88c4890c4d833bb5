"""What some things need beside the core, and how it is installed. Standard library alone."""

import importlib.util
import sys

# Extra of setup.py -> modules that come with it.
EXTRAS = {
    "data": ("tensorflow_datasets", "PIL", "sklearn"),
    "plots": ("matplotlib", "PIL", "scipy"),
    "metrics": ("sklearn", "scipy", "joblib"),
    "tables": ("pandas", "pyarrow", "pooch"),
    "cells": ("pooch", "scipy"),
    "serving": ("tensorflow_serving", "grpc"),
}


class MissingExtra(ImportError):
    """Something is asked for that needs an extra which is not installed."""


def need(extra: str, what: str) -> None:
    """Returns where an extra is installed.

    Args:
        extra: One of `EXTRAS`.
        what: What needs it, in the plural: begins the message.

    Raises:
        MissingExtra: Otherwise, with the command that installs it.
    """
    missing = [name for name in EXTRAS[extra] if not _is_there(name)]
    if missing:
        raise MissingExtra(
            f"{what} need what is not installed: {', '.join(missing)}. "
            f"Try: pip install 'vae-zoo[{extra}]'"
        )


def _is_there(name):
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a parent
        return False
