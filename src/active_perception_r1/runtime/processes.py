"""Which of this machine's processes are meant, and what they find."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil


def processes_with(variable: str, value: str) -> list[int]:
    """Ids of the living processes that were started with an environment variable of this value.

    Processes of other users are seen by root only.
    """
    found = psutil.process_iter(["environ"])
    return [
        process.pid for process in found if (process.info["environ"] or {}).get(variable) == value
    ]


def put_on_path() -> None:
    """Have processes to come find the programs beside this Python, activated or not.

    Where they are found already, the order of the path is the user's.
    """
    own, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if own not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((own, path))


def own_family() -> set[int]:
    """Ids of this process, of all it descends from, and of all that descend from it."""
    own = psutil.Process()
    return {process.pid for process in (own, *own.parents(), *own.children(recursive=True))}
