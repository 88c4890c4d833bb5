"""Where a stored model's files are: in the checkout, in the installed package, in the cache, or on
a server that holds a copy.

    ZOO_HUB      base URL (http, https or file) of a copy of `saved_models/`, which files that
                 are nowhere here are fetched from
    ZOO_CACHE    directory that they are kept in; by default `vae-zoo` in the user's cache directory

The server needs to know nothing: files are asked for by their paths,
`<base>/<recipe>/<version>/<file>`. What it answers counts for nothing until its size and sha256 are
those of the index that is part of this package; what was received stays, so that a fetch which was
cut off goes on where it stopped; and the version's directory appears in the cache only once it is
whole.

    <cache>/<recipe>/<version>/             whole versions
    <cache>/<recipe>/.<version>.partial/    files that were received, under flat names:
                                            nothing else leaves it
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from zoo.files import locked, rename_into_place, scratch_directory, write_atomically
from zoo.forms import is_one_name
from zoo.store import cards
from zoo.versions import check_files, versions

INDEX = Path(__file__).parents[1] / "index.json"
TIMEOUT = 30  # seconds without a byte
# Bytes per second, on average over a file and after TIMEOUT: a slower server does not send, it
# drips.
SLOWEST = 10_000
CHUNK = 1 << 16


def version_directory(name: str, version: int | None = None) -> Path:
    """The files of a stored model's version, fetched if they are nowhere here, and checked.

    Args:
        name: Name of a recipe.
        version: Integer; by default the newest.

    Returns:
        The version's directory, as a `Path`.

    Raises:
        ValueError: If there is no such model or version, or its files are not what they should be.
        OSError: If they cannot be fetched, or not kept.
    """
    version = version_to_load(name, version)
    local = cards.model_directory(name)
    if local is None or not (local / str(version)).is_dir():
        return _cached(name, version, read_index()[name][str(version)])
    card = cards.read_version_card(local / str(version))
    if card["version"] != version:
        raise ValueError(
            f"The card in {str(local / str(version))!r} must be of version {version}. Received: "
            f"version={card['version']!r}. Restore it, or push the run again."
        )
    check_files(local, card)
    return local / str(version)


def version_to_load(name: str, version: int | None = None) -> int:
    """The number of a stored model's version, by default the newest's; none of its files is looked
    at.

    Raises:
        ValueError: If there is no such model or version.
    """
    index = read_index().get(name, {})
    local = cards.model_directory(name) if is_one_name(name) else None
    newest = cards.read_card(local)["version"] if local else max(map(int, index), default=None)
    if newest is None:
        raise ValueError(
            f"Recipe {name!r} has no stored weights. Train it with `zoo train {name}`."
        )
    here = versions(local) if local else []
    number = newest if version is None else version
    # A text such as "../2" would be a path.
    if str(number).isdecimal() and (int(number) in here or str(int(number)) in index):
        return int(number)
    if local is not None and str(number) == str(newest):
        raise ValueError(
            f"The files of version {newest} of {name!r} are missing: {local / str(newest)}."
        )
    numbers = ", ".join(map(str, sorted({*map(int, index), *here})))
    raise ValueError(f"{name!r} has no version {version!r}. Its versions are {numbers}.")


def read_index() -> dict[str, dict[str, Any]]:
    """Recipe -> version -> path -> [sha256, bytes] of every file of every stored model."""
    return json.loads(INDEX.read_text(encoding="utf-8"))


def write_index(root: Path) -> dict[str, dict[str, Any]]:
    """Writes the index of the models that are stored in a directory; returns it."""
    index = {}
    for path in sorted(Path(root).glob("*/card.json")):
        directories = [path.parent / str(version) for version in versions(path.parent)]
        index[path.parent.name] = {directory.name: _files(directory) for directory in directories}
    write_atomically(INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return index


def _files(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        path.relative_to(directory).as_posix(): [_sha256(path), path.stat().st_size]
        for path in files
    }


def cache_directory() -> Path:
    """Where fetched models are kept."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae-zoo"
    return Path(os.environ.get("ZOO_CACHE") or default)


def _cached(name, version, files):
    """The version's directory in the cache, fetched if it is not there."""
    for path in (name, *files):
        _check_path(path)
    target = cache_directory() / name / str(version)
    if not target.is_dir():
        base = _base(name, version, target)
        with _in_cache(target.parent):
            if not target.is_dir():
                _fetch_version(f"{base}/{name}/{version}", target, files)
    for path, (digest, _) in files.items():
        if not (target / path).is_file() or _sha256(target / path) != digest:
            raise ValueError(
                f"{str(target / path)!r} is not the file of the index. Remove {str(target)!r}, "
                "and it is fetched again."
            )
    return target


def _base(name, version, target):
    base = os.environ.get("ZOO_HUB", "").rstrip("/")
    if not base:
        raise ValueError(
            f"The files of {name!r}, version {version}, are neither in "
            f"{' nor in '.join(map(str, cards.roots()))} nor in the cache ({target}). Set ZOO_HUB "
            "to the base URL of a copy of saved_models/, and they are fetched from there."
        )
    if urlsplit(base).scheme not in ("http", "https", "file"):
        raise ValueError(
            "ZOO_HUB must be a URL that begins with https://, http:// or file:///. Received: "
            f"ZOO_HUB={base!r}."
        )
    return base


def _check_path(path):
    """Raises unless a path of the index stays in its directory, on Windows as well."""
    if (
        not path
        or PurePosixPath(path).is_absolute()
        or "\\" in path
        or ":" in path
        or ".." in PurePosixPath(path).parts
    ):
        raise ValueError(
            f"Paths of the index must lie within a model's directory. Received: {path!r} in "
            f"{str(INDEX)!r}. Restore the file."
        )


@contextlib.contextmanager
def _in_cache(directory):
    """One process at a time fetches a model."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.is_symlink():
            raise OSError(
                f"it is a symbolic link to {str(directory.resolve())!r}, which may not be the "
                "cache's to write in"
            )
    except OSError as error:
        raise OSError(
            f"The cache {str(directory)!r} cannot be written ({error}). Set ZOO_CACHE to a "
            "directory that can."
        ) from None
    with locked(directory):
        yield


def _fetch_version(url, target, files):
    """Fetches the files of a version, and gives them their places: what else lies where they were
    received stays behind."""
    partial = target.parent / f".{target.name}.partial"
    if partial.is_symlink():
        partial.unlink()
    partial.mkdir(exist_ok=True)
    received = {path: partial / quote(path, safe="") for path in files}
    for path, (digest, size) in files.items():
        _fetch(f"{url}/{quote(path)}", received[path], digest, size)
    with scratch_directory(target.parent, target.name) as beside:
        for path, file in received.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, beside / path)
        rename_into_place(beside, target)
    shutil.rmtree(partial)


def _fetch(url, path, digest, size):
    """Brings a file up to its size from a URL, and checks it."""
    if path.is_symlink():
        path.unlink()  # what it leads to is not the cache's
    have = path.stat().st_size if path.exists() else 0
    if have < size and _receive(url, path, have, size):
        have = path.stat().st_size
        if have < size:
            raise OSError(
                f"{url} cannot be fetched: {have:,} of {size:,} bytes came. They are kept; the "
                "next attempt goes on from there."
            )
    if have != size or _sha256(path) != digest:
        path.unlink(missing_ok=True)
        raise ValueError(
            f"{url} is not the file of the index: its size or its sha256 differs. It was not kept."
        )


def _receive(url, path, have, size):
    """Appends what comes from a URL to a file of `have` bytes, at once: a connection that breaks
    off costs nothing that came.

    Returns:
        Whether the file there has the right size, as far as the server tells; nothing is received
        of another one.
    """
    import requests
    import urllib3

    deadline = time.monotonic() + TIMEOUT + (size - have) / SLOWEST
    try:
        with _opened(url, have) as (first, total, chunks):
            if total not in (size, None):
                return False
            with open(path, "r+b" if first else "wb", buffering=0, opener=_without_links) as file:
                file.seek(first)
                for chunk in chunks:
                    file.write(chunk)
                    if file.tell() > size:
                        return False
                    if file.tell() < size and time.monotonic() > deadline:
                        raise TimeoutError(f"it sends less than {SLOWEST / 1000:g} kB a second")
    except (OSError, urllib3.exceptions.HTTPError) as error:  # errors of requests are OSErrors
        reply = error.response if isinstance(error, requests.HTTPError) else None
        if reply is not None and reply.status_code == 416:
            return False  # it ends before what is asked for
        raise OSError(
            f"{url} cannot be fetched: {error}. "
            "What came is kept; the next attempt goes on from there."
        ) from None
    return True


@contextlib.contextmanager
def _opened(url: str, have: int) -> Iterator[tuple[int, int | None, Iterator[bytes]]]:
    """What lies at a URL: where it begins, at `have` or 0 as the server likes; the whole file's
    size; and its bytes as they come."""
    if urlsplit(url).scheme == "file":
        with open(url2pathname(urlsplit(url).path), "rb") as file:
            file.seek(have)
            yield have, os.fstat(file.fileno()).st_size, iter(lambda: file.read(CHUNK), b"")
        return
    import requests

    # Compressed, a file could not be gone on with.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as reply:
        reply.raise_for_status()
        first = have if reply.status_code == 206 else 0
        length = reply.headers.get("Content-Length", "")
        # `iter_content` waits for whole chunks, and loses the last when a connection breaks off.
        try:
            read = reply.raw.read1
        except AttributeError:  # before urllib3 2.1, whose `read` loses nothing
            read = reply.raw.read
        yield (
            first,
            first + int(length) if length.isdecimal() else None,
            iter(lambda: read(CHUNK), b""),
        )


def _without_links(path, flags):
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
