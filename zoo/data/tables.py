"""Where tables come from: CSV and Parquet files, scikit-learn's, and the census of adults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.data.examples import known_split
from zoo.data.parts import PARTS, is_in_part
from zoo.extras import need
from zoo.observations.frames import as_frame
from zoo.observations.table import Table

TABLE = Table.key
SPLITS = (*PARTS, "all")
ADULT = (
    "https://raw.githubusercontent.com/sdv-dev/CTGAN/"
    "943760e305298eb075303dfe14769889d6eeb5c3/examples/csv/adult.csv",
    "b1ee59153ff6055037ada6074d5cbed507af97f4d4d4b1fffcd7f62133c283a5",
)


def read_file(path: Path, split: str) -> dict[str, Any]:
    """The rows of a CSV or Parquet file: "train" (80 %), "validation", "test" (10 % each), or
    "all".

    Which part a row belongs to is a function of its number: rows that are added to a file later
    leave the others where they are.

    Raises:
        ValueError: If the file cannot be read, or there is no such split.
    """
    return part_of(as_frame(path), str(path), split)


def part_of(frame: Any, name: str, split: str) -> dict[str, Any]:
    """The rows of a DataFrame that belong to a split, as `read_file` tells."""
    known_split(name, split, SPLITS)
    if split == "all":
        return {TABLE: frame}
    inside = is_in_part((f"row {number}" for number in range(len(frame))), split)
    return {TABLE: frame[inside].reset_index(drop=True)}


def _of_scikit_learn(name):
    def source(split):
        need("data", "The tables of scikit-learn")
        need("tables", "Tables")
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        return part_of(bunch.frame, name, split)

    return source


# Their target stands last.
EMBEDDED: dict[str, Callable[[str], dict[str, Any]]] = {
    name: _of_scikit_learn(name) for name in ("breast_cancer", "wine", "diabetes")
}


def adult(split: str, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Census income (Kohavi, KDD 1996; UCI, CC BY 4.0): 32,561 adults, 6 numeric columns and 9 of
    categories, as the CTGAN repository has them.

    The file `adult.csv` is looked for in `data_dir` and in its folder `tables`, and downloaded
    where it is in neither.
    """
    need("tables", "Tables")
    return part_of(as_frame(find_file("adult.csv", *ADULT, data_dir)), "adult", split)


def find_file(name: str, url: str, sha256: str, data_dir: str | Path | None) -> Path:
    """The path of a file that is in `data_dir`, or in its folder `tables`, or is downloaded into
    the user's cache, and checked by its sha256.

    Raises:
        ValueError: If it cannot be downloaded, or is another file.
    """
    import pooch

    for directory in () if data_dir is None else (Path(data_dir), Path(data_dir) / "tables"):
        if (directory / name).is_file():
            path = directory / name
            if pooch.file_hash(str(path)) != sha256:
                raise ValueError(
                    f"{str(path)!r} is not the file that is known by this name: its sha256 is "
                    f"another than {sha256}."
                )
            return path
    try:
        cache = data_dir or pooch.os_cache("vae-zoo")
        return Path(pooch.retrieve(url, sha256, fname=name, path=cache, progressbar=False))
    except Exception as error:  # of sockets, of servers, of a file that is another one
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{name!r} is not in the data directory and cannot be downloaded ({reason}). Put it "
            f"there by hand from {url}, and say where with --data-dir or ZOO_DATA_DIR."
        ) from None
