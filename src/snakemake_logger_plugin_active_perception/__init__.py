"""Snakemake's `--logger active-perception`: what it says as lines of `runtime.screen`.

Snakemake finds a logger by the name of its package, so this is one of its own. It is imported
whenever Snakemake starts, and what it needs only when it is chosen.
"""

from __future__ import annotations

import logging
from logging import LogRecord
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

if TYPE_CHECKING:
    from active_perception_r1.runtime.screen import Screen

_NOTHING = "Nothing to be done"
_INTERRUPT = "Terminating processes on user request"


class LogHandler(LogHandlerBase):
    """Takes the place of what Snakemake itself would write to the terminal."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        from active_perception_r1.runtime.screen import Screen

        self._screen: Screen = Screen()

    def emit(self, record: LogRecord) -> None:
        # An error here would end the thread that reads what Snakemake says.
        try:
            self._tell(getattr(record, "event", None), record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._screen.close()
        super().close()

    def _tell(self, event: LogEvent | None, record: Any) -> None:
        from active_perception_r1.runtime.screen import INTERRUPTED, Job

        screen = self._screen
        match event:
            case LogEvent.RUN_INFO:
                screen.expect(record.stats["total"])
            case LogEvent.JOB_INFO:
                logs = tuple(map(Path, record.log))
                screen.started(record.jobid, Job(record.rule_name, dict(record.wildcards), logs))
            case LogEvent.JOB_FINISHED:
                screen.finished(record.job_id)
            case LogEvent.JOB_ERROR:
                screen.failed(record.jobid, record.rule_name, [Path(log) for log in record.log])
            case LogEvent.PROGRESS:
                screen.count(record.done, record.total)
            case None | LogEvent.ERROR | LogEvent.GROUP_ERROR:
                text = record.getMessage()
                if text.startswith(_INTERRUPT):
                    INTERRUPTED.set()
                elif record.levelno >= logging.WARNING and not INTERRUPTED.is_set():
                    screen.say(text)
                elif text.startswith(_NOTHING):
                    screen.say("nothing to do: everything is there")
