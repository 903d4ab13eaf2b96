"""Failures under real Snakemake: nothing is lost, hidden or booked twice, and all is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from active_perception_r1.records import Episode
from tests.disks import needs_disks, on_disk
from tests.docvqa_files import synthetic_rows, write_rows
from tests.scripted import MODEL
from tests.workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

LEADERBOARD = "results/s/leaderboard.json"

# The command with the engine of `tests/flaky_engine.py`: in a fork (see `preloaded`), or alone.
FLAKY = """#!/bin/sh
INSTALLED_BEFORE=tests.flaky_engine exec {programs}/active-perception "$@"
"""
FLAKY_ALONE = f"""#!{sys.executable}
import sys
sys.path.append("{REPOSITORY}")
from tests.flaky_engine import install
install()
from active_perception_r1.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_rows(folder / "pages.parquet", synthetic_rows(12))
    (folder / "bin").mkdir()
    (folder / "bin" / "active-perception").write_text(FLAKY.format(programs=programs))
    (folder / "bin" / "active-perception").chmod(0o755)
    (folder / "bin" / "snakemake").symlink_to(programs / "snakemake")
    workflow = Workflow(folder, programs=programs)
    configure(workflow)
    done = workflow.run("results/s/slice/test.parquet")
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def workflow(template: Path, tmp_path: Path) -> Workflow:
    """A study of 8 questions, one model and mode, whose engine fails when told to."""
    workflow = Workflow(tmp_path / "study", programs=tmp_path / "study" / "bin")
    shutil.copytree(template, workflow.folder, symlinks=True)
    return workflow


def configure(
    workflow: Workflow, gpus: int = 0, share: float = 0.3, allow_busy_gpu: bool = False
) -> None:
    study = {
        "dataset": {"source": "parquet", "path": "pages.parquet"},
        "slice": {"samples": 8},
        "models": ["m"],
        "modes": ["baseline"],
        "max_error_share": share,
    }
    entry = {**MODEL.model_dump(mode="json"), "gpus": gpus}
    workflow.configure(
        {
            "study": "s",
            "studies": {"s": study},
            "models": {"m": entry},
            "gpu": {"lease_folder": "leases", "allow_busy_gpu": allow_busy_gpu},
        }
    )


def episodes(workflow: Workflow) -> list[Episode]:
    path = workflow.folder / "results/s/predictions/m/baseline.jsonl"
    return [Episode.from_json(line) for line in path.read_text().splitlines()]


def test_infrastructure_errors_fail_the_study_or_are_shown_and_the_next_run_retries_them(
    workflow: Workflow,
) -> None:
    broken, asked = workflow.folder / "broken", workflow.folder / "asked"
    broken.write_text("2")
    configure(workflow, share=0.2)
    done = workflow.run(LEADERBOARD)
    assert done.returncode == 1
    assert "2 of 8 episodes ended in an error, more than max_error_share 0.2" in done.stdout
    assert not (workflow.folder / LEADERBOARD).exists()

    asked.unlink()
    configure(workflow, share=0.3)
    done = workflow.run(LEADERBOARD)
    assert done.returncode == 0, done.stdout
    assert asked.read_text() == "xxxx"  # The others were not asked again.
    failed = [episode.sample_id for episode in episodes(workflow) if episode.error]
    assert len(failed) == 2
    page = (workflow.folder / "results/s/leaderboard.md").read_text()
    assert "2 of 8 episodes ended in an error" in page
    assert f"{failed[0]}: server gone" in page

    asked.unlink()
    broken.unlink()
    done = workflow.run(LEADERBOARD)
    assert done.returncode == 0, done.stdout
    assert asked.read_text() == "xx"
    assert not any(episode.error for episode in episodes(workflow))
    assert "server gone" not in (workflow.folder / "results/s/leaderboard.md").read_text()

    configure(workflow, share=0.3, allow_busy_gpu=True)
    assert workflow.planned(LEADERBOARD) == {}  # How GPUs are shared changes no result.


def test_a_dead_engine_fails_the_job_with_its_reason(workflow: Workflow) -> None:
    (workflow.folder / "broken").write_text("99")
    done = workflow.run(LEADERBOARD)
    assert done.returncode == 1
    assert "server gone, and none went well; what was finished is kept" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_request_for_gpus_that_snakemake_lowers_is_an_error(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVE_PERCEPTION_GPUS", "0,1")
    configure(workflow, gpus=2)
    done = workflow.run(LEADERBOARD, "--resources", "gpu=1")
    assert done.returncode == 1
    assert "the model needs 2 GPUs, but this job was granted 1" in done.stdout
    done = workflow.run(LEADERBOARD, "--resources", "gpu=2")
    assert done.returncode == 0, done.stdout
    assert {path.stem for path in (workflow.folder / "leases").iterdir()} > {"0", "1"}


def test_a_second_snakemake_is_told_that_the_first_is_running_and_harms_nothing(
    workflow: Workflow,
) -> None:
    stalled = workflow.folder / "stalled"
    stalled.touch()
    first = subprocess.Popen(
        workflow.command(LEADERBOARD),
        cwd=workflow.folder,
        env=workflow.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert first.stdout is not None
        while not (workflow.folder / "asked").exists() and first.poll() is None:
            time.sleep(0.1)
        second = workflow.run(LEADERBOARD)
        unlocked = workflow.run(LEADERBOARD, "--nolock")
    finally:
        stalled.unlink()
        output, _ = first.communicate()
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout
    assert unlocked.returncode == 1
    assert "another process is still writing here; wait for it or end it" in unlocked.stdout
    assert "Traceback" not in unlocked.stdout
    assert first.returncode == 0, output
    assert len({episode.sample_id for episode in episodes(workflow)}) == 8
    assert (workflow.folder / "asked").read_text() == "x" * 8
    assert workflow.planned(LEADERBOARD) == {}


FULL_AT_FIRST = """
mv results written
mkdir results
mount -t tmpfs -o size=8m none results
cp -a written/. results
cat /dev/zero > results/filler || truncate --size=-4K results/filler
"$@" || echo "ended with $?"
cp results/.partial/s/m/baseline.jsonl kept
rm -f results/filler asked
"$@"
cp -a results/. written
exit
"""


@needs_disks
def test_a_study_that_filled_the_disk_goes_on_when_there_is_room(workflow: Workflow) -> None:
    # What is forked elsewhere would not see the disk.
    (workflow.folder / "bin" / "active-perception").write_text(FLAKY_ALONE)
    command = workflow.command(LEADERBOARD)
    done = on_disk(FULL_AT_FIRST, command, workflow, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    first, _ = done.stdout.split("ended with 1")
    assert "\nerror: results/" in first
    assert ": No space left on device; make room, then run again; what was finished is" in first
    assert "Traceback" not in first
    (workflow.folder / "results").rmdir()
    (workflow.folder / "written").rename(workflow.folder / "results")
    assert len({episode.sample_id for episode in episodes(workflow)}) == 8
    _, *kept = (workflow.folder / "kept").read_text().splitlines()
    assert kept
    asked = workflow.folder / "asked"
    assert len(kept) + (len(asked.read_text()) if asked.exists() else 0) == 8
