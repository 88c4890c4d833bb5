"""Figures of Matplotlib that know nothing of `pyplot`, and how they become files."""

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from zoo.files import write_atomically


class Picture(Figure):
    """A figure that a notebook shows whether or not `pyplot` was imported there."""

    def _repr_png_(self):
        return png(self)


def subplots(
    num_rows: int = 1, num_columns: int = 1, *, figsize: tuple[float, float], **options: Any
) -> tuple[Figure, Any]:
    """A figure (inches) and its axes, as `pyplot.subplots` gives them; options are those of
    `Figure.subplots`."""
    figure = Picture(figsize=figsize, layout="constrained")
    return figure, figure.subplots(num_rows, num_columns, **options)


def png(figure: Figure, dpi: int = 120) -> bytes:
    """The PNG file of a figure."""
    return _drawn(figure, "png", dpi)


def finished(figure: Figure, path: str | Path | None, dpi: int = 120) -> Figure:
    """The figure, written where a path is given, whole or not at all.

    Raises:
        ValueError: If Matplotlib writes no files with the path's suffix.
        OSError: If the file cannot be written.
    """
    if path is not None:
        write_atomically(Path(path), _drawn(figure, check_suffix(path), dpi))
    return figure


def check_suffix(path: str | Path) -> str:
    """The kind of picture that a path asks for ("png").

    Raises:
        ValueError: If Matplotlib does not write it.
    """
    kind = Path(path).suffix[1:].lower()
    kinds = Figure().canvas.get_supported_filetypes()
    if kind not in kinds:
        raise ValueError(
            f"A picture's file must end in .png or another of {', '.join(sorted(kinds))}. "
            f"Received: {str(path)!r}."
        )
    return kind


def _drawn(figure, kind, dpi):
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi)
    return buffer.getvalue()
