"""What Linux tells about processes; empty answers where there is no `/proc`."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def processes_with(variable: str, value: str) -> list[int]:
    """Ids of the living processes that were started with an environment variable of this value.

    Processes of other users are seen by root only.
    """
    wanted = f"{variable}={value}".encode()
    return [pid for pid in _pids() if wanted in _read(pid, "environ").split(b"\0")]


def own_family() -> set[int]:
    """Ids of this process, of all it descends from, and of all that descend from it."""
    parents = {pid: _parent(pid) for pid in _pids()}
    family: set[int] = set()
    ancestor: int | None = os.getpid()
    while ancestor and ancestor not in family:
        family.add(ancestor)
        ancestor = parents.get(ancestor)
    descendants = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in descendants} - descendants:
        descendants |= more
    return family | descendants


def _pids() -> list[int]:
    names = os.listdir(_PROC) if _PROC.is_dir() else []  # noqa: PTH208  # names, not paths
    return [int(name) for name in names if name.isdecimal()]


def _parent(pid: int) -> int | None:
    # "pid (name) state parent ...", and the name may hold anything.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:  # It has just ended, or is somebody else's.
        return b""
