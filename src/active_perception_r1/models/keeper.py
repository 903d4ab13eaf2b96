"""The process that keeps a model loaded, and runs the episodes of one job after another.

It ends with its run; before, if it has nothing to do and somebody waits for its GPUs, or another
model needs room; and at once if the job that it works for is gone.
"""

from __future__ import annotations

import gc
import os
import select
import shutil
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from active_perception_r1.config import GpuConfig, ModelConfig
from active_perception_r1.errors import UserError
from active_perception_r1.models.backends import Backend
from active_perception_r1.models.load import load_backend
from active_perception_r1.models.remote_runner import GONE, serve
from active_perception_r1.models.runner import BackendRunner
from active_perception_r1.runtime.lease import LEAVE, lease

RUN = "ACTIVE_PERCEPTION_RUN"
"""In the environment of a run's jobs: the id of its process."""

_POLL = 0.5  # Seconds after which a process looks whether its run goes on.
_END_SECONDS = 20.0  # For an engine to end in when the job that it worked for is gone.


@dataclass(frozen=True, slots=True)
class Job:
    """What a process with a model is asked to run episodes for."""

    name: str
    settings: ModelConfig
    mode: str
    task: str

    @property
    def shares(self) -> bool:
        """Whether several processes may run its episodes: the model is on the CPU, and forks."""
        return self.settings.backend == "transformers" and not self.settings.gpus


@dataclass(frozen=True, slots=True)
class KeptModel:
    """How a model is set up, for which jobs.

    Attributes:
        policy: how its GPUs are leased.
        shared: several jobs at once may use it.
        folder: for sockets and locks of the run's models.
    """

    settings: ModelConfig
    policy: GpuConfig
    shared: bool
    folder: Path


def process_of_run() -> psutil.Process:
    """That of Snakemake.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    return psutil.Process(int(os.environ[RUN]))


class Keeper:
    """The process that has the model."""

    def __init__(self, model: KeptModel, listener: socket.socket) -> None:
        self._model = model
        self._listener = listener
        self._run = process_of_run()
        self._backend: Backend | None = None
        self._busy = False
        self._forks: set[int] = set()

    def work(self) -> None:
        """Run jobs as they come, until the run ends."""
        signal.signal(LEAVE, self._leave)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._listener.settimeout(_POLL)
        with ExitStack() as stack:
            while self._run_goes_on():
                with suppress(TimeoutError, *GONE):
                    connection, job = self._accept()
                    self._busy = True
                    with connection:
                        self._serve(connection, job, stack)
                # Who reads what the job writes may wait for the last one who could.
                _write_to(os.open(os.devnull, os.O_WRONLY))
                self._busy = False
                self._forget_ended()
        shutil.rmtree(self._model.folder, ignore_errors=True)

    def _run_goes_on(self) -> bool:
        return self._run.is_running() and self._run.status() != psutil.STATUS_ZOMBIE

    def _leave(self, *_: object) -> None:
        """On a signal. A job that has just connected starts another process."""
        self._forget_ended()
        if not self._busy and not self._forks:
            raise SystemExit

    def _forget_ended(self) -> None:
        self._forks = {pid for pid in self._forks if not _ended(pid)}

    def _accept(self) -> tuple[Connection, Job]:
        """The next job; what is written to standard output and error goes to its log from now."""
        client, _ = self._listener.accept()
        with client:
            client.settimeout(None)
            _, logs, *_ = socket.recv_fds(client, 1, 1)
            if not logs:
                raise EOFError
            _write_to(*logs)
            connection = Connection(client.detach())
        job: Job = connection.recv()
        return connection, job

    def _serve(self, connection: Connection, job: Job, stack: ExitStack) -> None:
        loads = 0
        with _ending_with(connection, _interrupt):
            try:
                if self._backend is None:
                    self._backend, loads = self._load(stack), 1
                if not self._model.shared:
                    serve(connection, lambda: _runner(job, self._backend), loads)
            except UserError as error:
                connection.send(error)
                raise SystemExit from None
            except GONE:  # with requests under way
                raise SystemExit from None
        if not self._model.shared:
            connection.send(None)
        elif pid := os.fork():
            self._forks.add(pid)
        else:
            self._listener.close()
            _serve_in_fork(connection, job, self._backend, loads)

    def _load(self, stack: ExitStack) -> Backend:
        settings = self._model.settings
        purpose = f"keep {settings.id} loaded"
        stack.enter_context(lease(settings.gpus, self._model.policy, purpose, yields=True))
        with _not_searched_for_garbage():
            if self._model.shared:
                import torch

                torch.set_num_threads(1)
            backend = load_backend(settings)
        stack.callback(backend.close)
        return backend


@contextmanager
def _not_searched_for_garbage() -> Iterator[None]:
    """For what is loaded in the block, and stays.

    Python would look through it often while it grows; and later in each fork, which so would get
    its own copy of the memory.
    """
    gc.disable()
    try:
        yield
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()


def _write_to(file: int) -> None:
    """Have standard output and error go to an open file, which is closed."""
    for output in (1, 2):
        os.dup2(file, output)
    os.close(file)


def _ended(fork: int) -> bool:
    try:
        return os.waitpid(fork, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # a signal came between, and its handler has asked already
        return True


def _runner(job: Job, backend: Backend | None) -> BackendRunner:
    assert backend is not None
    backend.set_up(job.settings.showing(job.mode))
    return BackendRunner(job.name, job.settings, job.mode, job.task, backend=backend)


def _serve_in_fork(connection: Connection, job: Job, backend: Backend | None, loads: int) -> None:
    status = 1
    try:
        signal.signal(LEAVE, signal.SIG_IGN)
        with _ending_with(connection, lambda: os._exit(1)):
            serve(connection, lambda: _runner(job, backend), loads)
        connection.send(None)
        status = 0
    except GONE:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@contextmanager
def _ending_with(connection: Connection, end: Callable[[], object]) -> Iterator[None]:
    """If the job's end of a connection is gone, whatever this process is at, call `end`."""
    reader, writer = os.pipe()

    def watch() -> None:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLRDHUP)
        poll.register(reader, select.POLLIN)
        if not any(file == reader for file, _ in poll.poll()):
            end()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(writer)  # The thread sees it.
        thread.join()
        os.close(reader)


def _interrupt() -> None:
    """In the way in which an engine ends its own processes, if it still can."""
    late = threading.Timer(_END_SECONDS, os._exit, (1,))
    late.daemon = True
    late.start()
    os.kill(os.getpid(), signal.SIGINT)
