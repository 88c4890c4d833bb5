"""Files and directories that are whole or absent, whoever is killed and however full the disk
is."""

import contextlib
import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zoo import files

GONE = 2**22 + 1  # above Linux's largest process number


@contextlib.contextmanager
def full_disk():
    """Files that grow beyond a page fail to, as on a full disk; those of pytest itself among
    them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_written_stays_as_it_was_and_is_named(tmp_path):
    path = tmp_path / "numbers.json"
    files.write_atomically(path, b"old")
    with full_disk(), pytest.raises(OSError, match=r"File too large: '.*/numbers.json'"):
        files.write_atomically(path, bytes(10_000))
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["numbers.json"]


def test_a_full_disk_is_told_with_the_place(tmp_path, monkeypatch):
    def fail(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a.json'"):
        files.write_atomically(tmp_path / "a.json", b"new")
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*/model/1'"),
        files.scratch_directory(tmp_path / "model", "1") as beside,
    ):
        (beside / "graph").write_bytes(b"new")
    assert list((tmp_path / "model").iterdir()) == []


def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path):
    for name in (
        f".run.json.{GONE}",
        f".run.json.0a1b2c3d.{GONE}",
        f".run.json.{os.getpid()}",
        ".hidden.txt",
        "run.json.5",
    ):
        (tmp_path / name).write_text("half")
    files.remove_half_written(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".hidden.txt", "run.json.5", f".run.json.{os.getpid()}"]
    )


def test_one_at_a_time_is_in_a_locked_directory(tmp_path):
    with files.locked(tmp_path), pytest.raises(BlockingIOError), files.locked(tmp_path, wait=False):
        pass
    entered = []

    def enter():
        with files.locked(tmp_path):
            entered.append(True)

    other = threading.Thread(target=enter)
    with files.locked(tmp_path):
        other.start()
        other.join(0.05)
        assert entered == []
    other.join()
    assert entered == [True]


def test_directories_are_entered_where_nothing_can_be_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with files.locked(tmp_path, wait=False), files.locked(tmp_path, wait=False):
        pass
    (tmp_path / ".1.aaaaaaaa").mkdir()
    with files.scratch_directory(tmp_path, "1") as beside:
        files.rename_into_place(beside, tmp_path / "1")
    # Nothing tells whether it is in use.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".1.aaaaaaaa",
        "1",
    ]


WRITER = """
import sys, time
from pathlib import Path
from zoo import files
with files.scratch_directory(Path(sys.argv[1]), "1") as beside:
    (beside / "half").write_text("half")
    print(beside.name, flush=True)
    time.sleep(60)
"""


def test_directories_of_killed_processes_are_swept_away_and_those_of_others_kept(tmp_path):
    names, writers = [], []
    for _ in range(2):
        writers.append(
            subprocess.Popen(
                [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True
            )
        )
        names.append(writers[-1].stdout.readline().strip())
    writers[0].send_signal(signal.SIGKILL)
    writers[0].communicate()
    (tmp_path / ".git.abcdefgh").mkdir()
    (tmp_path / ".3.abcdefgh").symlink_to(tmp_path)
    with files.scratch_directory(
        tmp_path, "2"
    ) as beside:  # another number, as when the first went on to be written
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
            [names[1], beside.name, ".git.abcdefgh", ".3.abcdefgh"]
        )
    writers[1].kill()
    writers[1].communicate()


def _take_numbers(directory, count, barrier):
    barrier.wait()
    for _ in range(count):
        with files.scratch_directory(directory, "1") as beside:
            (beside / "file").write_text("whole")
            number = 1
            while True:
                try:
                    files.rename_into_place(beside, directory / str(number))
                    break
                except FileExistsError:
                    number += 1


def test_processes_that_publish_at_once_take_turns(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    writers = [context.Process(target=_take_numbers, args=(tmp_path, 5, barrier)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(1, 16))


@pytest.mark.parametrize(
    ("check", "path", "message"),
    [
        (
            files.check_file_target,
            "",
            "--out must be a file. Received: --out='.', which is a directory",
        ),
        (
            files.check_file_target,
            "directory",
            "Received: --out='directory', which is a directory. Name a file in it.",
        ),
        (
            files.check_file_target,
            "absent/a.png",
            "There is no directory for --out 'absent/a.png'. Make 'absent'",
        ),
        (files.check_file_target, "file/a.png", "There is no directory for --out 'file/a.png'"),
        (files.check_file_target, "a\0b", r"Received: --out='a\\x00b', with a null character"),
        (
            files.check_directory_target,
            "file",
            "--out must be a directory. Received: --out='file', where 'file' is a file",
        ),
        (
            files.check_directory_target,
            "file/a/b",
            "Received: --out='file/a/b', where 'file' is a file",
        ),
    ],
)
def test_places_that_cannot_be_written_are_told(check, path, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=message):
        check("--out", path)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["directory", "file"]


def test_places_that_can_be_written_are_not(tmp_path):
    (tmp_path / "file").write_text("")
    files.check_file_target("--out", tmp_path / "file")
    files.check_file_target("--out", tmp_path / "new.png")
    files.check_directory_target("--out", tmp_path / "a" / "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda *arguments: False)
        with pytest.raises(
            ValueError, match="--out must be writable. Received: --out='.*new', and .* is not"
        ):
            files.check_directory_target("--out", tmp_path / "new")
