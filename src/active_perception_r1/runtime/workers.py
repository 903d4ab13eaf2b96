"""Processes that work for this one, on a model each, and end with it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_PRELOADED = "active_perception_r1.models.backends.transformers"
"""By its name, since it is torch's and transformers' imports that take seconds."""


@contextmanager
def workers(
    work: Callable[..., None], given: Iterable[tuple[Any, ...]]
) -> Iterator[dict[Connection, BaseProcess]]:
    """Processes, by a connection to each, that run `work(connection, *arguments)`.

    They end with the block, or with this process, however it ends and whatever they are at.

    Args:
        given: the arguments of each.
    """
    # Forks of this process would take over locks of torch's threads; of a server that only imports
    # it they do not, and the libraries are loaded once for all of them.
    context = get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    processes: dict[Connection, BaseProcess] = {}
    try:
        for arguments in given:
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(
                target=_run, args=(work, theirs, arguments), daemon=True
            )
            process.start()
            theirs.close()  # Ours would hide the end of theirs.
            processes[ours] = process
        yield processes
    finally:
        for connection, process in processes.items():
            process.kill()
            process.join()
            connection.close()


def _run(work: Callable[..., None], connection: Connection, arguments: tuple[Any, ...]) -> None:
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It also reaches the parent.
    work(connection, *arguments)
