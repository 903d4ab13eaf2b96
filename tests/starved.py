"""Runs commands on a disk with little or no room, and tells what came of it; for `test_disks.py`.

Reads [[name, arguments of `active-perception`, kB to leave free or null], ..] from standard input.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import traceback
from pathlib import Path

from active_perception_r1.cli import main
from active_perception_r1.storage.files import sha256_of


def contents() -> dict[str, str]:
    files = (path for path in Path("results/small").rglob("*") if path.is_file())
    return {str(path): sha256_of(path) for path in files}


def leave(kilobytes: int) -> None:
    """Fill the disk up to this."""
    filler = Path("filler")
    filler.unlink(missing_ok=True)
    filler.write_bytes(bytes(shutil.disk_usage(".").free - 1024 * kilobytes))


def told(arguments: list[str]) -> str:
    """The exit code of a command, and the last line of what it wrote to standard error."""
    heard = io.StringIO()
    with contextlib.redirect_stderr(heard):
        try:
            code = main(arguments)
        except Exception:
            code = -1
            traceback.print_exc(file=heard)
    return " ".join([str(code), *heard.getvalue().splitlines()[-1:]])


if __name__ == "__main__":
    before, answers = contents(), {}
    for name, arguments, room in json.load(sys.stdin):
        if room is not None:
            leave(room)
        answers[name] = told(arguments)
    print(json.dumps({"told": answers, "whole": contents() == before}))
