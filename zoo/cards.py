"""Cards of stored models: what is known of them, without loading them. Standard library alone.

A stored model is a directory `<recipe>/` with `card.json`, pictures and the versions that TF Serving takes. It lies in the checkout's
`saved_models/`, or in the installed package.
"""

import hashlib
import json
from pathlib import Path


def roots():
    """Directories that stored models are looked for in, first match wins."""
    package = Path(__file__).parent
    return [package.parent / "saved_models", package / "saved_models"]


def model_directory(name):
    """The directory of a stored model, or None."""
    return next((root / name for root in roots() if (root / name / "card.json").is_file()), None)


def read_card(directory):
    """The card of a stored model.

    Raises:
        ValueError: If it cannot be read, or is another recipe's.
    """
    path = Path(directory) / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        for key in ("recipe", "version", "arguments", "numbers", "files"):
            card[key]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"The card {str(path)!r} is damaged ({type(error).__name__}: {error}). Restore it, or push the run again."
        ) from None
    if card["recipe"] != path.parent.name:
        raise ValueError(f"The card {str(path)!r} belongs to another recipe. Received: {card['recipe']!r}.")
    return card


def find_card(name):
    """The card of a recipe's stored model, or None where nothing is stored."""
    directory = model_directory(name)
    return None if directory is None else read_card(directory)


# What a number is called in a table.
LABELS = {
    "nll": "-log p(x)",
    "conditional_nll": "-log p(x given the condition)",
    "log_likelihood": "log p(x given z)",
    "bits_per_dim": "-log p(x)",
    "accuracy": "accuracy",
}
# Digits after the point, by unit; those of a share are 4.
DIGITS = {"nats": 2, "bits/dim": 3}


def headline(card, key):
    """The number that stands for a recipe, with its errors, as a table shows it; all of `conditional_nll_q1` ... `q3` where there are."""
    numbers = headline_numbers(card, key)
    if not numbers:
        return "not yet measured"
    cells = [_cell(_label(name), number) for name, number in sorted(numbers.items())]
    training = card["training"]
    partly = [] if training["epochs"] == training["of"] else ["{epochs:,} of {of:,} epochs".format(**training)]
    return "; ".join(cells + partly)


def headline_numbers(card, key):
    """The numbers of a card that `headline` shows, by key."""
    return {name: number for name, number in (card or {"numbers": {}})["numbers"].items() if _base(name) == _base(key)}


def value_shown(number):
    """A number's value as tables and docstrings show it: "86.68 nats", "1.453 bits/dim", "0.9512"."""
    return f"{number['value']:.{_digits(number)}f}{' ' + number['unit'] if number['unit'] in DIGITS else ''}"


def _digits(number):
    return DIGITS.get(number["unit"], 4)


def _base(key):
    return key.partition("_q")[0]


def _label(key):
    base, _, quadrants = key.partition("_q")
    return f"-log p(the rest given {quadrants} of 4 quadrants)" if quadrants else LABELS[base]


def _cell(label, number):
    errors = {"stderr_images": "images", "stderr_sampling": "noise", "stderr_runs": f"{len(number.get('values', ()))} runs"}
    shown = [f" ± {number[key]:.{_digits(number)}f} ({name})" for key, name in errors.items() if key in number]
    return f"{label} {value_shown(number)}{''.join(shown)}"


def file_hashes(version_directory):
    """ "<version>/<path>" -> sha256 of every file of a version, cards left out."""
    directory = Path(version_directory)
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != "card.json")
    return {f"{directory.name}/{path.relative_to(directory).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_files(directory, card):
    """Raises ValueError unless the files of the card's version are those that it was written for."""
    directory = Path(directory)
    version_directory = directory / str(card["version"])
    if not version_directory.is_dir():
        raise ValueError(f"The files of version {card['version']} are missing: {version_directory}.")
    received = file_hashes(version_directory)
    for name, digest in card["files"].items():
        if received.get(name) != digest:
            state = "is missing" if name not in received else "is not the file that the card describes (its sha256 differs)"
            raise ValueError(f"{str(directory / name)!r} {state}. Restore it, or push the run again.")
