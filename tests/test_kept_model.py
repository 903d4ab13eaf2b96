"""A model is loaded once for the jobs of a run, which end, fail and are killed as without that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.models.keeper import RUN
from active_perception_r1.runtime.gpu import POOL
from tests.scripted import make_sample
from tests.workflow import REPOSITORY

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Run:
    """What stands for a run of Snakemake, and starts jobs as it does."""

    folder: Path
    programs: Path
    process: subprocess.Popen[bytes]

    def start(self, model: str, mode: str, kept: bool = True) -> subprocess.Popen[str]:
        to = self.predictions(model, mode, kept)
        options = {
            "config": self.folder / "study.json",
            "study": "s",
            "model": model,
            "mode": mode,
            "slice": self.folder / "slice.parquet",
            "output": to,
            "partial": to.with_suffix(".partial"),
        }
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), POOL: "0"}
        if kept:
            environment[RUN] = str(self.process.pid)
        return subprocess.Popen(
            [self.programs / "active-perception", "infer"]
            + [f"--{name}={value}" for name, value in options.items()],
            cwd=self.folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def infer(self, model: str, mode: str, kept: bool = True) -> tuple[int, list[Any]]:
        """How often the model was loaded, and its episodes, without the time that they took."""
        job = self.start(model, mode, kept)
        _, errors = job.communicate(timeout=120)
        assert job.returncode == 0, errors
        to = self.predictions(model, mode, kept)
        episodes = [json.loads(line) for line in to.read_text().splitlines()]
        for turn in (turn for episode in episodes for turn in episode["turns"]):
            turn["seconds"] = 0
        return json.loads(to.with_suffix(".json").read_text())["loads"], episodes

    def predictions(self, model: str, mode: str, kept: bool = True) -> Path:
        return self.folder / ("kept" if kept else "alone") / model / f"{mode}.jsonl"

    def keepers(self) -> list[psutil.Process]:
        """The processes that have a model, dead ones left out."""
        folder = Path(f"/tmp/active-perception-{os.getuid()}")
        found = [int(file.read_text()) for file in folder.glob(f"{self.process.pid}-*/*.pid")]
        return [psutil.Process(pid) for pid in found if is_alive(pid)]


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def run(tmp_path: Path, untrained_model: ModelConfig, programs: Path) -> Iterator[Run]:
    write_samples(tmp_path / "slice.parquet", [make_sample(number) for number in range(6)])
    entry = untrained_model.model_dump(mode="json")
    study = {
        "dataset": {"source": "synthetic"},
        "models": ["tiny", "other", "on_gpu", "other_on_gpu", "lost"],
        "modes": ["baseline", "active", "matched_view", "oracle"],
    }
    models = {
        "tiny": entry,
        "other": {**entry, "seed": 5},
        "on_gpu": {**entry, "gpus": 1},
        "other_on_gpu": {**entry, "gpus": 1, "seed": 5},
        "lost": {**entry, "id": "nowhere"},
    }
    gpu = {"lease_folder": str(tmp_path / "leases"), "allow_busy_gpu": True}
    config = {"study": "s", "studies": {"s": study}, "models": models, "gpu": gpu}
    (tmp_path / "study.json").write_text(json.dumps(config))
    with subprocess.Popen(["sleep", "600"]) as process:
        run = Run(tmp_path, programs, process)
        yield run
        process.kill()
    wait_until(lambda: not run.keepers())


def test_modes_share_what_the_first_one_loads_and_write_what_they_would_alone(run: Run) -> None:
    kept = [run.infer("tiny", mode) for mode in ("active", "baseline", "oracle")]
    alone = [run.infer("tiny", mode, kept=False) for mode in ("active", "baseline", "oracle")]
    assert [loads for loads, _ in kept] == [1, 0, 0]
    assert [loads for loads, _ in alone] == [1, 1, 1]
    assert [episodes for _, episodes in kept] == [episodes for _, episodes in alone]


def test_jobs_at_the_same_time_share_it_on_the_cpu(run: Run) -> None:
    jobs = [run.start("tiny", mode) for mode in ("active", "baseline", "oracle")]
    for job in jobs:
        assert job.communicate()[1]
        assert job.returncode == 0
    abouts = [file.read_text() for file in (run.folder / "kept/tiny").glob("*.json")]
    assert sum(json.loads(about)["loads"] for about in abouts) == 1
    (keeper,) = run.keepers()
    wait_until(lambda: not keeper.children())  # nor the remains of ended ones


def test_another_model_takes_its_room(run: Run) -> None:
    assert run.infer("tiny", "active")[0] == 1
    (first,) = run.keepers()
    assert run.infer("other", "active")[0] == 1
    wait_until(lambda: not is_alive(first.pid))
    assert len(run.keepers()) == 1


def test_a_gpu_stays_leased_until_somebody_waits_for_it(run: Run) -> None:
    assert [run.infer("on_gpu", mode)[0] for mode in ("active", "baseline")] == [1, 0]
    (first,) = run.keepers()
    assert run.infer("other_on_gpu", "active")[0] == 1
    assert not is_alive(first.pid)
    assert len(run.keepers()) == 1


@pytest.mark.parametrize("model", ["tiny", "on_gpu"])
def test_with_a_killed_job_its_work_ends_and_is_taken_up_again(model: str, run: Run) -> None:
    job = run.start(model, "active")
    journal = run.predictions(model, "active").with_suffix(".partial")
    wait_until(lambda: journal.exists() and journal.stat().st_size)
    (keeper,) = run.keepers()
    job.kill()
    for_it = keeper.children() if model == "tiny" else [keeper]
    wait_until(lambda: not any(is_alive(process.pid) for process in for_it))
    assert run.infer(model, "active")[1] == run.infer(model, "active", kept=False)[1]


def test_a_killed_process_is_replaced_when_it_is_needed(run: Run) -> None:
    assert run.infer("tiny", "active")[0] == 1
    (keeper,) = run.keepers()
    keeper.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(keeper.pid))
    assert run.infer("tiny", "baseline")[0] == 1


def test_nothing_is_left_of_a_run_that_has_ended(run: Run) -> None:
    run.infer("tiny", "active")
    (keeper,) = run.keepers()
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not is_alive(keeper.pid))
    wait_until(
        lambda: not list(Path(f"/tmp/active-perception-{os.getuid()}").glob(f"{run.process.pid}-*"))
    )


def test_a_model_that_is_not_there_is_told_as_ever(run: Run) -> None:
    told = []
    for kept in (True, False):
        job = run.start("lost", "active", kept)
        told.append(job.communicate()[1])
        assert job.returncode == 1
    assert told[0] == told[1]
    assert told[0].startswith("error: ")
