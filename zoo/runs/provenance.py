"""Where a run comes from: revision of the code, versions of the packages, machine."""

import contextlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import tensorflow as tf

from zoo.machine import cores

PACKAGES = ("vae-zoo", "tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets")
PACKAGES += ("numpy",)


def versions() -> dict[str, str]:
    """Package -> version of those that are installed, Python's among them."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_revision(recipe: bytes | None = None) -> str | None:
    """Revision of the checkout that the package runs from; None outside a checkout.

    Args:
        recipe: Content of the recipe's file.

    Returns:
        The revision, with "-dirty" where files differ from it or it does not hold the recipe's
        file.
    """
    try:
        revision = _git("rev-parse", "HEAD")
        is_clean = not _git("status", "--porcelain") and (
            recipe is None or _holds(revision, recipe)
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + ("" if is_clean else "-dirty")


def _holds(revision, content):
    """Whether a revision has a file of this content, wherever it lies and whatever it is called."""
    blob = _git("hash-object", "--stdin", input=content)
    return f" {blob}\t" in _git("ls-tree", "-r", "--full-tree", revision)


def _git(*arguments, input=None):
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    process = subprocess.run(command, input=input, capture_output=True, check=True)
    return process.stdout.decode().strip()


def machine() -> str:
    """The processor or GPU that TensorFlow uses, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [
            tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
        ]
        return f"{len(gpus)}x {names[0]}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
    number = cores()
    return f"{number} CPU core{'s' if number > 1 else ''}, {name}"
