"""What is ours in a step of verl's trainer, on the CPU.

    OMP_NUM_THREADS=1 PYTHONPATH=tests/verl/shims .venv-verl/bin/python benchmarks/verl_step.py

    --seconds N    of steps that are looked at (default: 90)
    --py-spy PATH  the program of `pip install py-spy` (default: as found)

Trains the tiny model of `make test-verl` in its environment, and looks 20 times a second at the
stacks of all processes, from the end of the first step on. Counted are threads that run. Each
belongs to the innermost package on its stack, where what Python, Pillow, NumPy and pyarrow do
counts as of their caller: reading a reply and cutting a crop are ours, generating below our agent
loop is vLLM's.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from measuring import Figure, report
from settings import REPOSITORY

sys.path.insert(0, str(REPOSITORY))
from tests.verl.runs import ENVIRONMENT, MODEL, RUN, command, write_questions
from tests.verl.tiny_qwen import build

OURS = "active_perception_r1"
OF_THE_CALLER = ("PIL", "numpy", "pyarrow")
PACKAGE = re.compile(r"site-packages/(\w+)")
STEPS = 200  # More than are looked at.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--py-spy", default="py-spy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stacks = looked_at(folder, options.seconds, options.py_spy)
        done = steps_done(folder)
    report("verl_step", [*figures(stacks), Figure("steps until then", done)])


def looked_at(folder: Path, seconds: int, py_spy: str) -> list[str]:
    """Stacks of a training run, from its first step on, with how often each was seen."""
    build(folder / "tiny")
    base = MODEL.model_copy(update={"id": str(folder / "tiny")})
    run = RUN.model_copy(
        update={"steps": STEPS, "save_every": STEPS, "validate_every": 0, "export": "last"}
    )
    write_questions(folder / "data.parquet", run.drawn)
    log = folder / "train.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(folder, run, base), env=ENVIRONMENT, stdout=file, stderr=file
        )
        try:
            while not steps_done(folder):
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(1)
            found = folder / "stacks"
            how = ["--subprocesses", "--nonblocking", "--full-filenames", "--format", "raw"]
            how += ["--rate", "20", "--duration", str(seconds), "--output", str(found)]
            subprocess.run([py_spy, "record", *how, "--pid", str(process.pid)], check=True)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    return found.read_text(encoding="utf-8").splitlines()


def steps_done(folder: Path) -> int:
    found = folder.glob("checkpoints/*/metrics.jsonl")
    return sum(len(path.read_text().splitlines()) for path in found)


def figures(stacks: Iterable[str]) -> list[Figure]:
    owners: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        owners[owner(stack)] += int(count)
    total = owners.total()
    return [
        Figure("ours, % of what runs", 100 * owners[OURS] / total, bar="< 3"),
        *(
            Figure(f"{name}, % of what runs", 100 * count / total)
            for name, count in owners.most_common(8)
            if name != OURS
        ),
        Figure("running threads that were seen", total),
    ]


def owner(stack: str) -> str:
    """The package that the innermost frame belongs to; Python, if all of them are its own."""
    frames = [frame for frame in stack.split(";") if not frame.startswith("process ")]
    for frame in reversed(frames):
        if f"{os.sep}{OURS}{os.sep}" in frame:
            return OURS
        found = PACKAGE.search(frame)
        if found and found[1] not in OF_THE_CALLER:
            return found[1]
    return "Python"


if __name__ == "__main__":
    main()
