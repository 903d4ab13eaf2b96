"""Killed at random moments and run again, a study ends as if nothing had happened.

`make chaos` kills 50 times; the ordinary suite 4 times, and commands that are forks, which die as
their client does (see `preloaded`). The seed of the moments is printed, but timing is not
repeatable, so a failure may need several tries to show again.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from active_perception_r1.config import ModelConfig
from tests.small_study import results_of, set_up_small_study
from tests.workflow import Workflow

pytestmark = pytest.mark.slow

THOROUGH = "CHAOS_KILLS" in os.environ
KILLS = int(os.environ.get("CHAOS_KILLS", "4"))
LONGEST_LIFE = 14 if THOROUGH else 7  # seconds, about what a study takes
MOST_RUNS_AFTER_A_KILL = 8  # A job may have to wait for one that outlived its Snakemake.
Run = subprocess.Popen[str]


def kill_snakemake(run: Run) -> None:
    """Its jobs live on."""
    run.kill()
    run.wait()


def kill_a_job(run: Run) -> None:
    """Snakemake sees it fail and goes on with others; then it is ended as by Ctrl-C."""
    for process in psutil.Process(run.pid).children(recursive=True):
        if "active-perception" in " ".join(process.cmdline()):
            process.kill()
            break
    time.sleep(1)
    run.send_signal(signal.SIGINT)
    run.wait()


def kill_both(run: Run) -> None:
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


ATTACKS: tuple[Callable[[Run], None], ...] = (kill_both, kill_a_job, kill_snakemake)


def evaluate_the_trained_model_only(workflow: Workflow) -> None:
    config = workflow.config
    config["studies"]["small"] |= {"models": ["tiny+grpo"], "modes": ["baseline", "active"]}
    workflow.configure(config)


@pytest.fixture(scope="module")
def undisturbed(finished: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = finished.copied(tmp_path_factory.mktemp("chaos") / "undisturbed")
    results = workflow.folder / "results" / "small"
    for path in (*results.glob("*/tiny"), *results.glob("*/tiny+grpo/strict_zoom.*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    evaluate_the_trained_model_only(workflow)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    return workflow


def test_whatever_is_killed_whenever_the_results_are_those_of_an_undisturbed_run(
    undisturbed: Workflow, untrained_model: ModelConfig, programs: Path, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, killed = random.Random(seed), 0
    for study in range(KILLS):
        (tmp_path / str(study)).mkdir()
        folder = tmp_path / str(study)
        workflow = set_up_small_study(folder, untrained_model, None if THOROUGH else programs)
        evaluate_the_trained_model_only(workflow)
        killed += disturb(workflow, rng, KILLS - killed)
        finish(workflow)
        assert results_of(workflow) == results_of(undisturbed)
        assert not list(workflow.folder.glob("results/**/.*.part"))
        assert workflow.planned() == {}
        shutil.rmtree(workflow.folder)
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} of {KILLS} kills were made")


def disturb(workflow: Workflow, rng: random.Random, most: int) -> int:
    """Kill the study up to `most` times, unless it ends before; returns how often."""
    saved: set[str] = set()
    killed = 0
    while killed < most:
        run = start_again(workflow)
        try:
            if run.wait(rng.uniform(1, LONGEST_LIFE)) == 0:
                return killed
            # Otherwise a job was refused, since one that outlived its Snakemake still writes.
        except subprocess.TimeoutExpired:
            rng.choice(ATTACKS)(run)
            killed += 1
        lost = saved - saved_by(workflow)
        assert not lost, f"computed again or lost: {sorted(lost)[:3]}"
        saved = saved_by(workflow)
    return killed


def start_again(workflow: Workflow) -> Run:
    """What the README says to do after a crash."""
    assert workflow.run("--unlock").returncode == 0
    return workflow.start()


def finish(workflow: Workflow) -> None:
    saved = saved_by(workflow)
    for _ in range(MOST_RUNS_AFTER_A_KILL):
        with start_again(workflow) as run:
            output, _ = run.communicate()
        if run.returncode == 0:
            assert saved <= saved_by(workflow)
            return
        assert "another process is still writing here" in output, output
        time.sleep(2)
    pytest.fail("a job that outlived its Snakemake does not end")


def saved_by(workflow: Workflow) -> set[str]:
    """Every finished episode and saved training step, with the seconds that it took.

    An episode or step that was computed again would have other seconds.
    """
    results = workflow.folder / "results"
    episodes = {
        line
        for path in results.glob(".partial/**/*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    }
    steps: set[str] = set()
    for folder in results.glob(".checkpoints/*"):
        states = [int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.pt")]
        if states:
            lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            steps |= set(lines[: max(states)])
    return episodes | steps
