"""Files and directories that are there whole or not at all, whenever the process that writes them
is killed. Standard library alone."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no locks there, and nothing that waits for them
    fcntl = None


# -- Files


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Writes bytes beside the file and renames, so that a reader sees the old content or the new.

    Raises:
        OSError: If they cannot be written, as on a full disk: the file is then the old one, and the
            message names it.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            # A failed write names no file, other errors the hidden one.
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def remove_half_written(directory: Path) -> None:
    """Removes what `write_atomically` left where its process was killed."""
    for path in Path(directory).glob(".*.*"):
        if path.suffix[1:].isdecimal() and path.is_file() and _has_ended(int(path.suffix[1:])):
            path.unlink(missing_ok=True)


def _has_ended(process: int) -> bool:
    if os.name == "nt":
        return False  # asking by `os.kill` would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # it is someone else's
    return False


# -- Directories


@contextlib.contextmanager
def locked(directory: str | Path, wait: bool = True) -> Iterator[None]:
    """One `with` of a directory at a time, in all processes and threads of this machine. A lock
    ends with its process, however that ends.

    Where directories cannot be locked (Windows, some network drives) everyone may enter.

    Raises:
        BlockingIOError: If another is in the directory, and `wait` is false.
        OSError: If there is no such directory.
    """
    lock = _lock(directory, wait)
    try:
        yield
    finally:
        _unlock(lock)


def _lock(directory, wait):
    if fcntl is None:
        return None
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:  # NFS locks what is open for writing alone
        os.close(lock)
        return None
    return lock


def _unlock(lock):
    if fcntl is None or lock is None:
        return
    fcntl.flock(lock, fcntl.LOCK_UN)  # a forked process may hold it open
    os.close(lock)


@contextlib.contextmanager
def alone_in(directory: Path, verb: str) -> Iterator[None]:
    """Makes a directory and locks it; at the end, directories that were made and hold nothing are
    removed again.

    Args:
        directory: The directory, with its parents.
        verb: What is done there, for the message ("trains").

    Raises:
        ValueError: If another process has it locked.
    """
    directory = Path(directory)
    made = [place for place in (directory, *directory.parents) if not place.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(directory, wait=False))
        except BlockingIOError:
            raise ValueError(
                f"Another process {verb} in {str(directory)!r}. Wait for its end, or pass "
                "another --out."
            ) from None
        stack.callback(_remove_empty, made)
        yield


def _remove_empty(directories):
    with contextlib.suppress(OSError):  # something is in it
        for directory in directories:
            directory.rmdir()


@contextlib.contextmanager
def scratch_directory(parent: Path, name: str) -> Iterator[Path]:
    """A directory `.<name>.xxxxxxxx` to write into; `rename_into_place` gives it its name. It
    vanishes at the end if none did.

    Those of the same name that killed processes left are removed first; a number as a name stands
    for every number.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent, r"\d+" if name.isdecimal() else re.escape(name))
    beside, lock = _locked_scratch(parent, name)
    try:
        yield beside
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a failed write names no file
            raise OSError(error.errno, error.strerror, str(parent / name)) from None
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        _unlock(lock)


def rename_into_place(beside: Path, target: Path) -> None:
    """Makes a scratch directory public.

    Raises:
        FileExistsError: If the target is there already, with something in it.
    """
    beside.chmod(0o755)  # temporary directories are private; a server runs as someone else
    try:
        os.rename(beside, target)
    except OSError:
        if target.exists():  # the number of the error differs from system to system
            raise FileExistsError(f"{str(target)!r} exists.") from None
        raise


def _locked_scratch(parent, name):
    while True:
        beside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
        try:
            lock = _lock(beside, wait=True)
        except FileNotFoundError:
            continue  # swept away before it was locked
        if beside.is_dir():
            return beside, lock
        _unlock(lock)


def _remove_abandoned(parent, pattern):
    """Removes scratch directories that no process holds locked, and files that were half-written
    beside."""
    remove_half_written(parent)
    for path in parent.iterdir():
        if (
            fcntl is None
            or not re.fullmatch(rf"\.{pattern}\.[a-z0-9_]{{8}}", path.name)
            or path.is_symlink()
        ):
            continue
        # Held by its process, removed by another one, or not a directory.
        with contextlib.suppress(OSError):
            lock = _lock(path, wait=False)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                _unlock(lock)


# -- Places that someone named, looked at before the work that fills them


def check_file_target(name: str, path: str | Path, makes_parent: bool = False) -> None:
    """Raises ValueError unless a file can be written at a path.

    Args:
        name: What the user calls the path ("--out").
        path: The file.
        makes_parent: Whether the writer makes the directory where there is none.
    """
    path = _checked_path(name, path)
    if path.is_dir():
        raise ValueError(
            f"{name} must be a file. Received: {name.strip('`')}={str(path)!r}, which is a "
            "directory. Name a file in it."
        )
    if not makes_parent and not path.parent.is_dir():
        raise ValueError(
            f"There is no directory for {name} {str(path)!r}. "
            f"Make {str(path.parent)!r}, or name another file."
        )
    check_directory_target(name, path.parent)


def check_directory_target(name: str, path: str | Path) -> None:
    """Raises ValueError unless a path, `name` to the user, is a directory that can be written into,
    or can be made one."""
    path = _checked_path(name, path)
    there = next((place for place in (path, *path.parents) if place.exists()), Path("."))
    if not there.is_dir():
        raise ValueError(
            f"{name} must be a directory. Received: {name.strip('`')}={str(path)!r}, where "
            f"{str(there)!r} is a file. Name another."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{name} must be writable. Received: {name.strip('`')}={str(path)!r}, and "
            f"{str(there)!r} is not. Name another place."
        )


def _checked_path(name, path):
    if "\0" in str(path):
        raise ValueError(
            f"{name} must be a path. Received: {name.strip('`')}={str(path)!r}, with a null "
            "character. Leave it out."
        )
    return Path(path)
