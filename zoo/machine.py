"""What the machine gives this process: cores, memory, and a parent. Standard library alone."""

import ctypes
import multiprocessing
import os
import sys
import threading
from multiprocessing import connection
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
# Of the memory, what data may take.
SHARE_OF_DATA = 0.25


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or what its container or control
    group is given of them."""
    return min([_host_memory(), *_limits()])


def fits_in_memory(num_bytes: int) -> bool:
    """Whether data of this size leave enough memory to work with them."""
    return num_bytes <= SHARE_OF_DATA * memory()


def _host_memory():
    if sys.platform == "win32":
        return _windows_memory()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _windows_memory():
    class Status(ctypes.Structure):  # MEMORYSTATUSEX
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32)] + [
            (f"bytes{i}", ctypes.c_uint64) for i in range(7)
        ]

    status = Status(length=ctypes.sizeof(Status))
    if sys.platform == "win32":  # elsewhere ctypes has no such library
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.bytes0  # ullTotalPhys


def _limits():
    """Limits of the control groups that this process is in, and of those around them; a container
    sees its own as the root."""
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):  # "" is version 2, which has one tree for all
            continue
        root, name = (
            (CGROUPS, "memory.max")
            if not controllers
            else (CGROUPS / "memory", "memory.limit_in_bytes")
        )
        inner = root / group.lstrip("/")
        for directory in (inner, *inner.parents):
            yield from _limit(directory / name)
            if directory == root:
                break


def _limit(path):
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return
    if text.isdecimal():  # "max" is none
        yield int(text)


def end_with_parent() -> None:
    """Makes this process, which `multiprocessing` started, end when the one that started it does,
    killed or not.

    Raises:
        ValueError: If `multiprocessing` did not start this process.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise ValueError(
            "Only a process that `multiprocessing` started can end with its parent. Received: "
            "another one."
        )

    def watch():
        connection.wait([parent.sentinel])
        os._exit(1)  # nobody else would wait for it, or stop it

    threading.Thread(target=watch, daemon=True).start()
