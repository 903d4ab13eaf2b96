"""What benchmarks share: timing, peak memory, the machine, and how figures are kept and shown.

Each benchmark writes `benchmarks/results/{name}.json`; `benchmarks/render.py` makes RESULTS.md of
them all, so that one can be run again without the others.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from active_perception_r1.report.provenance.machine import CPUINFO, hardware, source_commit

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; `low` and `high` are the extremes of `repeats` measurements.

    Of several measurements, `value` is the median, or what the benchmark says at its beginning.

    Attributes:
        what: what was measured, and its unit.
        bar: what it should reach, if anything.
        note: what a reader must know to compare it.
    """

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    repeats: int = 1
    bar: str = ""
    note: str = ""


def spread(what: str, values: Sequence[float], bar: str = "", note: str = "") -> Figure:
    """A figure of several measurements."""
    middle = statistics.median(values)
    return Figure(what, middle, min(values), max(values), len(values), bar, note)


def ratios(what: str, over: Sequence[float], under: Sequence[float], bar: str = "") -> Figure:
    """Of measurements taken in turns, each of `over` to its neighbour in `under`."""
    return spread(what, [a / b for a, b in zip(over, under, strict=True)], bar)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Clock:
    """Seconds since it was made, and those of this process's processors among them.

    Where others use the machine, the first grow, and the second hardly.
    """

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        wall, cpu = self._start
        return time.perf_counter() - wall, time.process_time() - cpu


def best_of(run: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some runs."""
    return min(seconds(run) for _ in range(repeats))


class Run(NamedTuple):
    """What a command took: wall time, processor time, and peak memory of its process."""

    seconds: float
    cpu: float
    megabytes: float


def measured(command: Sequence[str | Path]) -> Run:
    """Run a command, which must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{shlex.join(map(str, command))} failed:\n{errors}")
    wall = time.perf_counter() - start
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def report(name: str, figures: Sequence[Figure]) -> None:
    """Keep the figures, and print them; those of a machine held to AVX2 in a file of their own."""
    name += f".{held.lower()}" if (held := held_to()) else ""
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    document = keep(name, figures, command)
    print(f"{command}\n{document['machine']}, {document['date']}\n")
    print(as_table(document["figures"], "simple"), "\n")


def keep(name: str, figures: Sequence[Figure], command: str) -> dict[str, Any]:
    """Write the figures, with the command, the machine and the date, for `render.py`."""
    document = {
        "command": command,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "figures": [asdict(figure) for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    return document


def as_table(figures: Sequence[dict[str, Any]], style: str) -> str:
    """Values with four digits; the spread where there was more than one measurement."""
    from tabulate import tabulate  # not in the environments that only keep figures

    rows = [
        {
            "what": figure["what"],
            "value": f"{figure['value']:,.4g}",
            "spread": extremes(figure),
            "bar": figure["bar"],
            "note": figure["note"],
        }
        for figure in figures
    ]
    used = [key for key in rows[0] if any(row[key] for row in rows)]
    table = [{key: row[key] for key in used} for row in rows]
    return tabulate(table, headers="keys", tablefmt=style, disable_numparse=True)


def extremes(figure: Mapping[str, Any]) -> str:
    """Of several measurements; nothing of one."""
    low, high = figure["low"], figure["high"]
    return "" if low is None else f"{low:,.4g} to {high:,.4g} ({figure['repeats']}x)"


def described(figure: Mapping[str, Any]) -> str:
    """A value with its extremes, in a cell of a table."""
    spread = extremes(figure)
    return f"{figure['value']:,.3g}" + (f"; {spread}" if spread else "")


def commit() -> str:
    """Of the code that is measured."""
    return (source_commit()["commit"] or "unknown")[:7]


def held_to() -> str:
    """What torch may use of the processor at most, if less than there is."""
    return os.environ.get("ATEN_CPU_CAPABILITY", "").upper()


def machine() -> str:
    """Processor, cores that may be used, memory, GPUs, Python and how busy the machine was."""
    found = hardware()
    vectors = " with AVX-512" if "avx512f" in CPUINFO.read_text(encoding="utf-8") else ""
    vectors += f", held to {held}" if (held := held_to()) else ""
    about = [f"{found['cpu']}{vectors}", f"{found['cores']} cores", f"{found['ram_gib']:.0f} GiB"]
    about += [*found["gpus"], f"Python {found['python']}", f"load {os.getloadavg()[0]:.1f}"]
    return ", ".join(about)
