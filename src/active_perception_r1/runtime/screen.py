"""What a terminal shows while a study is made: a line for each model and mode, and for training.

Lines of what is done stay, and those of what runs stand below them and change. Where the output is
no terminal, only the former are written, and now and then how far the others are.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from active_perception_r1.runtime.progress import as_line, last_words, read_progress, title

KEPT = ("infer", "join_shards", "grpo_train", "train_tiny")
"""Rules whose lines stay when a job is done; those of shards stay as one when they are joined."""

REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 300.0
LOG_LINES = 12

INTERRUPTED = threading.Event()
"""Set when Ctrl-C was pressed: what fails from then on was cut off."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the pipeline announces it."""

    rule: str
    wildcards: Mapping[str, str]
    logs: tuple[Path, ...]

    @property
    def title(self) -> str:
        return title(self.rule, self.wildcards)


@dataclass(slots=True)
class _Shown:
    """A line: of a job, or of the shards that share one."""

    began: float
    running: set[int] = field(default_factory=set)
    logs: list[Path] = field(default_factory=list)

    def told(self) -> str:
        if progress := read_progress(self.logs):
            return str(progress)
        return (last_words(self.logs[-1]) if self.logs else "") or "begins"


class Screen:
    """Shows what it is told, from any thread; a context manager that ends with it."""

    def __init__(self, console: Console | None = None) -> None:
        # FORCE_COLOR, which notebooks set, makes no terminal of a pipe: nothing can be drawn over.
        terminal = None if sys.stderr.isatty() else False
        self._console = console or Console(stderr=True, highlight=False, force_terminal=terminal)
        self._jobs: dict[int, Job] = {}
        self._shown: dict[str, _Shown] = {}
        self._done, self._total = 0, 0
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._live: Live | None = None
        self._ticker: threading.Thread | None = None

    def expect(self, jobs: int) -> None:
        """So many jobs are going to run."""
        self._total = jobs
        if self._console.is_terminal:
            # Its own thread would read files without the lock.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def started(self, number: int, job: Job) -> None:
        with self._lock:
            self._jobs[number] = job
            shown = self._shown.setdefault(job.title, _Shown(time.monotonic()))
            shown.running.add(number)
            if job.rule != "join_shards":
                shown.logs += (log for log in job.logs if log not in shown.logs)

    def finished(self, number: int) -> None:
        with self._lock:
            if not (job := self._jobs.pop(number, None)):
                return
            shown = self._shown[job.title]
            shown.running.discard(number)
            if job.rule in KEPT and (progress := read_progress(shown.logs)):
                self.say(as_line(job.title, str(progress)))
            if not shown.running and job.rule != "infer_shard":
                del self._shown[job.title]

    def failed(self, number: int, rule: str, logs: Sequence[Path]) -> None:
        """Says why, as the log of the job tells it: the line of a mistake, or how it ended."""
        with self._lock:
            job = self._jobs.pop(number, None) or Job(rule, {}, tuple(logs))
            shown = self._shown.pop(job.title, _Shown(time.monotonic()))
            if INTERRUPTED.is_set():
                if job.rule in (*KEPT, "infer_shard") and shown.logs:
                    self.say(as_line(job.title, f"{shown.told()}  interrupted"))
                return
            words = last_words(logs[0]) if logs else "see the log of Snakemake"
            self.say(as_line(job.title, f"failed: {words.removeprefix('error: ')}"), "red")
            if logs and not words.startswith("error: "):
                for line in logs[0].read_text("utf-8", "replace").splitlines()[-LOG_LINES:]:
                    self.say(f"  {line}")
            for log in logs[:1]:
                self.say(as_line("", f"all of it: {log}"))

    def count(self, done: int, total: int) -> None:
        """So many jobs are done."""
        self._done, self._total = done, total

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self._console.print(Text(text, style=style), soft_wrap=not self._console.is_terminal)

    def close(self) -> None:
        """The last line, and an end to what changes."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._ticker:
            self._ticker.join()
        if self._live:
            self._live.stop()
        if self._total:
            self.say(self._summary())

    def _tick(self) -> None:
        seconds = REFRESH_SECONDS if self._live else PLAIN_SECONDS
        while not self._closing.wait(seconds):
            with self._lock:
                lines = [*self._lines(), self._summary()]
            if self._live:
                room = max(2, self._console.height - 1)
                self._live.update(Group(*map(Text, lines[-room:])), refresh=True)
            else:
                for line in lines:
                    self.say(line)

    def _lines(self) -> Iterator[str]:
        for name, shown in self._shown.items():
            if shown.running:
                yield as_line(name, shown.told())

    def _summary(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        return f"{self._done} of {self._total} jobs done, {minutes}:{seconds:02}"
