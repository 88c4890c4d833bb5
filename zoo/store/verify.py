"""Published numbers, recomputed from the stored weights by whoever wants to know."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zoo import data, registry
from zoo.data.examples import first_of
from zoo.evaluation.likelihood import evaluate
from zoo.store import cards, hub, pretrained
from zoo.versions import versions

# How far a number may lie from the published one under the card's seed: machines round differently.
TOLERANCES = {
    "nats": 0.01,
    "bits/dim": 0.001,
    "share": 0.001,
    "score": 0.001,
    "latent dimensions": 0,
    "bits": 0.05,
    "dB": 0.01,
    "codes": 1,
}
# And under another seed, in its standard errors.
STANDARD_ERRORS = 4


class Row(NamedTuple):
    """One number, published and recomputed."""

    model: str  # "vae_mnist/1", or "vae_mnist/1[:500]" of a subset
    name: str
    unit: str
    published: float
    recomputed: float
    tolerance: float | None
    seconds: float  # of the model's whole evaluation

    @property
    def agrees(self) -> bool | None:
        """True or False; None where nothing says how far apart they may be."""
        if self.tolerance is None:
            return None
        return abs(self.published - self.recomputed) <= self.tolerance


def verify(
    name: str,
    version: int | None = None,
    *,
    new_seed: int | None = None,
    full: bool = False,
    data_dir: str | Path | None = None,
) -> Iterator[Row]:
    """Measures a stored model as its card says that it was measured.

    Where a card has numbers of its own for a subset, the first so many test examples, these are
    recomputed: all of a large model may take hours.

    Args:
        name: Name of a recipe with stored weights.
        version: Integer; by default every version that is stored.
        new_seed: Seed of other noise than the card's: importance-sampled numbers then have to lie
            within 4 of their `stderr_sampling` (of binarization and latents), others within 4 of
            their standard error over examples, and what has neither is told and not judged.
        full: Whether all examples are measured where the card has a subset.
        data_dir: As in `zoo.data.load`.

    Yields:
        A `Row` for every number of every version.

    Raises:
        ValueError: If nothing is stored, or the test examples are not those that the card's numbers
            are of.
    """
    assert_stored(name, version)
    newest = hub.version_directory(name, version)
    for each in versions(newest.parent) if version is None else [version]:
        yield from _verify_version(
            name, hub.version_directory(name, each), new_seed, full, data_dir
        )


def assert_stored(name: str, version: int | None = None) -> None:
    """Raises ValueError where nothing is stored under a name and version; no file is read or
    fetched for it."""
    if cards.model_directory(name) is None and name not in hub.read_index():
        registry.find(name)  # a name that is no recipe's is told as such
    hub.version_to_load(name, version)


def _verify_version(name, directory, new_seed, full, data_dir):
    start = time.perf_counter()
    card = cards.read_version_card(directory)
    model = pretrained.load_version(directory)
    dataset = pretrained.task_of(card, model).dataset
    as_stored = dataclasses.replace(dataset, binarization="grey")
    digest = data.sha256(data.load(as_stored, dataset.test, data_dir=data_dir)[model.key])
    if digest != card["data"]["sha256"]["test"]:
        noun = model.observation.noun
        raise ValueError(
            f"The {noun}s of {dataset.name!r}, {dataset.test!r}, are not those that {name!r} was "
            f"measured on: their sha256 is {digest}, and the card says "
            f"{card['data']['sha256']['test']}."
        )
    examples = data.load(dataset, dataset.test, data_dir=data_dir)
    # The others are other versions'.
    published = {key: number for key, number in card["numbers"].items() if "version" not in number}
    title = f"{name}/{card['version']}"
    if "subset" in card and not full:
        published, count = card["subset"]["numbers"], card["subset"]["num_examples"]
        examples, title = first_of(examples, count), f"{title}[:{count}]"
    nll_name = next((key for key in published if key.startswith("conditional_nll")), "nll")
    protocol = card["evaluation"] if new_seed is None else {**card["evaluation"], "seed": new_seed}
    recomputed = evaluate(
        model, examples, split=dataset.test, nll_name=nll_name, verbose=0, **protocol
    )
    seconds = time.perf_counter() - start
    for key, number in published.items():
        # Of a mean over runs, the first is the stored one's.
        value = number["values"][0] if "values" in number else number["value"]
        received = recomputed[key]["value"] if key in recomputed else float("nan")
        tolerance = _tolerance(number) if new_seed is None else _tolerance_of_noise(number)
        yield Row(title, key, number["unit"], value, received, tolerance, seconds)


def _tolerance(number):
    return TOLERANCES[number["unit"]]


def _tolerance_of_noise(number):
    errors = ("stderr_sampling", "stderr_images", "stderr_examples")
    error = next((number[name] for name in errors if name in number), None)
    return None if error is None else max(STANDARD_ERRORS * error, _tolerance(number))


def line(row: Row) -> str:
    """A row as a line of text."""
    word = {True: "ok  ", False: "FAIL", None: "    "}[row.agrees]
    within = "not judged" if row.tolerance is None else f"within {row.tolerance:.3g}"
    return (
        f"{word}  {row.model:28} {row.name:24} published {row.published:10.4f}  "
        f"recomputed {row.recomputed:10.4f} {row.unit} ({within}; {row.seconds:.0f} s)"
    )
