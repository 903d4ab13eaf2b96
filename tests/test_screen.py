"""What stays on the screen: one line for each model and mode, and for what went wrong why."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase
from snakemake_interface_logger_plugins.tests import TestLogHandlerBase

import snakemake_logger_plugin_active_perception as plugin
from active_perception_r1.runtime.screen import INTERRUPTED, Job, Screen

WILDCARDS = {"study": "s", "model": "m", "mode": "active"}
WHOLE = "m active: 100%|#| 12/12 [00:04<00:00, 3.00episode/s, replies=24]"


class TestThePlugin(TestLogHandlerBase):
    """As the interface of Snakemake's plugins asks for."""

    __test__ = True

    def get_log_handler_cls(self) -> type[plugin.LogHandler]:
        return plugin.LogHandler

    def get_log_handler_settings(self) -> LogHandlerSettingsBase:
        return LogHandlerSettingsBase()


class Seen:
    """A screen that is no terminal, and the logs of its jobs."""

    def __init__(self, folder: Path) -> None:
        self._file = io.StringIO()
        self._folder = folder
        self.screen = Screen(Console(file=self._file, width=200))

    def job(self, rule: str, log: str, **more: str) -> Job:
        path = self._folder / f"{rule}{''.join(more.values())}.log"
        path.write_text(log)
        return Job(rule, {**WILDCARDS, **more}, (path,))

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self._file.getvalue().splitlines()]


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Seen]:
    found = Seen(tmp_path)
    yield found
    found.screen.close()
    INTERRUPTED.clear()


def test_a_mode_that_is_done_stays_and_small_jobs_are_only_counted(seen: Seen) -> None:
    seen.screen.expect(3)
    seen.screen.started(1, seen.job("infer", WHOLE))
    seen.screen.finished(1)
    seen.screen.started(2, seen.job("score", ""))
    seen.screen.finished(2)
    seen.screen.count(2, 3)
    seen.screen.close()
    assert seen.lines == ["m active 12/12 0:04 3.0/s replies 24", "2 of 3 jobs done, 0:00"]


def test_shards_stay_as_one_line_when_they_are_joined(seen: Seen) -> None:
    for number in (1, 2):
        seen.screen.started(number, seen.job("infer_shard", WHOLE, shard=f"{number}-of-2"))
        seen.screen.finished(number)
    assert seen.lines == []
    seen.screen.started(3, seen.job("join_shards", ""))
    seen.screen.finished(3)
    assert seen.lines == ["m active 24/24 0:04 replies 48"]


def test_a_mistake_is_told_in_its_own_words_and_a_bug_by_the_end_of_its_log(seen: Seen) -> None:
    mistake = seen.job("infer", f"{WHOLE}\nerror: the server is gone\n")
    seen.screen.started(1, mistake)
    seen.screen.failed(1, "infer", mistake.logs)
    assert seen.lines == ["m active failed: the server is gone", f"all of it: {mistake.logs[0]}"]
    bug = seen.job("score", "Traceback\n  somewhere\nKeyError: 'x'\n")
    seen.screen.started(2, bug)
    seen.screen.failed(2, "score", bug.logs)
    assert seen.lines[2:] == [
        "score m active failed: KeyError: 'x'",
        *("Traceback", "somewhere", "KeyError: 'x'"),
        f"all of it: {bug.logs[0]}",
    ]


def test_what_ctrl_c_cuts_off_is_no_failure(seen: Seen) -> None:
    job = seen.job("infer", WHOLE.replace("12/12", "5/12"))
    seen.screen.started(1, job)
    seen.screen.started(2, seen.job("score", ""))
    INTERRUPTED.set()
    seen.screen.failed(1, "infer", job.logs)
    seen.screen.failed(2, "score", [])
    assert seen.lines == ["m active 5/12 0:00 left 3.0/s replies 24 interrupted"]


def test_forced_colours_make_no_terminal_of_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = Screen()
    screen.expect(1)
    screen.started(1, Job("infer", WILDCARDS, (tmp_path / "log",)))
    screen.close()
    assert "\x1b" not in capsys.readouterr().err
