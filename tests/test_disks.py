"""Disks that are full or read-only: what cannot be written is named, what is there stays whole."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.disks import needs_disks, on_disk
from tests.workflow import Workflow

READ_ONLY = "mount --bind . . && mount -o remount,bind,ro . && cd $PWD"
SMALL = "mount -t tmpfs -o size=64m none {0} && cp -a . {0} && cd {0}"

pytestmark = needs_disks


def commands(study: Workflow) -> dict[str, list[str]]:
    """The arguments of one job of every rule, as the manifest has them."""
    manifest = json.loads((study.folder / "results/small/manifest.json").read_text())
    return {
        job["rule"]: shlex.split(job["command"].partition(" > ")[0])[1:] for job in manifest["jobs"]
    }


def run_starved(study: Workflow, mounted: str, asked: list[list[Any]]) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.starved"]
    done = on_disk(mounted, command, study, input=json.dumps(asked))
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["whole"]
    told: dict[str, str] = found["told"]
    return told


def test_on_a_read_only_disk_every_command_says_so_and_results_can_be_read(
    finished: Workflow,
) -> None:
    writing = commands(finished)
    reading = {
        "show": ["show", "results/small/leaderboard.json"],
        "verify": ["verify", "results/small"],
    }
    told = run_starved(
        finished, READ_ONLY, [[name, a, None] for name, a in {**writing, **reading}.items()]
    )
    assert {name: told.pop(name) for name in reading} == dict.fromkeys(reading, "0")
    assert told.keys() == writing.keys()
    for answer in told.values():
        assert answer.startswith("1 error: results/")
        assert answer.endswith(
            ": Read-only file system; give access to it, or work in a copy, then run again"
        )


def test_on_a_full_disk_every_command_says_so_and_leaves_nothing_half_written(
    finished: Workflow, tmp_path: Path
) -> None:
    writing = commands(finished)
    afresh = [*writing["grpo_train"], "--checkpoints", "results/.afresh"]
    asked = [[name, arguments, 0] for name, arguments in writing.items()]
    # Room for the metrics of a step, but not for its weights.
    asked.append(["a checkpoint", afresh, 60])
    told = run_starved(finished, SMALL.format(tmp_path), asked)
    assert told.keys() == {*writing, "a checkpoint"}
    assert "/step-000001.pt: " in told["a checkpoint"]
    for answer in told.values():
        assert answer.startswith("1 error: results/")
        assert answer.endswith(
            ": No space left on device; make room, then run again; what was finished is kept"
        )


def test_snakemake_does_not_start_on_read_only_results(finished: Workflow) -> None:
    mounted = "mount --bind results results && mount -o remount,bind,ro results"
    done = on_disk(mounted, finished.command(), finished, stderr=subprocess.STDOUT)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "error: results: not a folder that can be written to; give access to it, or work in a copy"
    )
