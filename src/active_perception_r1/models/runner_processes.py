"""A small model on the CPU, in several processes at once, each on a core of its own.

The steps of a small model are too short to be shared out over cores, and Python prepares one at a
time: two processes with a core each run more episodes than one process with two.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.remote_runner import RemoteRunner, serve
from active_perception_r1.models.runner import BackendRunner
from active_perception_r1.runtime.processes import end_with_parent
from active_perception_r1.tasks import DEFAULT_TASK


@contextmanager
def runner_processes(
    count: int, name: str, settings: ModelConfig, mode: str, task: str = DEFAULT_TASK
) -> Iterator[RemoteRunner]:
    """A runner with so many processes of its own, which end with the block, or with this process.

    Raises:
        BackendError: the model cannot be loaded.
    """
    # Forks of this process would take over locks of torch's threads; of a server that only imports
    # it they do not, and the libraries are loaded once for all of them.
    context = get_context("forkserver")
    context.set_forkserver_preload(["active_perception_r1.models.backends.transformers"])
    processes: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(
                target=_work, args=(theirs, name, settings, mode, task), daemon=True
            )
            process.start()
            theirs.close()  # Ours would hide the end of theirs.
            processes[ours] = process
        yield RemoteRunner({ours: functools.partial(_ended, p) for ours, p in processes.items()})
    finally:
        for connection, process in processes.items():
            process.kill()
            process.join()
            connection.close()


def _ended(process: BaseProcess) -> str:
    process.join()
    return f" with exit code {process.exitcode}"


def _work(connection: Connection, name: str, settings: ModelConfig, mode: str, task: str) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It also reaches the parent.
    import torch

    torch.set_num_threads(1)
    serve(connection, lambda: BackendRunner(name, settings, mode, task))
