"""Versions of other packages that this one was tested with. Standard library alone."""

import importlib.metadata
import os
import re

# Package -> (the lowest version, the first that is too new), as in setup.py.
SUPPORTED = {
    "tensorflow": ("2.18", "2.22"),
    "keras": ("3.8", "3.16"),
    "tensorflow-probability": ("0.25", "0.26"),
}
# Set to anything, it lets versions pass that were not tested.
ANY = "ZOO_ANY_VERSION"


def check() -> None:
    """Returns where all packages are there in versions that were tested.

    Raises:
        ImportError: Otherwise, unless `ANY` is set.
    """
    if os.environ.get(ANY):
        return
    for package, (lowest, beyond) in SUPPORTED.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise ImportError(
                f"zoo needs {package}, which is not installed. "
                f"Try: pip install '{package}>={lowest},<{beyond}'"
            ) from None
        if not parts(lowest) <= parts(version) < parts(beyond):
            raise ImportError(
                f"zoo was tested with {package} from {lowest} to below {beyond}. Received: "
                f"{version}. Install another version, or set {ANY}=1 to go on regardless."
            )


def parts(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: (2, 21, 0) of "2.21.0rc1"."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
