"""How far jobs are, read from what they have written: their logs, in which tqdm draws its bars.

Files are all that it takes, so that it is known in another terminal and on a cluster, too.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from active_perception_r1.config.file import RESULTS, training_folder
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.storage.shards import Shard

TAIL_BYTES = 1 << 14
TITLE_WIDTH = 33

# tqdm's own format. What follows the rate is what the stage adds to it.
_BAR = re.compile(
    r"(?P<done>\d+)/(?P<total>\d+) "
    r"\[(?P<elapsed>[\d:]+)<(?P<left>[\d:?]+), *(?P<rate>[\d.?]+)(?P<each>s/)?[^,\]]*"
    r"(?:, (?P<told>[^\]]*))?\]"
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        done, total: episodes, training steps, or rows.
        elapsed: seconds since the job began.
        left: seconds that the rest takes at this rate; None while there is no rate.
        rate: of what is done, in a second.
        told: what the stage says besides, such as errors or the reward, by name.
    """

    done: int
    total: int
    elapsed: int
    left: int | None = None
    rate: float | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        count = f"{self.done:>4}/{self.total:<4}"
        clock = "" if self.left is None else f"{_clock(self.left)} left"
        if self.done == self.total:
            clock = _clock(self.elapsed)
        told = " ".join(f"{name} {value}" for name, value in self.told.items())
        return f"{count} {clock:>9} {_rate(self.rate):>8}  {told}".rstrip()


def parse_bar(text: str) -> Progress | None:
    """The bar that tqdm has drawn last; None if there is none. Of several, the one with most to do.

    >>> str(parse_bar("m active:  45%|## | 135/300 [00:03<00:04, 35.40episode/s, errors=1]"))
    ' 135/300  0:04 left   35.4/s  errors 1'
    """
    bars = list(_BAR.finditer(text))
    if not bars:
        return None
    found = max(reversed(bars), key=lambda bar: int(bar["total"]))
    rate = None if "?" in found["rate"] else float(found["rate"])
    if rate and found["each"]:
        rate = 1 / rate
    told = (word.partition("=") for word in (found["told"] or "").split(", ") if "=" in word)
    return Progress(
        done=int(found["done"]),
        total=int(found["total"]),
        elapsed=_seconds(found["elapsed"]),
        left=None if "?" in found["left"] else _seconds(found["left"]),
        rate=rate,
        told={name: value.strip() for name, _, value in told},
    )


def read_progress(logs: Iterable[Path]) -> Progress | None:
    """Of a job, or of the jobs that share it, by their logs; None if none has begun to count."""
    parts = [part for log in logs if (part := parse_bar(_tail(log)))]
    if len(parts) < 2:
        return parts[0] if parts else None
    left = [part.left for part in parts if part.left is not None]
    rates = [part.rate for part in parts if part.rate and part.done < part.total]
    names = dict.fromkeys(name for part in parts for name in part.told)
    counts = {name: [int(part.told.get(name, 0)) for part in parts] for name in names}
    return Progress(
        done=sum(part.done for part in parts),
        total=sum(part.total for part in parts),
        elapsed=max(part.elapsed for part in parts),
        left=max(left, default=None),
        rate=sum(rates) or None,
        told={name: str(sum(values)) for name, values in counts.items()},
    )


def last_words(log: Path) -> str:
    """The last line of a log that is no bar: what a job waits for, or has failed by."""
    lines = re.split(r"[\r\n]+", _tail(log))
    return next((line.strip() for line in reversed(lines) if line.strip() and "%|" not in line), "")


class State(StrEnum):
    """Of a part of a study, as far as files tell; a job that was killed leaves what it has done."""

    DONE = "done"
    BEGUN = "begun"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a part of a study.

    Attributes:
        quiet: seconds since a part that has begun has last written anything.
        words: why it failed.
    """

    title: str
    state: State
    progress: Progress | None = None
    quiet: float = 0.0
    words: str = ""

    def __str__(self) -> str:
        told = str(self.progress or "")
        match self.state:
            case State.WAITING:
                told = "waiting"
            case State.DONE:
                told = told or "done"
            case State.FAILED:
                told = f"{told}  {self.words}".strip()
            case State.BEGUN:
                told = f"{told or 'begun'}  (written {_clock(self.quiet)} ago)"
        return as_line(self.title, told)


def as_line(title: str, told: str) -> str:
    """A line of the screen."""
    return f"{title:<{TITLE_WIDTH}} {told}".rstrip()


def title(rule: str, wildcards: Mapping[str, str]) -> str:
    """What a job is called: for those that play episodes or train, as in `study_lines`.

    >>> title("infer_shard", {"study": "s", "model": "m", "mode": "active", "shard": "1-of-2"})
    'm active'
    """
    match rule:
        case "download_dataset":
            return f"data, {wildcards['study']} {wildcards['split']}"
        case "grpo_train":
            return f"{wildcards['run']}, training"
        case "infer" | "infer_shard" | "join_shards":
            return f"{wildcards['model']} {wildcards['mode']}"
        case _:
            names = [value for name, value in wildcards.items() if name != "study"]
            return " ".join([rule.replace("_", " "), *names])


def study_lines(plan: StudyPlan, logs: Path = Path("logs")) -> Iterator[Line]:
    """How far the parts of a study are that take time, in the order in which they are needed.

    Args:
        logs: where the rules have them.
    """
    for study, split in plan.splits:
        name = title("download_dataset", {"study": study, "split": split})
        log = logs / study / "download_dataset" / f"{split}.log"
        yield _line(name, RESULTS / study / "dataset" / f"{split}.json", [log])
    for run, entry in plan.runs.items():
        log = logs / entry.study / "grpo_train" / f"{run}.log"
        done = training_folder(entry.study, run) / "checkpoint.json"
        yield _line(title("grpo_train", {"run": run}), done, [log])
    for model, mode in plan.entries:
        folder, count = logs / plan.name / "infer" / model, plan.model(model).shards
        shards = [Shard(number, count) for number in range(1, count + 1)]
        done = RESULTS / plan.name / "predictions" / model / f"{mode}.jsonl"
        name = title("infer", {"model": model, "mode": mode})
        yield _line(name, done, [shard.file(folder / f"{mode}.log") for shard in shards])
    yield _line("leaderboard", RESULTS / plan.name / "leaderboard.json", [])


def _line(title: str, output: Path, logs: list[Path]) -> Line:
    """Snakemake removes the output of a job that it runs again."""
    there = [log for log in logs if log.exists()]
    progress = read_progress(there)
    if output.exists():
        return Line(title, State.DONE, progress)
    if not there:
        return Line(title, State.WAITING)
    for log in there:
        if (words := last_words(log)).startswith("error: "):
            return Line(title, State.FAILED, progress, words=words)
    latest = max(log.stat().st_mtime for log in there)
    return Line(title, State.BEGUN, progress, quiet=max(0.0, time.time() - latest))


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:  # It has not begun, or its file system is slow to show it.
        return ""


def _seconds(clock: str) -> int:
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return seconds


def _clock(seconds: float) -> str:
    """
    >>> _clock(3725), _clock(65)
    ('1:02:05', '1:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rate(rate: float | None) -> str:
    if not rate:
        return ""
    return f"{rate:.1f}/s" if rate >= 0.1 else f"{1 / rate:.0f} s each"
