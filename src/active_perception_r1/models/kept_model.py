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
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import psutil

from active_perception_r1.config import GpuConfig, ModelConfig
from active_perception_r1.errors import BackendError, UserError
from active_perception_r1.models.backends import Backend
from active_perception_r1.models.load import load_backend
from active_perception_r1.models.remote_runner import ProcessGoneError, RemoteRunner, serve
from active_perception_r1.models.runner import BackendRunner
from active_perception_r1.runtime.lease import LEAVE, lease
from active_perception_r1.storage.fingerprint import fingerprint

RUN = "ACTIVE_PERCEPTION_RUN"
"""In the environment of a run's jobs: the id of its process."""

_LOADED_HERE = ("transformers", "vllm")  # by these backends; behind others there is a server
_GONE = (EOFError, ConnectionError)  # What is raised when the job's end of a connection is.
_ATTEMPTS = 3  # A process that is about to end may still take a connection.
_POLL = 0.5  # Seconds after which a process looks whether its run goes on.
_END_SECONDS = 20.0  # For an engine to end in when the job that it worked for is gone.


@dataclass(frozen=True, slots=True)
class Job:
    """What a process with a model is asked to run episodes for."""

    name: str
    settings: ModelConfig
    mode: str
    task: str


def can_be_kept(settings: ModelConfig) -> bool:
    """Whether this process is a job of a run, loads its model itself, and may fork."""
    of_a_run = RUN in os.environ and psutil.pid_exists(int(os.environ[RUN]))
    return sys.platform == "linux" and of_a_run and settings.backend in _LOADED_HERE


@contextmanager
def kept_runner(job: Job, count: int, policy: GpuConfig) -> Iterator[RemoteRunner]:
    """A runner with the model that the run has loaded, or loads now.

    Args:
        count: of processes that share the samples, for a model that several may use.

    Raises:
        BackendError: the model cannot be loaded, or does not survive it.
        UserError: its GPUs cannot be leased.
    """
    model = _Model.of(job, policy)
    with ExitStack() as stack:
        for attempt in range(1, _ATTEMPTS + 1):
            wanted = count if model.shared else 1
            connections = [_connect(model, job, stack) for _ in range(wanted)]
            try:
                runner = RemoteRunner(dict.fromkeys(connections, str))
                break
            except ProcessGoneError:
                if attempt == _ATTEMPTS:
                    raise
        yield runner
        runner.end()


@dataclass(frozen=True, slots=True)
class _Model:
    """How a model is set up, for which jobs.

    Attributes:
        shared: several jobs at once may use it.
        folder: for sockets and locks of the run's models.
    """

    settings: ModelConfig
    policy: GpuConfig
    shared: bool
    folder: Path

    @classmethod
    def of(cls, job: Job, policy: GpuConfig) -> Self:
        shared = job.settings.backend == "transformers" and not job.settings.gpus
        # vLLM is told at its start how large images become, which is not the same in every mode.
        alike = job.settings.backend == "transformers"
        settings = job.settings if alike else job.settings.showing(job.mode)
        run = psutil.Process(int(os.environ[RUN]))
        folder = Path(f"/tmp/active-perception-{os.getuid()}/{run.pid}-{run.create_time():.0f}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.parent.stat().st_uid != os.getuid():
            raise UserError(f"{folder.parent}: it is of another user; have it removed")
        return cls(settings, policy, shared, folder)

    @property
    def name(self) -> str:
        """Equal for jobs that can use the same process."""
        return fingerprint(self.settings.model_dump_json(), sys.executable, str(Path.cwd()))[:16]


def _connect(model: _Model, job: Job, stack: ExitStack) -> Connection:
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
    def free(cls, model: _Model) -> Self:
        """The first one that no other job has; of a shared model there is one."""
        for number in itertools.count():
            place = cls(model.folder / f"{model.name}-{number}")
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

    def start(self, model: _Model) -> None:
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
                _Keeper(model, listener).work()
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


class _Keeper:
    """The process that has the model."""

    def __init__(self, model: _Model, listener: socket.socket) -> None:
        self._model = model
        self._listener = listener
        self._run = psutil.Process(int(os.environ[RUN]))
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
                with suppress(TimeoutError, *_GONE):
                    connection, job = self._accept()
                    self._busy = True
                    with connection:
                        self._serve(connection, job, stack)
                # Who reads what the job writes may wait for the last one who could.
                _write_to(os.open(os.devnull, os.O_WRONLY))
                self._busy = False
        shutil.rmtree(self._model.folder, ignore_errors=True)

    def _run_goes_on(self) -> bool:
        return self._run.is_running() and self._run.status() != psutil.STATUS_ZOMBIE

    def _leave(self, *_: object) -> None:
        """On a signal. A job that has just connected starts another process."""
        self._forks = {pid for pid in self._forks if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        if not self._busy and not self._forks:
            raise SystemExit

    def _accept(self) -> tuple[Connection, Job]:
        """The next job; what is written to standard output and error goes to its log from now."""
        client, _ = self._listener.accept()
        with client:
            client.settimeout(None)
            _, (log,), *_ = socket.recv_fds(client, 1, 1) or (b"", (), 0, None)
            _write_to(log)
            connection = Connection(client.detach())
        job: Job = connection.recv()
        return connection, job

    def _serve(self, connection: Connection, job: Job, stack: ExitStack) -> None:
        loads = 0
        with _ending_with(connection, _interrupt):
            if self._backend is None:
                try:
                    self._backend, loads = self._load(stack), 1
                except UserError as error:
                    connection.send(error)
                    raise SystemExit from None
            if not self._model.shared:
                try:
                    serve(connection, lambda: _runner(job, self._backend), loads)
                except _GONE:  # with requests under way
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
        if self._model.shared:
            import torch

            torch.set_num_threads(1)
        backend = load_backend(settings)
        stack.callback(backend.close)
        return backend


def _write_to(file: int) -> None:
    """Have standard output and error go to an open file, which is closed."""
    for output in (1, 2):
        os.dup2(file, output)
    os.close(file)


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
    except _GONE:
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
