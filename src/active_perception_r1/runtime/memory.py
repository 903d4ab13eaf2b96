"""How this process holds memory, and how much it may have."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch


def keep_freed_memory() -> None:
    """Freed memory stays with the process, instead of being zeroed anew for every large tensor.

    Worth a twentieth to a fifth of the time of training on a CPU, with glibc; without it, nothing.
    What one thread has freed, the others use, too: threads that open large pages would hold twice
    as much of it, each its own.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):  # not in musl
        trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # numbers from glibc's malloc.h
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(arena_max, 1)


def out_of_memory(error: Exception) -> bool:
    """Whether that is what an error of torch or Python means."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def free_memory(
    own: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> int:
    """Bytes of host memory that this process and those it starts may still take.

    What is free, but no more than the limit of a container or a job leaves, where that is one of
    Linux's control groups, version 2: psutil tells of the whole machine.

    Args:
        own: in which groups this process is, as the kernel says it.
        groups: where they are mounted.
    """
    return min((psutil.virtual_memory().available, *_left_by_limits(own, groups)))


def _left_by_limits(own: Path, groups: Path) -> Iterator[int]:
    """What is left below the limit of each group that the process is in, from the innermost out."""
    lines = own.read_text(encoding="utf-8").splitlines() if own.exists() else []
    for line in lines:
        if not line.startswith("0::"):  # version 1
            continue
        group = groups / line.removeprefix("0::/")
        for folder in (group, *group.parents):
            limit = folder / "memory.max"
            if limit.exists() and (most := limit.read_text(encoding="utf-8").strip()) != "max":
                yield int(most) - _held(folder)


def _held(group: Path) -> int:
    """Bytes of a group, without pages of files that the kernel drops when it needs room."""
    stat = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
    droppable = dict(line.split() for line in stat)["inactive_file"]
    return int((group / "memory.current").read_text(encoding="utf-8")) - int(droppable)
