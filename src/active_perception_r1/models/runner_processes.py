"""A small model on the CPU, in several processes at once, each on a core of its own.

The steps of a small model are too short to be shared out over cores, and Python prepares one at a
time: two processes with a core each run more episodes than one process with two.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError, UserError
from active_perception_r1.models.runner import BackendRunner, unseen
from active_perception_r1.modes import CropSizes
from active_perception_r1.records import Episode
from active_perception_r1.tasks import DEFAULT_TASK


class RunnerProcesses:
    """Runners that share the samples of a slice; a context manager that ends them.

    Attributes:
        revision, set_aside: of the model, as `Backend` has them.

    Raises:
        BackendError: the model cannot be loaded.
    """

    def __init__(
        self, count: int, name: str, settings: ModelConfig, mode: str, task: str = DEFAULT_TASK
    ) -> None:
        # Forks of this process would take over locks of torch's threads; of a server that only
        # imports it they do not, and the libraries are loaded once for all of them.
        context = get_context("forkserver")
        context.set_forkserver_preload(["active_perception_r1.models.backends.transformers"])
        self._processes: dict[Connection, BaseProcess] = {}
        try:
            for _ in range(count):
                ours, theirs = context.Pipe()
                arguments = (theirs, name, settings, mode, task)
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
                theirs.close()  # Ours would hide the end of theirs.
                self._processes[ours] = process
            known = [self._receive(process) for process in self._processes]
            self.revision, self.set_aside = known[0]
            assert all(one == known[0] for one in known)
        except BaseException:
            self._end()
            raise

    def run(
        self,
        slice_path: Path,
        wanted: Sequence[str],
        replied: Callable[[int], None] = unseen,
        earlier: Mapping[str, CropSizes] | None = None,
    ) -> Iterator[Episode]:
        """As `EpisodeRunner.run`.

        Raises:
            BackendError: a process is gone, killed for want of memory perhaps.
        """
        for first, connection in enumerate(self._processes):
            with self._alive(connection):
                connection.send((slice_path, wanted[first :: len(self._processes)], earlier))
        running = set(self._processes)
        while running:
            for connection in running.intersection(wait(list(running))):
                episode = self._receive(connection)
                if episode is None:
                    running.remove(connection)
                else:
                    replied(len(episode.turns))
                    yield episode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _receive(self, connection: Connection) -> Any:
        with self._alive(connection):
            message = connection.recv()
        if isinstance(message, UserError):
            raise message
        return message

    @contextmanager
    def _alive(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError):
            process = self._processes[connection]
            process.join()
            raise BackendError(
                f"a process that ran episodes ended with exit code {process.exitcode}; what was"
                " finished is kept, run again to go on"
            ) from None

    def _end(self) -> None:
        for connection, process in self._processes.items():
            process.kill()
            process.join()
            connection.close()


def _work(connection: Connection, name: str, settings: ModelConfig, mode: str, task: str) -> None:
    """Say what the model is; then, for each slice, the episodes and None."""
    _end_with_parent()
    import torch

    torch.set_num_threads(1)
    try:
        runner = BackendRunner(name, settings, mode, task)
        connection.send((runner.revision, runner.set_aside))
        while True:
            slice_path, wanted, earlier = connection.recv()
            for episode in runner.run(slice_path, wanted, earlier=earlier):
                connection.send(episode)
            connection.send(None)
    except UserError as error:
        connection.send(error)


def _end_with_parent() -> None:
    """However the parent ends, and whatever this process is at."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It also reaches the parent.
    threading.Thread(target=watch, daemon=True).start()
