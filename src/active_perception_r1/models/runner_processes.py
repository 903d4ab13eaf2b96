"""A small model on the CPU, in several processes at once, each on a core of its own.

The steps of a small model are too short to be shared out over cores, and Python prepares one at a
time: two processes with a core each run more episodes than one process with two.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.remote_runner import RemoteRunner, serve
from active_perception_r1.models.runner import BackendRunner
from active_perception_r1.runtime.workers import workers
from active_perception_r1.tasks import DEFAULT_TASK


@contextmanager
def runner_processes(
    count: int, name: str, settings: ModelConfig, mode: str, task: str = DEFAULT_TASK
) -> Iterator[RemoteRunner]:
    """A runner with so many processes of its own, which end with the block, or with this process.

    Raises:
        BackendError: the model cannot be loaded.
    """
    with workers(_work, [(name, settings, mode, task)] * count) as processes:
        yield RemoteRunner({ours: functools.partial(_ended, p) for ours, p in processes.items()})


def _ended(process: BaseProcess) -> str:
    process.join()
    return f" with exit code {process.exitcode}"


def _work(connection: Connection, name: str, settings: ModelConfig, mode: str, task: str) -> None:
    import torch

    torch.set_num_threads(1)
    serve(connection, lambda: BackendRunner(name, settings, mode, task))
