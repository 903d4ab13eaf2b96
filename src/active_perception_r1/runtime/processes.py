"""Which of this machine's processes are meant."""

from __future__ import annotations

import psutil


def processes_with(variable: str, value: str) -> list[int]:
    """Ids of the living processes that were started with an environment variable of this value.

    Processes of other users are seen by root only.
    """
    found = psutil.process_iter(["environ"])
    return [
        process.pid for process in found if (process.info["environ"] or {}).get(variable) == value
    ]


def own_family() -> set[int]:
    """Ids of this process, of all it descends from, and of all that descend from it."""
    own = psutil.Process()
    return {process.pid for process in (own, *own.parents(), *own.children(recursive=True))}
