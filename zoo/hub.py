"""Where a stored model's files are: in the checkout, in the installed package, in the cache, or on a server that holds a copy.

    ZOO_HUB      base URL of a copy of `saved_models/`, which files that are nowhere here are fetched from; none if unset
    ZOO_CACHE    directory that they are kept in; by default `vae-zoo` in the user's cache directory

The server needs to know nothing: files are asked for by their paths, `<base>/<recipe>/<version>/<file>`. What it answers counts for
nothing until its size and sha256 are those of the index that is part of this package; what was received stays, so that a fetch which was
cut off goes on where it stopped; and the version's directory appears in the cache only once it is whole.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from zoo import cards
from zoo.files import write_atomically

INDEX = Path(__file__).with_name("index.json")
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16


def version_directory(name, version=None):
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
    index = read_index().get(name, {})
    local = cards.model_directory(name)
    newest = cards.read_card(local)["version"] if local else max(map(int, index), default=None)
    if newest is None:
        raise ValueError(f"Recipe {name!r} has no stored weights. Train it with `zoo train {name}`.")
    version = newest if version is None else version
    if local and (local / str(version)).is_dir():
        cards.check_files(local, cards.read_version_card(local / str(version)))
        return local / str(version)
    if str(version) not in index:
        if version == newest:
            raise ValueError(f"The files of version {version} of {name!r} are missing: {local / str(version)}.")
        here = cards.versions(local) if local else []
        known = ", ".join(map(str, sorted({*map(int, index), *here})))
        raise ValueError(f"{name!r} has no version {version!r}. Its versions are {known}.")
    return _cached(name, version, index[str(version)])


def read_index():
    """Recipe -> version -> path -> [sha256, bytes] of every file of every stored model."""
    return json.loads(INDEX.read_text(encoding="utf-8"))


def write_index(root):
    """Writes the index of the models that are stored in a directory; returns it."""
    index = {}
    for path in sorted(Path(root).glob("*/card.json")):
        directories = [path.parent / str(version) for version in cards.versions(path.parent)]
        index[path.parent.name] = {directory.name: _files(directory) for directory in directories}
    write_atomically(INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return index


def _files(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): [_sha256(path), path.stat().st_size] for path in files}


def cache_directory():
    """Where fetched models are kept."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae-zoo"
    return Path(os.environ.get("ZOO_CACHE") or default)


def _cached(name, version, files):
    """The version's directory in the cache, fetched if it is not there."""
    target = cache_directory() / name / str(version)
    if not target.is_dir():
        base = os.environ.get("ZOO_HUB", "").rstrip("/")
        if not base:
            raise ValueError(
                f"The files of {name!r}, version {version}, are neither in {' nor in '.join(map(str, cards.roots()))} nor in the cache "
                f"({target}). Set ZOO_HUB to the base URL of a copy of saved_models/, and they are fetched from there."
            )
        with _locked(target.parent):
            if not target.is_dir():
                partial = target.parent / f".{version}.partial"
                for path, (digest, size) in files.items():
                    _fetch(f"{base}/{name}/{version}/{path}", partial / path, digest, size)
                os.rename(partial, target)
    for path, (digest, _) in files.items():
        if not (target / path).is_file() or _sha256(target / path) != digest:
            raise ValueError(f"{str(target / path)!r} is not the file of the index. Remove {str(target)!r}, and it is fetched again.")
    return target


@contextlib.contextmanager
def _locked(directory):
    """One process at a time fetches a model."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = open(directory / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise OSError(f"The cache {str(directory)!r} cannot be written ({error}). Set ZOO_CACHE to a directory that can.") from None
    with lock:
        with contextlib.suppress(ImportError):  # not on Windows
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(url, path, digest, size):
    """Brings a file up to its size from a URL, and checks it."""
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    have = path.stat().st_size if path.is_file() else 0
    if have < size:
        try:
            with requests.get(url, headers={"Range": f"bytes={have}-"} if have else {}, stream=True, timeout=TIMEOUT) as reply:
                reply.raise_for_status()
                with path.open("ab" if reply.status_code == 206 else "wb") as file:  # a server may answer with the whole
                    for chunk in reply.iter_content(CHUNK):
                        file.write(chunk)
                        if file.tell() > size:
                            break
        except requests.RequestException as error:
            raise OSError(f"{url} cannot be fetched: {error}. What came is kept; the next attempt goes on from there.") from None
    if path.stat().st_size != size or _sha256(path) != digest:
        path.unlink()
        raise ValueError(f"{url} is not the file of the index: its size or its sha256 differs. It was not kept.")


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
