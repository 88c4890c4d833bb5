"""Files and directories that are there whole or not at all, whenever the process that writes them is killed. Standard library alone."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path


def write_atomically(path, content):
    """Writes bytes beside the file and renames, so that a reader sees the old content or the new."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    os.replace(beside, path)


def remove_half_written(directory):
    """Removes what `write_atomically` left where its process was killed."""
    for path in Path(directory).glob(".*.*"):
        if path.suffix[1:].isdigit():
            path.unlink()


@contextlib.contextmanager
def whole_directory(target):
    """A directory to write into, beside `target`; becomes `target` at the end of the `with`, or vanishes if an exception ends it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield beside
        beside.chmod(0o755)  # temporary directories are private; a server runs as someone else
        os.rename(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
