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
from pathlib import Path

from settings import REPOSITORY

from tests.terminal import CTRL_C, Terminal, terminal

PROGRAM = Path(sys.executable).parent / "active-perception"
INFERENCE = re.compile(r".* active +\d+/\d+ .* left .*replies")
TRAINING = re.compile(r".*, training +(?:[4-9]|1\d\d|[4-9]\d)/\d+ .* left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args().file
    with tempfile.TemporaryDirectory() as name:
        study = Path(name) / "mine.yaml"
        study.write_text(given.read_text() if given else "study: demo\n")
        print(f"$ cat mine.yaml\n{study.read_text()}")
        for wanted in (INFERENCE, TRAINING, None):
            command = [str(PROGRAM), "run", str(study)]
            environment = {"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin"}
            environment["PYTHONPATH"] = str(REPOSITORY / "src")
            with terminal(command, Path(name), environment) as screen:
                print("$ active-perception run mine.yaml")
                before = watch(screen, wanted)
                status = screen.end()
            same = itertools.takewhile(
                lambda pair: pair[0] == pair[1], zip(before, screen.lines(), strict=False)
            )
            print("\n".join(screen.lines()[len(list(same)) :]))
            print(f"[exit status {status}]\n", flush=True)


def watch(screen: Terminal, wanted: re.Pattern[str] | None) -> list[str]:
    """Until a line is seen: then Ctrl-C is pressed. Prints and returns what is seen by then."""
    if wanted is None:
        return []
    screen.wait_until(lambda: any(map(wanted.match, screen.lines())), seconds=3600)
    seen = screen.lines()
    print("\n".join([*seen, "^C"]))
    screen.press(CTRL_C)
    return seen


if __name__ == "__main__":
    main()
