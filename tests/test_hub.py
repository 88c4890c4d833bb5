"""Finding and fetching the files of stored models, against a server of this process."""

import contextlib
import functools
import hashlib
import http.server
import json
import re
import threading
import time

import pytest

from zoo.store import cards, hub
from zoo.versions import check_files, file_hashes


class Handler(http.server.SimpleHTTPRequestHandler):
    """A static server with ranges, which can be told to hang up in the middle of a file or to know
    no ranges."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        path = server.root / self.path.lstrip("/")
        if not path.is_file():
            return self.send_error(404)
        content, first = path.read_bytes(), 0
        if self.headers.get("Range") and server.knows_ranges:
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        content = content[first:]
        with contextlib.suppress(BrokenPipeError):
            for byte in content[: server.drips]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        content = b"" if server.drips else content
        if server.hang_up_after is not None:
            content, server.hang_up_after = content[: server.hang_up_after], None
        self.wfile.write(content)
        return None

    def log_message(self, *arguments):
        pass


def write_model(root, name="vae_digits", version=1):
    """Files with the layout of a stored model, and the card that fits them."""
    directory = root / name / str(version)
    for path, content in (
        ("saved_model.pb", b"graph" * 1000),
        ("variables/variables.data-00000-of-00001", bytes(range(256)) * 400),
    ):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content + bytes([version]))
    card = {
        "recipe": name,
        "version": version,
        "arguments": {},
        "numbers": {},
        "files": file_hashes(directory),
    }
    (directory / "assets.extra").mkdir()
    for path in (directory / "assets.extra" / "card.json", root / name / "card.json"):
        path.write_text(json.dumps(card))
    return directory


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of two versions of a model that is nowhere here, and an index that knows them."""
    root = tmp_path / "served"
    for version in (1, 2):
        write_model(root, version=version)
    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    hub.write_index(root)
    monkeypatch.setattr(cards, "roots", lambda: [tmp_path / "here"])
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler)) as server:
        server.root, server.asked, server.knows_ranges, server.hang_up_after, server.drips = (
            root,
            [],
            True,
            None,
            0,
        )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("ZOO_HUB", f"http://127.0.0.1:{server.server_address[1]}/")
        yield server
        server.shutdown()


def test_what_is_here_is_not_fetched(server, tmp_path):
    directory = write_model(tmp_path / "here")
    assert (
        hub.version_directory("vae_digits") == directory == hub.version_directory("vae_digits", 1)
    )
    assert server.asked == []


def test_what_is_not_here_is_fetched_once(server, tmp_path, monkeypatch):
    directory = hub.version_directory("vae_digits")
    assert directory == tmp_path / "cache" / "vae_digits" / "2"
    for path in (server.root / "vae_digits" / "2").rglob("*"):
        if path.is_file():
            assert (
                directory / path.relative_to(server.root / "vae_digits" / "2")
            ).read_bytes() == path.read_bytes()
    asked = len(server.asked)
    assert asked == 3
    monkeypatch.delenv("ZOO_HUB")  # offline from here on
    assert hub.version_directory("vae_digits") == directory and len(server.asked) == asked
    with pytest.raises(
        ValueError,
        match=r"'vae_digits', version 1, are neither in .*here nor in the cache .* Set ZOO_HUB",
    ):
        hub.version_directory("vae_digits", 1)


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_fetch_that_was_cut_off_goes_on(server, tmp_path, knows_ranges):
    server.knows_ranges, server.hang_up_after = knows_ranges, 100
    with pytest.raises(OSError, match="cannot be fetched.*the next attempt goes on from there"):
        hub.version_directory("vae_digits")
    assert not (tmp_path / "cache" / "vae_digits" / "2").exists()
    directory = hub.version_directory("vae_digits")
    assert (server.asked[0][0], "bytes=100-") in server.asked
    check_files(directory.parent, cards.read_version_card(directory))
    assert not list(directory.parent.glob("*.partial"))


def test_other_files_than_the_index_tells_are_not_kept(server, tmp_path):
    path = server.root / "vae_digits" / "2" / "saved_model.pb"
    content = path.read_bytes()
    for other in (content[:-1] + b"x", content[:-1], content + b"more"):
        path.write_bytes(other)
        with pytest.raises(
            ValueError,
            match="saved_model.pb is not the file of the index: its size or its sha256 differs",
        ):
            hub.version_directory("vae_digits")
        assert not (tmp_path / "cache" / "vae_digits" / "2").exists()
    path.write_bytes(content)
    assert hub.version_directory("vae_digits").is_dir()


def test_files_that_changed_in_the_cache_are_told(server):
    directory = hub.version_directory("vae_digits")
    for path, change in (
        ("saved_model.pb", lambda p: p.write_bytes(b"other")),
        ("assets.extra/card.json", lambda p: p.unlink()),
    ):
        change(directory / path)
        with pytest.raises(
            ValueError,
            match=rf"{path}' is not the file of the index. Remove .* and it is fetched again",
        ):
            hub.version_directory("vae_digits")


def test_versions_and_models_that_do_not_exist_are_told(server, tmp_path):
    with pytest.raises(ValueError, match="'vae_digits' has no version 3. Its versions are 1, 2."):
        hub.version_directory("vae_digits", 3)
    with pytest.raises(ValueError, match="'vae_mnist' has no stored weights"):
        hub.version_directory("vae_mnist")
    write_model(tmp_path / "here")
    with pytest.raises(
        ValueError, match="'vae_digits' has no version 'one'. Its versions are 1, 2."
    ):
        hub.version_directory("vae_digits", "one")


def test_servers_and_caches_that_fail_are_told(server, tmp_path, monkeypatch):
    (server.root / "vae_digits" / "2" / "saved_model.pb").unlink()
    with pytest.raises(OSError, match="saved_model.pb cannot be fetched: 404"):
        hub.version_directory("vae_digits")
    monkeypatch.setenv("ZOO_HUB", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="cannot be fetched"):
        hub.version_directory("vae_digits", 1)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="cannot be written .* Set ZOO_CACHE to a directory that can"):
        hub.version_directory("vae_digits")


def test_a_card_of_another_recipe_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "roots", lambda: [tmp_path])
    write_model(tmp_path, "vae_digits").parent.rename(tmp_path / "vae_mnist")
    with pytest.raises(ValueError, match="belongs to another recipe. Received: 'vae_digits'"):
        hub.version_directory("vae_mnist")


def test_processes_fetch_one_at_a_time(server):
    found, threads = [], []
    for _ in range(4):
        threads.append(
            threading.Thread(target=lambda: found.append(hub.version_directory("vae_digits")))
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(server.asked) == 3


def test_the_index_is_that_of_the_stored_models(tmp_path, monkeypatch):
    packaged = hub.read_index()
    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    assert hub.write_index(cards.roots()[0]) == packaged, (
        "write it anew: zoo.store.hub.write_index(zoo.store.cards.roots()[0])"
    )


def test_the_index_holds_sizes_and_hashes(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "INDEX", tmp_path / "index.json")
    directory = write_model(tmp_path / "models")
    content = (directory / "saved_model.pb").read_bytes()
    assert hub.write_index(tmp_path / "models")["vae_digits"]["1"]["saved_model.pb"] == [
        hashlib.sha256(content).hexdigest(),
        len(content),
    ]
    assert hub.read_index()["vae_digits"].keys() == {"1"}


def test_a_server_that_drips_is_given_up(server, monkeypatch):
    monkeypatch.setattr(hub, "TIMEOUT", 0.2)
    server.drips = 100
    with pytest.raises(
        OSError, match="cannot be fetched: it sends less than 10 kB a second. What came is kept"
    ):
        monkeypatch.setattr(hub, "SLOWEST", 10_000)
        hub.version_directory("vae_digits")
    server.drips = 0
    assert hub.version_directory("vae_digits").is_dir()
    assert any(asked and asked.startswith("bytes=") for _, asked in server.asked)


def test_a_hub_may_be_a_directory(server, tmp_path, monkeypatch):
    served = server.root.rename(tmp_path / "served here")
    monkeypatch.setenv("ZOO_HUB", served.as_uri())
    directory = hub.version_directory("vae_digits")
    check_files(directory.parent, cards.read_version_card(directory))
    (served / "vae_digits" / "1" / "saved_model.pb").unlink()
    with pytest.raises(OSError, match="saved_model.pb cannot be fetched: .*No such file"):
        hub.version_directory("vae_digits", 1)
    for base in (str(served), "ftp://host/models"):
        monkeypatch.setenv("ZOO_HUB", base)
        with pytest.raises(
            ValueError,
            match=f"ZOO_HUB must be a URL that begins with https://.* Received: ZOO_HUB='{base}'",
        ):
            hub.version_directory("vae_digits", 1)


def test_what_others_put_into_the_cache_is_neither_kept_nor_written_through(server, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    partial = tmp_path / "cache" / "vae_digits" / ".2.partial"
    partial.mkdir(parents=True)
    (partial / "foreign.py").write_text("foreign")
    (partial / "variables").symlink_to(tmp_path)
    (partial / "saved_model.pb").symlink_to(mine)
    (partial.parent / ".lock").symlink_to(mine)
    directory = hub.version_directory("vae_digits")
    assert {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    } == set(hub.read_index()["vae_digits"]["2"])
    assert mine.read_text() == "mine" and not partial.exists()
    (partial.parent / ".1.partial").symlink_to(tmp_path / "elsewhere")
    assert hub.version_directory("vae_digits", 1).is_dir() and not (tmp_path / "elsewhere").exists()


def test_a_cache_that_is_a_link_to_elsewhere_is_told(server, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "vae_digits").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="cannot be written .it is a symbolic link to '.*elsewhere'"):
        hub.version_directory("vae_digits")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "C:/x", "a\\..\\x", ""])
def test_paths_that_leave_their_directory_are_refused(server, tmp_path, path):
    index = hub.read_index()
    index["vae_digits"]["2"][path] = ["0" * 64, 1]
    hub.INDEX.write_text(json.dumps(index))
    with pytest.raises(
        ValueError,
        match="Paths of the index must lie within a model's directory. Received: "
        f"{re.escape(repr(path))} in",
    ):
        hub.version_directory("vae_digits")
    assert server.asked == [] and not (tmp_path / "cache").exists()


def test_names_and_versions_are_no_paths(server, tmp_path):
    write_model(tmp_path / "here")
    write_model(tmp_path, "outside")
    for name in ("../outside", str(tmp_path / "outside"), "..", ""):
        with pytest.raises(ValueError, match=f"Recipe {name!r} has no stored weights"):
            hub.version_directory(name)
    for version in ("../../outside/1", True, 1.5, -1):
        with pytest.raises(
            ValueError,
            match=re.escape(f"'vae_digits' has no version {version!r}. Its versions are 1, 2."),
        ):
            hub.version_directory("vae_digits", version)


def test_cards_that_do_not_fit_their_files_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "roots", lambda: [tmp_path])
    path = write_model(tmp_path) / "assets.extra" / "card.json"
    card = json.loads(path.read_text())
    for change, message in (
        ({"files": {}}, "`files` names none, so that nothing can be checked"),
        (
            {"files": {"1/saved_model.pb": card["files"]["1/saved_model.pb"]}},
            "data-00000-of-00001' is not among the files of its card",
        ),
        ({"version": 2}, "must be of version 1. Received: version=2"),
        ({"version": "../1"}, r'`version` must be of type int. Received: "../1"'),
    ):
        path.write_text(json.dumps({**card, **change}))
        with pytest.raises(ValueError, match=message):
            hub.version_directory("vae_digits")
    path.write_text(json.dumps(card))
    (path.parent / ".DS_Store").write_text("a file manager's")
    assert hub.version_directory("vae_digits").name == "1"
