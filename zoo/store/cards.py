"""Cards of stored models: what is known of them, without loading them. Standard library alone.

A stored model is a directory `<recipe>/` with `card.json`, pictures and the versions that TF
Serving takes. It lies in the checkout's `saved_models/`, or in the installed package.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.forms import NUMBER, check_form, check_name
from zoo.recipe import Dataset
from zoo.versions import assert_files


def roots() -> list[Path]:
    """Directories that stored models are looked for in, first match wins."""
    package = Path(__file__).parents[1]
    return [package.parent / "saved_models", package / "saved_models"]


def model_directory(name: str) -> Path | None:
    """The directory of a stored model, or None."""
    return next((root / name for root in roots() if (root / name / "card.json").is_file()), None)


# A number says what it is; where it is a mean over runs, also what each run's was.
NUMBERS = {str: {"value": NUMBER, "unit": str}}
FILES = {"version": int, "files": {str: str}}
FORM = {
    "recipe": str,
    "version": int,
    "arguments": {str: object},
    "numbers": NUMBERS,
    "files": {str: str},
}
DATA = {"name": str, "train": str, "validation": str, "test": str, "binarization": str}
# What a card has once a model was stored; an export tells less.
OPTIONAL = {
    "data": DATA,
    "training": {"epochs": int, "of": int},
    "evaluation": {"seed": int, "num_samples": int},
    "subset": {"num_examples": int, "numbers": NUMBERS},
    "versions": {str: str},
    "headline": str,
    "evaluation_samples": int,
    "about": str,
}


def read_card(directory: str | Path) -> dict[str, Any]:
    """The card of a stored model.

    Raises:
        ValueError: If it cannot be read, or is another recipe's.
    """
    return _of_recipe(Path(directory) / "card.json", Path(directory).resolve().name)


def read_version_card(version_directory: str | Path) -> dict[str, Any]:
    """The card that lies in a version's directory, as `read_card` reads the newest one's."""
    return _of_recipe(
        _version_card(version_directory), Path(version_directory).resolve().parent.name
    )


def card_of(version_directory: str | Path) -> dict[str, Any]:
    """The same, wherever the version's directory lies.

    Raises:
        ValueError: If it cannot be read, or tells no recipe: an export of `zoo.export` that was
            given no card.
    """
    path = _version_card(version_directory)
    if "recipe" not in _read(path, FILES):
        raise ValueError(
            f"The card {str(path)!r} tells neither recipe nor data of the model. Load it in "
            "Python: `zoo.load`."
        )
    return _read(path, FORM)


def _version_card(version_directory):
    return Path(version_directory) / "assets.extra" / "card.json"


def _of_recipe(path, recipe):
    card = _read(path, FORM)
    if card["recipe"] != recipe:
        raise ValueError(
            f"The card {str(path)!r} belongs to another recipe. Received: {card['recipe']!r}."
        )
    return card


def _read(path, form):
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        check_form(card, form)
        if "recipe" in form:
            check_name(card["recipe"], "recipe")
        for name, optional in OPTIONAL.items():
            if name in card:
                check_form(card[name], optional, name)
        if not card["files"]:
            raise ValueError("`files` names none, so that nothing can be checked")
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"The card {str(path)!r} is damaged ({type(error).__name__}: {error}). "
            "Restore it, or push the run again."
        ) from None
    return card


def stored() -> list[str]:
    """Names of all stored models, those of recipes that are not installed here among them."""
    return sorted({path.parent.name for root in roots() for path in root.glob("*/card.json")})


def find_card(name: str) -> dict[str, Any] | None:
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
    "column_similarity": "similarity of columns",
    "imputation_mse": "mean squared error of hidden cells",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "factor_vae": "FactorVAE score",
}
# As in `zoo.evaluation.likelihood`, which warns of fewer.
TRUSTED_SAMPLE_SIZE = 10
# Digits after the point, by unit; those of a share are 4.
DIGITS = {"nats": 2, "bits/dim": 3}


def headline(card: Mapping[str, Any] | None, key: str) -> str:
    """The number that stands for a recipe, with its errors, as a table shows it; all of
    `conditional_nll_q1` ... `q3` where there are."""
    numbers = headline_numbers(card, key)
    if card is None or not numbers:
        return "not yet measured"
    cells = [
        _cell(_label(name), number, _is_bound(card, number))
        for name, number in sorted(numbers.items())
    ]
    training = card["training"]
    if training["epochs"] != training["of"]:
        cells.append("{epochs:,} of {of:,} epochs".format(**training))
    return "; ".join(cells)


def headline_numbers(card: Mapping[str, Any] | None, key: str) -> dict[str, dict[str, Any]]:
    """The numbers of a card that `headline` shows, by key."""
    return {
        name: number
        for name, number in (card or {"numbers": {}})["numbers"].items()
        if _base(name) == _base(key)
    }


def value_shown(number: Mapping[str, Any]) -> str:
    """A number's value as tables and docstrings show it: "86.68 nats", "1.453 bits/dim",
    "0.9512"."""
    value = f"{number['value']:.{_digits(number)}f}"
    return f"{value} {number['unit']}" if number["unit"] in DIGITS else value


def _digits(number):
    return DIGITS.get(number["unit"], 4)


def _base(key):
    return key.partition("_q")[0]


def _label(key):
    base, _, quadrants = key.partition("_q")
    return f"-log p(the rest given {quadrants} of 4 quadrants)" if quadrants else LABELS[base]


def _is_bound(card, number):
    """Whether a number is an upper bound, by its kind or as few importance samples carry it; bits
    per dimension are of the `nll` beside them."""
    estimate = card["numbers"].get("nll", {}) if number["unit"] == "bits/dim" else number
    return (
        estimate.get("is_bound", False)
        or estimate.get("effective_sample_size", TRUSTED_SAMPLE_SIZE) < TRUSTED_SAMPLE_SIZE
    )


def _cell(label, number, is_bound):
    errors = {
        "stderr_images": "images",
        "stderr_examples": "examples",
        "stderr_sampling": "noise",
        "stderr_runs": f"{len(number.get('values', ()))} runs",
    }
    shown = [
        f" ± {number[key]:.{_digits(number)}f} ({name})"
        for key, name in errors.items()
        if key in number
    ]
    return f"{label} {'≤ ' if is_bound else ''}{value_shown(number)}{''.join(shown)}"


def readme(card: Mapping[str, Any], about: str, pictures: Sequence[str]) -> str:
    """A stored model's README.md: what a person reads of a card.

    Args:
        card: Dict.
        about: The recipe's docstring.
        pictures: Names of the image files beside.
    """
    title, _, body = _true_of(card, about).partition("\n\n")
    noun = card["data"].get("noun", "image")
    name, version = card["recipe"], card["version"]
    training, dataset = card["training"], card["data"]
    table = ["| number | value | unit | split | how |", "| --- | --- | --- | --- | --- |"]
    for key, number in card["numbers"].items():
        value = f"{number['value']:.4f}"
        if "of" in number:
            value = f"{number['value']:.4g} of {number['of']}"
        table.append(
            f"| `{key}` | {value} | {number['unit']} | {number['split']} | {_how(number, noun)} |"
        )
    made = {
        "arguments": ", ".join(f"`{key}={value!r}`" for key, value in card["arguments"].items()),
        "seed": card["seed"],
        "data": f"{', '.join(_data(dataset))}: trained on `{dataset['train']}`, "
        f"choices by `{dataset['validation']}`, measured on `{dataset['test']}`",
        f"sha256 of the {noun}s": ", ".join(
            f"{part} `{digest}`" for part, digest in dataset["sha256"].items()
        ),
        "epochs": f"{training['epochs']:,} of {training['of']:,}; the weights are those after "
        f"epoch {training['kept_epoch']:,}",
        "time": f"{training['seconds'] / 60:.1f} minutes on {training['machine']}, as "
        f"{training['mode']} in {training['precision']}",
        "versions": ", ".join(
            f"{package} {number}" for package, number in card["versions"].items()
        ),
        "revision": card["git"],
        **(
            {"sha256 of the recipe": f"`{card['recipe_sha256']}`"}
            if "recipe_sha256" in card
            else {}
        ),
        "weights": f"{card['parameters']:,}, rounded to a sixty-fourth of a matrix's standard "
        "deviation or finer, and measured so",
        "license": card["license"],
    }
    return "\n".join(
        [
            f"# {name}",
            "",
            title,
            "",
            *(f"![{picture.removesuffix('.png')}]({picture})" for picture in pictures),
            *(["", body.rstrip()] if body else []),
            "",
            f"## Numbers of version {version}",
            "",
            *table,
            "",
            f"`zoo verify {name}` recomputes {_verified(card, noun)} from the files here.",
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
            "The directories with numbers for names are SavedModels as TF Serving takes them:",
            f"`zoo serve` the directory above, or `zoo export {name} --out served`.",
            "",
        ]
    )


def _verified(card, noun):
    """What `zoo verify` recomputes, in words."""
    if "subset" not in card:
        return "them"
    subset, count = card["subset"]["numbers"], card["subset"]["num_examples"]
    numbers = ", ".join(f"`{key}` {number['value']:.4f}" for key, number in subset.items())
    return f"those of the first {count:,} test {noun}s ({numbers}), and with `--full` all,"


def about_own(docstring: str, others: Mapping[str, str]) -> str:
    """What the docstring of somebody's own recipe says of it alone.

    Own recipes begin as copies (`zoo copy`). Paragraphs that still are another recipe's, word for
    word, tell of that one and of its numbers.

    Args:
        docstring: Of the own recipe.
        others: Name -> docstring of the recipes that are installed.

    Returns:
        The docstring that the README shows.
    """
    owner = {paragraph: name for name, text in others.items() for paragraph in _paragraphs(text)}
    title, *body = _paragraphs(docstring) or [""]
    copied = [owner[paragraph] for paragraph in (title, *body) if paragraph in owner]
    kept = [paragraph for paragraph in body if paragraph not in owner]
    if title in owner:
        title = f"A recipe that began as a copy of `{owner[title]}`."
    elif copied:
        kept.append(f"The recipe began as a copy of `{copied[0]}`.")
    return "\n\n".join([title, *kept])


def _true_of(card, about):
    """A docstring without what it says is to be expected, unless one of the card's numbers is among
    it: it may be another recipe's, or another training's."""
    measured = (
        f"{abs(number['value']):.{_digits(number)}f}" for number in card["numbers"].values()
    )
    if any(re.search(rf"(?<![\d.]){re.escape(value)}(?!\d)", about) for value in measured):
        return about
    return "\n\n".join(filter(None, map(_without_expectations, _paragraphs(about))))


def _paragraphs(text):
    return [paragraph.rstrip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def _without_expectations(paragraph):
    if paragraph.startswith("    "):  # code
        return paragraph
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`(])", paragraph)
    return " ".join(
        sentence for sentence in sentences if not re.search(r"\bexpect\b", sentence, re.IGNORECASE)
    )


def _data(record):
    """Name, binarization, and what becomes of pictures."""
    dataset = Dataset.of_record(record)
    return filter(None, (dataset.name, dataset.binarization, dataset.pictures))


def _how(number, noun):
    """What a number is a mean of, and its errors."""
    parts = [f"{number['num_examples']:,} {noun}s"]
    if number.get("is_bound"):
        parts.append("an upper bound")
    if "num_samples" in number:
        parts.append(
            f"{number['num_samples']:,} samples each, effective "
            f"{number['effective_sample_size']:.0f}"
        )
    if "values" in number:
        parts.append(
            f"mean over {len(number['values'])} runs "
            f"({', '.join(f'{value:.4g}' for value in number['values'])})"
        )
    errors = {
        "stderr_images": "images",
        "stderr_examples": f"{noun}s",
        "stderr_sampling": "noise",
        "stderr_runs": "runs",
    }
    parts += [f"± {number[key]:.2g} over {what}" for key, what in errors.items() if key in number]
    if "version" in number:
        parts.append(f"of version {number['version']}")
    return "; ".join(parts)


def check_version(version_directory: str | Path) -> None:
    """Raises ValueError unless a version's directory, wherever it lies, holds the files that its
    card was written for."""
    assert_files(Path(version_directory), _read(_version_card(version_directory), FILES))
