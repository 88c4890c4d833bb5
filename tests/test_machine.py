"""What the machine gives a process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo import machine

POOL = """
import os, time
from concurrent import futures
from multiprocessing import get_context
from zoo import machine

if __name__ == "__main__":
    pool = futures.ProcessPoolExecutor(1, get_context("spawn"), initializer=machine.end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 1000)
    time.sleep(1000)
"""


def is_alive(process):
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "pool.py"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    worker = int(parent.stdout.readline())
    assert is_alive(worker)
    parent.kill()
    deadline = time.monotonic() + 20
    while is_alive(worker):
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.01)
    parent.communicate()


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Function: writes limits of control groups, and the groups that this process is in."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")

    def write(own, limits):
        (tmp_path / "own").write_text(own)
        for path, limit in limits.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(limit + "\n")

    return write


def test_memory_is_that_of_the_container(cgroups):
    host = machine._host_memory()
    assert machine.memory() == host > 2**20  # no control groups at all
    cgroups("0::/\n", {"memory.max": "max"})
    assert machine.memory() == host
    cgroups("0::/\n", {"memory.max": "1048576"})
    assert machine.memory() == 2**20
    cgroups(
        "0::/user/me\n",
        {"memory.max": "max", "user/memory.max": "4096", "user/me/memory.max": "max"},
    )
    assert machine.memory() == 4096  # of the group around


def test_memory_is_that_of_the_older_control_groups(cgroups):
    cgroups("5:cpu:/x\n4:memory:/docker/a\n", {"memory/docker/a/memory.limit_in_bytes": "8192"})
    assert machine.memory() == 8192
    # None.
    cgroups("4:memory:/docker/a\n", {"memory/docker/a/memory.limit_in_bytes": str(2**63 - 4096)})
    assert machine.memory() == machine._host_memory()


def test_windows_has_no_sysconf(monkeypatch):
    monkeypatch.delattr("os.sysconf")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr(machine, "_windows_memory", lambda: 2**10)
    assert machine.memory() == 2**10


def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert machine.cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert machine.cores() == 1
