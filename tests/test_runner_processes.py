"""A model on the CPU in several processes: the same episodes, and nothing lost or left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import BackendError
from active_perception_r1.models.infer import infer
from active_perception_r1.models.runner_processes import runner_processes
from active_perception_r1.modes import ACTIVE, BASELINE, SHUFFLED_CROP
from active_perception_r1.records import Episode
from active_perception_r1.runtime.processes import processes_with
from tests.scripted import make_sample
from tests.workflow import Workflow

pytestmark = pytest.mark.slow

SLICE = [make_sample(i) for i in range(10)]
WANTED = [sample.id for sample in SLICE]


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    path = tmp_path / "slice.parquet"
    write_samples(path, SLICE)
    return path


def run(slice_path: Path, model: ModelConfig, mode: str, cores: int) -> list[Episode]:
    output = slice_path.parent / f"{mode}-{cores}.jsonl"
    infer(slice_path, "tiny", model, mode, output, output.with_suffix(".partial"), cores)
    episodes = [Episode.from_json(line) for line in output.read_text().splitlines()]
    return [
        replace(episode, turns=tuple(replace(turn, seconds=0) for turn in episode.turns))
        for episode in episodes
    ]


@pytest.mark.parametrize("mode", [ACTIVE, SHUFFLED_CROP])
def test_processes_play_the_episodes_that_one_plays(
    slice_path: Path, untrained_model: ModelConfig, mode: str
) -> None:
    together = run(slice_path, untrained_model, mode, cores=2)
    assert together == run(slice_path, untrained_model, mode, cores=1)
    assert not any(episode.error for episode in together)


def test_processes_that_take_over_nothing_play_the_same_episodes(
    slice_path: Path, untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def spawning(_: str) -> BaseContext:
        started.append(multiprocessing.get_context("spawn"))
        return started[-1]

    alone = run(slice_path, untrained_model, ACTIVE, cores=1)
    monkeypatch.setattr("active_perception_r1.runtime.workers.get_context", spawning)
    assert run(slice_path, untrained_model, ACTIVE, cores=2) == alone
    assert len(started) == 1


def test_each_process_plays_a_share_of_what_is_wanted(
    slice_path: Path, untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [sample.id for sample in SLICE[3:]]
    shares = []

    def noted(connection: Connection, task: tuple[Path, list[str], None]) -> None:
        shares.append(task[1])
        send(connection, task)

    send = Connection.send
    with runner_processes(2, "tiny", untrained_model, BASELINE) as processes:
        monkeypatch.setattr(Connection, "send", noted)
        done = [episode.sample_id for episode in processes.run(slice_path, wanted)]
    assert [len(share) for share in shares] == [4, 3]
    assert sorted(shares[0] + shares[1]) == sorted(done) == sorted(wanted)


def test_a_model_that_is_not_there_is_told_as_ever(slice_path: Path, tmp_path: Path) -> None:
    lost = ModelConfig(
        id=str(tmp_path / "lost"),
        gpus=0,
        first_view={"max_pixels": 12544},
        crop={"max_pixels": 12544},
    )
    messages = []
    for cores in (1, 2):
        with pytest.raises(BackendError) as caught:
            run(slice_path, lost, BASELINE, cores)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert not multiprocessing.active_children()


def test_a_killed_process_is_told_and_takes_nothing_with_it(
    slice_path: Path, untrained_model: ModelConfig
) -> None:
    slowly = untrained_model.model_copy(update={"max_concurrent_episodes": 1})
    with runner_processes(2, "tiny", slowly, ACTIVE) as processes:
        episodes = processes.run(slice_path, WANTED)
        next(episodes)
        multiprocessing.active_children()[0].kill()
        with pytest.raises(BackendError, match=r"exit code -9; what was finished is kept, run"):
            list(episodes)
        with pytest.raises(BackendError, match="exit code -9"):
            next(processes.run(slice_path, WANTED))
    assert not multiprocessing.active_children()


def test_processes_end_with_a_killed_parent(slice_path: Path, untrained_model: ModelConfig) -> None:
    program = f"""
import time
from pathlib import Path
from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.models.runner_processes import runner_processes
from active_perception_r1.modes import ACTIVE
if __name__ == "__main__":
    model = parse_section(ModelConfig, {untrained_model.model_dump_json(exclude_none=True)!r})
    with runner_processes(2, "tiny", model, ACTIVE) as processes:
        print("started", flush=True)
        time.sleep(600)
"""
    script = slice_path.parent / "runs.py"
    script.write_text(program)
    mark = str(slice_path)
    with subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PLAYS": mark},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        assert len(processes_with("PLAYS", mark)) >= 3
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while processes_with("PLAYS", mark):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_has_as_many_processes_as_snakemake_gives_it_cores(
    tmp_path: Path, programs: Path
) -> None:
    workflow = Workflow(tmp_path, programs=programs)
    done = workflow.run("--dry-run", "--printshellcmds", "--set-threads", "infer=2")
    assert done.returncode == 0, done.stdout
    commands = [line for line in done.stdout.splitlines() if "active-perception infer" in line]
    assert len(commands) == 18
    assert all("--cores 2" in command for command in commands)
