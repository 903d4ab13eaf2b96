"""`active-perception` and `snakemake` as forks of one process that has their libraries loaded.

To import torch and transformers takes a core five seconds, and a small study starts seven processes
that need them; Snakemake takes it more than one, and the tests start it a hundred times. A fork
imports the package itself, from the checkout that its command is run in. Before, it calls `install`
of the module that INSTALLED_BEFORE in its environment names.

The workers of a test run share the process: it ends when none of them uses it any more.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

from filelock import FileLock

LIBRARIES = (
    "jinja2",
    "matplotlib.figure",
    "pandas",
    "pyarrow.parquet",
    "pydantic",
    "scipy.stats",
    "snakemake.cli",
    "transformers.models.auto.processing_auto",
    "transformers.models.idefics3.modeling_idefics3",
)
LONGEST_REQUEST = 1 << 17


def active_perception() -> int:
    status: int = import_module("active_perception_r1.cli").main()
    return status


def snakemake() -> None:
    import_module("snakemake.cli").main()  # It always exits.


MAIN: dict[str, Callable[[], int | None]] = {
    "active-perception": active_perception,
    "snakemake": snakemake,
}

# It starts for every command, so it imports little, and no site packages.
COMMAND = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    request = {{"arguments": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    sys.exit(int(server.recv(9) or 1))
"""


@contextmanager
def preloaded(folder: Path) -> Iterator[Path]:
    """A folder of programs with the two commands, which work until the block ends.

    `folder` is made by the first of several that use it at the same time.
    """
    with ExitStack() as stack:
        with FileLock(f"{folder}.lock"):
            user = as_user(folder)
            if user is None:
                stack.enter_context(started(folder))
                user = as_user(folder)
        assert user is not None
        with user:
            yield folder / "bin"


@contextmanager
def started(folder: Path) -> Iterator[None]:
    """The process, from when it listens until nobody uses it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    for name in MAIN:
        program = folder / "bin" / name
        program.write_text(COMMAND.format(python=sys.executable, address=str(folder / "jobs")))
        program.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield


def as_user(folder: Path) -> socket.socket | None:
    """A connection for as long as the process is used, if there is one."""
    user = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        user.connect(str(folder / "users"))
        if user.recv(1):
            return user
    except OSError:
        pass
    user.close()
    return None


def serve(folder: Path) -> None:
    """Run each command in a fork, as long as somebody uses this process."""
    starter = os.getppid()
    for library in LIBRARIES:
        import_module(library)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for the forks.
    with listening(folder / "users") as newcomers, listening(folder / "jobs") as jobs:
        print("ready", flush=True)
        users: list[socket.socket] = []
        while users or os.getppid() == starter:
            ready, _, _ = select.select([newcomers, jobs, *users], [], [], None if users else 1)
            if newcomers in ready:
                users.append(newcomers.accept()[0])
                users[-1].send(b"!")
            if jobs in ready:
                client, _ = jobs.accept()
                with client:
                    if os.fork() == 0:
                        for other in (newcomers, jobs, *users):
                            other.close()
                        run(client)
            for user in set(users).intersection(ready):
                user.close()
                users.remove(user)
                if not users:
                    return


def listening(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(str(path))
    server.listen()
    return server


def run(client: socket.socket) -> None:
    """Become the command that the client asks for; it ends with the client, and never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(client, LONGEST_REQUEST, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    request = json.loads(message)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = request["arguments"]
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
    if "RECORD" in os.environ:  # as at every start of Python: see `recording`
        import_module("sitecustomize")
    if "INSTALLED_BEFORE" in os.environ:
        import_module(os.environ["INSTALLED_BEFORE"]).install()
    threading.Thread(target=end_with, args=(client,), daemon=True).start()
    status = 1
    try:
        status = MAIN[Path(sys.argv[0]).name]()
    except SystemExit as end:
        if isinstance(end.code, int | None):
            status = end.code or 0
        else:  # As Python itself does.
            print(end.code, file=sys.stderr)
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    client.send(str(status).encode())
    sys.exit()


def end_with(client: socket.socket) -> None:
    client.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
