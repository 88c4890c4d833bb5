"""Trained models, as a server takes them."""

from pathlib import Path

from zoo.files import locked
from zoo.runs.run import Run, is_run
from zoo.serving import configuration
from zoo.serving.saved_model import export
from zoo.store.pretrained import describe, load_with_card


def export_model(target: str | Path, base: str | Path) -> Path:
    """Exports a run or a stored model into a base directory that a server polls, and names it in
    the server's configuration.

    Args:
        target: Run directory, or name of a recipe with stored weights, or a directory as in `load`.
        base: The base directory: the model goes to `<base>/<recipe>/<next version>`.

    Returns:
        The version's directory.
    """
    if is_run(target):
        run = Run.open(target)
        name, model, card = run.record["recipe"], run.load_model(), {**describe(run), "numbers": {}}
    else:
        model, card = load_with_card(target)
        name = card["recipe"]
    directory = export(model, Path(base) / name, card=card)
    with locked(base):  # who writes last has to know of all versions
        configuration.write(base)
    return directory
