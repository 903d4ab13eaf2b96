"""A model that stays loaded between the jobs of one run of the pipeline, on one machine.

The first job that needs a model forks a process that loads it and waits for others; a job that
comes later finds it by a socket, whose name says the run, the model and how it is set up. Episodes
are run there; journal, progress and results are the job's own, as ever. A model on the CPU runs
each job in a fork, so that jobs at the same time share what is loaded. One on GPUs, or in vLLM,
runs a job at a time and keeps its lease: two such jobs at once load it twice.

Such a process ends with the run; before, if it has nothing to do and somebody waits for its GPUs,
or another model needs room; and at once if the job that it works for is gone.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import psutil

from active_perception_r1.config import GpuConfig, ModelConfig
from active_perception_r1.errors import BackendError, UserError
from active_perception_r1.models.keeper import RUN, Job, Keeper, KeptModel, process_of_run
from active_perception_r1.models.remote_runner import ProcessGoneError, RemoteRunner
from active_perception_r1.runtime.lease import LEAVE
from active_perception_r1.storage.fingerprint import fingerprint

_LOADED_HERE = ("transformers", "vllm")  # by these backends; behind others there is a server
_ATTEMPTS = 3  # A process that is about to end may still take a connection.


def can_be_kept(settings: ModelConfig) -> bool:
    """Whether this process is a job of a run, loads its model itself, and may fork."""
    of_a_run = RUN in os.environ and psutil.pid_exists(int(os.environ[RUN]))
    return sys.platform == "linux" and of_a_run and settings.backend in _LOADED_HERE


@contextmanager
def kept_runner(job: Job, count: int, policy: GpuConfig) -> Iterator[RemoteRunner]:
    """A runner with the model that the run has loaded, or loads now.

    Args:
        count: of processes that share the samples; more than one only where the job `shares`.

    Raises:
        BackendError: the model cannot be loaded, or does not survive it.
        UserError: its GPUs cannot be leased.
    """
    model = _model_of(job, policy)
    with ExitStack() as stack:
        for attempt in range(1, _ATTEMPTS + 1):
            connections = [_connect(model, job, stack) for _ in range(count)]
            try:
                runner = RemoteRunner(dict.fromkeys(connections, str))
                break
            except ProcessGoneError:
                if attempt == _ATTEMPTS:
                    raise
        yield runner
        runner.end()


def _model_of(job: Job, policy: GpuConfig) -> KeptModel:
    # vLLM is told at its start how large images become, which is not the same in every mode.
    alike = job.settings.backend == "transformers"
    settings = job.settings if alike else job.settings.showing(job.mode)
    run = process_of_run()
    # The path of a socket has at most 107 characters: not in a folder for temporary files that may
    # be anywhere.
    folder = Path(f"/tmp/active-perception-{os.getuid()}/{run.pid}-{run.create_time():.0f}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.parent.stat().st_uid != os.getuid():
        raise UserError(f"{folder.parent}: it is of another user; have it removed")
    return KeptModel(settings, policy, job.shares, folder)


def _connect(model: KeptModel, job: Job, stack: ExitStack) -> Connection:
    """A connection to a process that is free for the job, which is told of it."""
    place = _Place.free(model)
    stack.callback(place.close)
    if not (found := place.connect()):
        place.start(model)
        if not (found := place.connect()):
            raise BackendError("the process that was to load the model has ended; run again")
    with found:
        socket.send_fds(found, [b"!"], [sys.stderr.fileno()])
        connection = Connection(found.detach())
    stack.callback(connection.close)
    connection.send(job)
    if model.shared:
        place.close()
    return connection


class _Place:
    """Where one process with the model listens, or is going to; locked by who asks it."""

    def __init__(self, base: Path) -> None:
        self._socket = base.with_suffix(".socket")
        self._pid = base.with_suffix(".pid")
        self._lock = base.with_suffix(".lock").open("a+", encoding="utf-8")

    @classmethod
    def free(cls, model: KeptModel) -> Self:
        """The first one that no other job has; of a shared model there is one."""
        # Equal for jobs that can use the same process.
        name = fingerprint(model.settings.model_dump_json(), sys.executable, str(Path.cwd()))[:16]
        for number in itertools.count():
            place = cls(model.folder / f"{name}-{number}")
            try:
                fcntl.flock(place._lock, fcntl.LOCK_EX | (0 if model.shared else fcntl.LOCK_NB))
            except BlockingIOError:
                place.close()
            else:
                return place
        raise AssertionError

    def connect(self) -> socket.socket | None:
        """A connection to the process, if there is one."""
        try:
            # Others that it has forked may have its socket open.
            os.kill(int(self._pid.read_text()), 0)
        except (FileNotFoundError, ProcessLookupError):
            return None
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(self._socket))
        except (FileNotFoundError, ConnectionRefusedError):
            client.close()
            return None
        return client

    def start(self, model: KeptModel) -> None:
        """Fork a process that listens here; returns when it does, or has ended."""
        if not model.settings.gpus:
            _ask_to_leave(model.folder)
        self._socket.unlink(missing_ok=True)
        reader, writer = os.pipe()
        if os.fork():
            os.close(writer)
            os.read(reader, 1)
            os.close(reader)
            return
        try:
            os.setsid()
            os.close(reader)
            self.close()  # Or the lock would be this process's, too.
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(self._socket))
                listener.listen()
                self._pid.write_text(str(os.getpid()))
                os.close(writer)
                Keeper(model, listener).work()
        except (KeyboardInterrupt, SystemExit):
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)  # Not what the job's own code would do at its end.

    def close(self) -> None:
        self._lock.close()


def _ask_to_leave(folder: Path) -> None:
    for file in folder.glob("*.pid"):
        with suppress(OSError, ValueError):
            os.kill(int(file.read_text()), LEAVE)
