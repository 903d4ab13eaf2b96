"""verl's own trainer, end to end on a CPU: our launch, agent loop, reward, watcher and export.

One run of two GRPO steps, killed after the first and taken up again.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from active_perception_r1.config import ModelConfig
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Episode
from active_perception_r1.storage.files import sha256_of
from benchmarks.measuring import Figure, keep, spread
from tests.verl.runs import ENVIRONMENT, RUN, command, finish, write_questions

PATIENCE = 1800  # seconds; far more than it takes


@dataclass
class Run:
    base: ModelConfig
    folder: Path
    killed_after: int
    seconds: float

    @property
    def state(self) -> Path:
        (state,) = (self.folder / "checkpoints").iterdir()
        return state

    def lines(self, name: str) -> list[dict[str, Any]]:
        text = (self.state / name).read_text()
        return [json.loads(line) for line in text.splitlines()]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        text = (self.folder / "output/metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    @property
    def episodes(self) -> list[dict[str, Any]]:
        return [line for step in (1, 2) for line in self.lines(f"episodes/{step}.jsonl")]


@pytest.fixture(scope="module")
def run(tiny: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("verl")
    write_questions(folder / "data.parquet", RUN.drawn)
    arguments = command(folder, RUN, tiny)
    log, start = folder / "train.log", time.monotonic()
    with log.open("wb") as file:
        first = subprocess.Popen(arguments, env=ENVIRONMENT, stdout=file, stderr=file)
        done = wait_for_a_step(folder / "checkpoints", first, log)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert finish(arguments, log) == 0, log.read_text()
    finished = Run(tiny, folder, done, time.monotonic() - start)
    if "KEEP_FIGURES" in os.environ:
        keep("verl", figures(finished), "make test-verl KEEP_FIGURES=1")
    return finished


def figures(run: Run) -> list[Figure]:
    """For benchmarks/RESULTS.md."""
    correlation = [row["correlation"] for row in run.metrics]
    seconds = [row["seconds"] for row in run.metrics]
    zoomed = sum(episode["shown"] > 0 for episode in run.episodes)
    note = f"of {len(run.episodes)}"
    return [
        spread("correlation of rollout engine and actor, each step", correlation, bar=">= 0.99"),
        spread("seconds of a step", seconds),
        Figure("episodes that were shown a crop", zoomed, note=note),
        Figure("steps done when it was killed", run.killed_after, note=f"of {RUN.steps}"),
        Figure("both starts and the export, s", run.seconds),
    ]


def wait_for_a_step(checkpoints: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    """Steps done when the first metrics are there."""
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE:
        assert process.poll() is None, log.read_text()
        found = [path for path in checkpoints.glob("*/metrics.jsonl") if path.stat().st_size]
        if found:
            return len(found[0].read_text().splitlines())
        time.sleep(0.5)
    raise AssertionError(log.read_text())


def test_crops_were_put_in_front_of_the_policy(run: Run) -> None:
    zoomed = [episode for episode in run.episodes if episode["shown"]]
    assert zoomed
    for episode in zoomed:
        assert episode["image_count"] == 1 + episode["shown"]
        assert len(episode["episode"]["turns"]) == 2
        assert episode["episode"]["steps"][0]["shown"]


def test_rollout_engine_and_actor_run_the_same_model(run: Run) -> None:
    # In a step whose tokens were all but certain, the correlation is that of rounding errors.
    assert all(row["correlation"] >= 0.99 or row["probability_gap"] < 5e-4 for row in run.metrics)
    assert run.metrics[0]["correlation"] >= 0.99


def test_the_parts_of_the_reward_are_logged_under_the_names_of_the_local_engine(run: Run) -> None:
    assert len(run.episodes) == RUN.steps * RUN.prompts_per_step * RUN.samples_per_prompt
    for row in run.metrics:
        assert (row["asked"], row["failed"]) == (8, 0)
        rows = run.lines(f"episodes/{row['step']}.jsonl")
        assert row["reward"] == pytest.approx(sum(r["reward"] for r in rows) / len(rows))
        assert row["correct"] == pytest.approx(sum(r["correct"] for r in rows) / len(rows))
        assert row["loss"] is not None
        assert row["grad_norm"] > 0


def test_every_episode_is_kept_by_group_and_step(run: Run) -> None:
    with gzip.open(run.folder / "output/rollouts.jsonl.gz", "rt") as file:
        kept = [json.loads(line) for line in file]
    assert [row["step"] for row in kept] == [1] * 8 + [2] * 8
    assert {(row["step"], row["group"]) for row in kept} == {(1, 0), (1, 1), (2, 0), (2, 1)}
    assert all(Episode.from_json(json.dumps(row["episode"])).mode == ACTIVE for row in kept)


def test_pages_of_its_own_were_validated_on_after_every_step(run: Run) -> None:
    trained = {episode["id"] for episode in run.episodes}
    for row in run.metrics:
        validated = run.lines(f"episodes/validation/{row['step']}.jsonl")
        assert len(validated) == RUN.validation_samples
        assert not trained.intersection(episode["id"] for episode in validated)
        assert row["validation_correct"] == sum(e["correct"] for e in validated) / len(validated)
        assert row["validation_documents"] == len({episode["doc_id"] for episode in validated})


def test_the_killed_run_went_on_after_its_last_checkpoint(run: Run) -> None:
    assert run.killed_after == 1
    assert [row["step"] for row in run.metrics] == [1, 2]
    assert [line["step"] for line in run.lines("verl.001.jsonl")] == [1]
    assert [line["step"] for line in run.lines("verl.002.jsonl")] == [2]
    assert (run.state / "checkpoints/global_step_2/actor").is_dir()


def test_the_checkpoint_is_a_model_that_transformers_loads_and_that_has_learned(run: Run) -> None:
    folder = run.folder / "output/checkpoint"
    after = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    before = AutoModelForImageTextToText.from_pretrained(run.base.id, dtype=torch.float32)
    AutoProcessor.from_pretrained(folder)
    # The export is in bfloat16; the vision tower was frozen.
    changed = {
        name
        for name, value in before.state_dict().items()
        if not torch.equal(value.bfloat16().float(), after[name])
    }
    assert any("language_model" in name for name in changed)
    assert not any("visual" in name for name in changed)


def test_the_state_that_was_most_often_right_in_validation_is_exported(run: Run) -> None:
    scores = [row["validation_correct"] for row in run.metrics]
    best = 1 + scores.index(max(scores))
    assert json.loads((run.state / "best.json").read_text()) == {"step": best, "score": max(scores)}
    exported = AutoModelForImageTextToText.from_pretrained(
        run.folder / "output/checkpoint", dtype=torch.float32
    ).state_dict()
    for step in (1, 2):
        folder = run.state / f"checkpoints/global_step_{step}/actor"
        saved = torch.load(folder / "model_world_size_1_rank_0.pt", weights_only=False)
        same = (
            torch.equal(value.to_local().bfloat16().float(), exported[name])
            for name, value in saved.items()
        )
        assert all(same) == (step == best)


def test_the_checkpoint_says_what_it_is(run: Run) -> None:
    about = json.loads((run.folder / "output/checkpoint.json").read_text())
    assert about["steps"] == 2
    assert about["data_sha256"] == sha256_of(run.folder / "data.parquet")
    card = (run.folder / "output/checkpoint/README.md").read_text()
    assert about["base_revision"] in card
    assert '"correct_weight": 0.35' in card


def test_nothing_of_verl_outlives_the_run(run: Run) -> None:
    mine = str(run.folder).encode()
    alive = [
        process
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if process.parent.name != str(os.getpid()) and mine in _read(process)
    ]
    assert not alive


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""
