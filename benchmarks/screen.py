"""What a terminal shows while the demo is made, as text: PYTHONPATH=. python benchmarks/screen.py

    FILE    another study that trains, such as a smaller one

Makes the study in a folder of its own, with nothing activated. Ctrl-C is pressed in the middle of
inference, and of training; what the terminal shows then, and in the end, is printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from settings import REPOSITORY

from active_perception_r1.cli import INTERRUPTED
from tests.terminal import CTRL_C, Terminal, terminal

PROGRAM = Path(sys.executable).parent / "active-perception"
MOMENTS = (
    re.compile(r".* \d+/\d+ .* left .* replies"),
    re.compile(r".*, training +(?:[3-9]|\d\d+)/\d+ .* left .* zoom"),
)
"""What stands on the screen in inference, and in training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args().file
    with tempfile.TemporaryDirectory() as name:
        study = Path(name) / "mine.yaml"
        study.write_text(given.read_text() if given else "study: demo\n")
        print(f"$ cat mine.yaml\n{study.read_text()}")
        waiting, status = list(MOMENTS), INTERRUPTED
        while status == INTERRUPTED:
            command = [str(PROGRAM), "run", str(study)]
            environment = {"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin"}
            environment["PYTHONPATH"] = str(REPOSITORY / "src")
            with terminal(command, Path(name), environment) as screen:
                print("$ active-perception run mine.yaml")
                before = watch(screen, waiting)
                status = screen.end()
            same = itertools.takewhile(
                lambda pair: pair[0] == pair[1], zip(before, screen.lines(), strict=False)
            )
            tell(screen.lines()[len(list(same)) :])
            print(f"[exit status {status}]\n", flush=True)


def watch(screen: Terminal, waiting: list[re.Pattern[str]]) -> list[str]:
    """Until a moment has come: then Ctrl-C is pressed. Prints and returns what is seen by then."""
    if not waiting:
        return []
    seen: list[str] = []

    def come() -> re.Pattern[str] | None:
        seen[:] = screen.lines()
        return next((moment for moment in waiting if any(map(moment.match, seen))), None)

    with suppress(TimeoutError):  # it has ended before
        screen.wait_until(come, seconds=3600)
    if not (moment := come()):
        return []
    waiting.remove(moment)
    tell([*seen, "^C"])
    screen.press(CTRL_C)
    return seen


def tell(lines: list[str]) -> None:
    """Print them, with paths in the checkout as they are from there on."""
    print("\n".join(lines).replace(f"{REPOSITORY.absolute()}/", ""))


if __name__ == "__main__":
    main()
