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
    return _read(Path(directory) / "card.json", Path(directory).name)


def _read(path, recipe):
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        for key in ("recipe", "version", "arguments", "numbers", "files"):
            card[key]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"The card {str(path)!r} is damaged ({type(error).__name__}: {error}). Restore it, or push the run again."
        ) from None
    if card["recipe"] != recipe:
        raise ValueError(f"The card {str(path)!r} belongs to another recipe. Received: {card['recipe']!r}.")
    return card


def read_version_card(version_directory):
    """The card that lies in a version's directory, as `read_card` reads the newest one's."""
    return _read(Path(version_directory) / "assets.extra" / "card.json", Path(version_directory).parent.name)


def versions(directory):
    """The versions in a model's directory, ascending."""
    directory = Path(directory)
    return sorted(int(child.name) for child in directory.iterdir() if child.name.isdigit()) if directory.is_dir() else []


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
    "factor_vae": "FactorVAE score",
}
# As in `zoo.evaluation.likelihood`, which warns of fewer.
TRUSTED_SAMPLE_SIZE = 10
# Digits after the point, by unit; those of a share are 4.
DIGITS = {"nats": 2, "bits/dim": 3}


def headline(card, key):
    """The number that stands for a recipe, with its errors, as a table shows it; all of `conditional_nll_q1` ... `q3` where there are."""
    numbers = headline_numbers(card, key)
    if not numbers:
        return "not yet measured"
    cells = [_cell(_label(name), number, _is_bound(card, number)) for name, number in sorted(numbers.items())]
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


def _is_bound(card, number):
    """Whether an importance-sampled number is an upper bound, as few samples carry it; bits per dimension are of the `nll` beside them."""
    estimate = card["numbers"].get("nll", {}) if number["unit"] == "bits/dim" else number
    return estimate.get("effective_sample_size", TRUSTED_SAMPLE_SIZE) < TRUSTED_SAMPLE_SIZE


def _cell(label, number, is_bound):
    errors = {"stderr_images": "images", "stderr_sampling": "noise", "stderr_runs": f"{len(number.get('values', ()))} runs"}
    shown = [f" ± {number[key]:.{_digits(number)}f} ({name})" for key, name in errors.items() if key in number]
    return f"{label} {'≤ ' if is_bound else ''}{value_shown(number)}{''.join(shown)}"


def readme(card, about, pictures):
    """A stored model's README.md: what a person reads of a card.

    Args:
        card: Dict.
        about: The recipe's docstring.
        pictures: Names of the image files beside.
    """
    title, _, body = about.partition("\n")
    name, version, training, dataset = card["recipe"], card["version"], card["training"], card["data"]
    table = ["| number | value | unit | split | how |", "| --- | --- | --- | --- | --- |"]
    for key, number in card["numbers"].items():
        value = f"{number['value']:.4g} of {number['of']}" if "of" in number else f"{number['value']:.4f}"
        table.append(f"| `{key}` | {value} | {number['unit']} | {number['split']} | {_how(number)} |")
    made = {
        "arguments": ", ".join(f"`{key}={value!r}`" for key, value in card["arguments"].items()),
        "seed": card["seed"],
        "data": f"{dataset['name']}, {dataset['binarization']}: trained on `{dataset['train']}`, choices by `{dataset['validation']}`, "
        f"measured on `{dataset['test']}`",
        "sha256 of the images": ", ".join(f"{part} `{digest}`" for part, digest in dataset["sha256"].items()),
        "epochs": f"{training['epochs']:,} of {training['of']:,}; the weights are those after epoch {training['kept_epoch']:,}",
        "time": f"{training['seconds'] / 60:.1f} minutes on {training['machine']}, as {training['mode']} in {training['precision']}",
        "versions": ", ".join(f"{package} {number}" for package, number in card["versions"].items()),
        "revision": card["git"],
        "weights": f"{card['parameters']:,}, rounded to a sixty-fourth of a matrix's standard deviation or finer, and measured so",
        "license": card["license"],
    }
    return "\n".join(
        [
            f"# {name}",
            "",
            title,
            "",
            *(f"![{picture.removesuffix('.png')}]({picture})" for picture in pictures),
            *([body.rstrip()] if body else []),
            "",
            f"## Numbers of version {version}",
            "",
            *table,
            "",
            f"`zoo verify {name}` recomputes them from the files here.",
            "",
            "## How it was made",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {key} | {value} |" for key, value in made.items()),
            "",
            "## Use",
            "",
            "```python",
            "import zoo",
            "",
            f'model = zoo.load("{name}")',
            "```",
            "",
            f"The directories with numbers for names are SavedModels as TF Serving takes them: `zoo serve` the directory above, or "
            f"`zoo export {name} --out served`.",
            "",
        ]
    )


def _how(number):
    """What a number is a mean of, and its errors."""
    parts = [f"{number['num_examples']:,} images"]
    if "num_samples" in number:
        parts.append(f"{number['num_samples']:,} samples each, effective {number['effective_sample_size']:.0f}")
    if "values" in number:
        parts.append(f"mean over {len(number['values'])} runs ({', '.join(f'{value:.4g}' for value in number['values'])})")
    errors = {"stderr_images": "images", "stderr_sampling": "noise", "stderr_runs": "runs"}
    parts += [f"± {number[key]:.2g} over {what}" for key, what in errors.items() if key in number]
    return "; ".join([*parts, *([f"of version {number['version']}"] if "version" in number else [])])


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
    for name in received:
        if name not in card["files"] and not name.rpartition("/")[2].startswith("."):  # a file manager's
            raise ValueError(f"{str(directory / name)!r} is not among the files of its card. Remove it, or push the run again.")
    for name, digest in card["files"].items():
        if received.get(name) != digest:
            state = "is missing" if name not in received else "is not the file that the card describes (its sha256 differs)"
            raise ValueError(f"{str(directory / name)!r} {state}. Restore it, or push the run again.")
