"""What the demo takes: python benchmarks/demo.py

    --commit REF   measure the demo of this commit (default: HEAD), in a copy of its own

Runs it from nothing, with the environment that runs this, and once more with nothing left to
do. Memory is the sum over all processes of the pipeline, pages that they share counted once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tarfile
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import psutil
from measuring import Figure, report
from settings import REPOSITORY

INTERVAL = 0.5  # seconds between two looks at the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default="HEAD")
    options = parser.parse_args()
    git = ["git", "-C", str(REPOSITORY)]
    archive = subprocess.run([*git, "archive", options.commit], capture_output=True, check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "--short", options.commit], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        wall, megabytes = run(folder)
        again, _ = run(folder)
        figures = [
            Figure(
                "wall time, s", wall, bar="<= 110, or 220 without AVX-512", note=f"commit {commit}"
            ),
            Figure("peak memory of all processes, MB", megabytes),
            Figure("again with nothing to do, s", again, bar="<= 6"),
            *accuracies(folder),
            *rules(folder),
        ]
    report("demo" if options.commit == "HEAD" else f"demo.{commit}", figures)


def run(folder: Path) -> tuple[float, float]:
    """Seconds and the peak of memory of the pipeline."""
    command = ["snakemake", "--cores", "all", "--config", "study=demo"]
    path = os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")])
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": path})
    peak = Peak(process.pid)
    status = process.wait()
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return seconds, peak.stop()


class Peak:
    """Looks at a process and its descendants now and then, until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._process, self._stopped, self._bytes = psutil.Process(pid), threading.Event(), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The highest sum seen, in MB."""
        self._stopped.set()
        self._thread.join()
        return self._bytes / 2**20

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL):
            total = 0
            with suppress(psutil.Error):  # a process may end while it is looked at
                for process in [self._process, *self._process.children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += process.memory_full_info().pss
            self._bytes = max(self._bytes, total)


def accuracies(folder: Path) -> list[Figure]:
    """Before and after training, which rounds otherwise on other processors."""
    rows = json.loads((folder / "results/demo/leaderboard.json").read_text(encoding="utf-8"))
    return [
        Figure(
            f"accuracy of {row['model']}, {row['mode']}", row["accuracy"], note=f"n = {row['n']}"
        )
        for row in rows
        if row["mode"] in ("active", "oracle")
    ]


def rules(folder: Path) -> list[Figure]:
    """Seconds of each rule's jobs, added up, the longest first, as Snakemake remembers them."""
    jobs: dict[tuple[str, str], float] = {}  # it remembers a job once for each of its outputs
    for path in (folder / ".snakemake" / "metadata").iterdir():
        with suppress(ValueError):
            job = json.loads(path.read_text(encoding="utf-8"))
            jobs[job["rule"], job["shellcmd"]] = job["endtime"] - job["starttime"]
    each: dict[str, list[float]] = defaultdict(list)
    for (rule, _), seconds in jobs.items():
        each[rule].append(seconds)
    order = sorted(each, key=lambda rule: sum(each[rule]), reverse=True)
    return [Figure(f"{rule}, s", sum(each[rule]), note=f"{len(each[rule])} jobs") for rule in order]


if __name__ == "__main__":
    main()
