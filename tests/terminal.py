"""A command in a terminal, and what the terminal shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte

CTRL_C = b"\x03"
ROWS, COLUMNS = 60, 120


class Terminal:
    """A pseudo-terminal of ROWS x COLUMNS, with a command in its foreground."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._shown = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._shown)
        self.written = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

        def take_foreground() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=take_foreground,
        )
        os.close(theirs)

    def lines(self) -> list[str]:
        """What is seen now, without what is blank below."""
        lines = [line.rstrip() for line in self._shown.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def wait_until(self, seen: Callable[[], object], seconds: float = 300.0) -> None:
        """Read on until something is seen.

        Raises:
            TimeoutError: it is not, or the command ends before.
        """
        end = time.monotonic() + seconds
        while not seen():
            if not self._read() or time.monotonic() > end:
                raise TimeoutError("\n".join(self.lines()))

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self) -> int:
        """Read to the end; the exit status of the command."""
        while self._read():
            pass
        return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        """What has come within a short while; False when there will be nothing more."""
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:  # EIO: nobody has the other side any more.
            return False
        self._stream.feed(data)
        self.written += data
        return bool(data)


@contextmanager
def terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """A terminal whose command does not outlive the block."""
    opened = Terminal(command, folder, environment)
    try:
        yield opened
    finally:
        opened.close()
