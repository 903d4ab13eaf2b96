"""Local GRPO in several processes: one policy, and nothing lost, left behind or kept waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import psutil
import pytest
import torch

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError, TrainingError
from active_perception_r1.modes import ACTIVE
from active_perception_r1.training.grpo import GrpoTrainer, Step
from active_perception_r1.training.local import train
from active_perception_r1.training.replicas import Replicas, replicas
from active_perception_r1.training.rollout import roll_out
from tests.local_run import ADVANTAGES, RUN, SAMPLES, run_with

pytestmark = pytest.mark.slow


# One policy.


def learned_by(own: Replicas, run: LocalTraining, base: ModelConfig) -> GrpoTrainer:
    """Of episodes of its own, half of which were worth it."""
    trainer = GrpoTrainer(run, base, SAMPLES, replicas=own)
    rollouts = roll_out(trainer.policy.engine, own.share(SAMPLES), ACTIVE, own.rank)
    for _ in range(2):
        trainer.update.apply(rollouts, torch.tensor(own.share([1.0, -1.0, 1.0, -1.0])))
    return trainer


def keep_learned(own: Replicas, run: LocalTraining, base: ModelConfig, folder: Path) -> None:
    """What each process has in the end, and what it tells."""
    trainer = learned_by(own, run, base)
    line = {**trainer.step(1).metrics.line(), "seconds": None}
    rewards = [reward.reward for reward in trainer.validate(SAMPLES[:3])]
    torch.save((trainer.policy.trainable, line, rewards), folder / f"{own.rank}.part")
    (folder / f"{own.rank}.part").rename(folder / f"{own.rank}.pt")


@pytest.mark.parametrize("adapter", [0, 4])
def test_all_processes_have_the_same_policy_and_tell_the_same(
    untrained_model: ModelConfig, tmp_path: Path, adapter: int
) -> None:
    given = run_with(lora_rank=adapter, updates_per_step=2), untrained_model, tmp_path
    with replicas(2, keep_learned, *given) as first:
        keep_learned(first, *given)
        while not (tmp_path / "1.pt").exists():
            time.sleep(0.05)
    (ours, line, rewards), (theirs, *rest) = (torch.load(tmp_path / f"{n}.pt") for n in (0, 1))
    assert rest == [line, rewards]
    assert len(rewards) == 3
    started = GrpoTrainer(given[0], untrained_model, SAMPLES).policy.trainable
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])
    assert any(not torch.equal(value, started[name]) for name, value in ours.items())


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_two_learn_what_one_learns_from_all_that_they_have_sampled(
    untrained_model: ModelConfig, kl: float
) -> None:
    run = run_with(kl=kl)
    with replicas(2, learned_by, run, untrained_model) as first:
        found = learned_by(first, run, untrained_model)
    alone = GrpoTrainer(run, untrained_model, SAMPLES)
    engine = alone.policy.engine
    one, other = (roll_out(engine, Replicas(n, 2).share(SAMPLES), ACTIVE, n) for n in (0, 1))
    for _ in range(2):
        alone.update.apply(one.followed_by(other), ADVANTAGES)
    learned = 0
    for name, value in alone.policy.trainable.items():
        theirs = found.policy.trainable[name].grad
        assert (value.grad is None) == (theirs is None)
        if value.grad is not None:
            torch.testing.assert_close(theirs, value.grad, atol=1e-4, rtol=1e-2)
            learned += int((value.grad.abs() > 1e-3).sum())
    assert learned > 100


def test_every_question_is_asked_by_one_of_them(untrained_model: ModelConfig) -> None:
    items = list(range(7))
    shares = [Replicas(rank, 3).share(items) for rank in range(3)]
    assert [item for share in shares for item in share] == items
    assert {len(share) for share in shares} == {2, 3}


# A run.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_samples(tmp_path / "data.parquet", SAMPLES)
    return tmp_path / "data.parquet"


def left(output: Path) -> tuple[list[dict[str, object]], bytes]:
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    weights = (output / "checkpoint/model.safetensors").read_bytes()
    return [{**line, "seconds": None} for line in lines], weights


def test_a_killed_run_ends_as_an_undisturbed_one(
    untrained_model: ModelConfig, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = {"validate_every": 2, "validation_samples": 1}
    keys = run_with(processes=2, **validation, save_every=2, export="best")

    def run(name: str) -> None:
        train("run", keys, untrained_model, data, tmp_path / name, tmp_path / f"{name}.state")

    run("whole")
    take = GrpoTrainer.step

    def killed(self: GrpoTrainer, number: int) -> Step:
        done = take(self, number)
        if number == 3:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patched:
        patched.setattr(GrpoTrainer, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            run("cut")
    run("cut")
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def in_step_two(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Have the first process do something before its second step."""
    take = GrpoTrainer.step

    def step(self: GrpoTrainer, number: int) -> Step:
        if number == 2:
            do()
        return take(self, number)

    monkeypatch.setattr(GrpoTrainer, "step", step)


def test_a_process_that_is_killed_stops_the_run_and_costs_no_saved_step(
    untrained_model: ModelConfig, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill() -> None:
        (other,) = active_children()
        other.kill()

    keys, about = run_with(processes=2), (untrained_model, data, tmp_path / "a", tmp_path / "state")
    with monkeypatch.context() as patched:
        in_step_two(patched, kill)
        with pytest.raises(TrainingError, match=r"exit code -9.*run again to go on"):
            train("run", keys, *about)
    train("run", keys, *about)
    train("run", keys, untrained_model, data, tmp_path / "b", tmp_path / "other")
    assert left(tmp_path / "a") == left(tmp_path / "b")


def fails(own: Replicas, error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (DataError("sample 'a': no page"), DataError, "sample 'a': no page"),
        (ValueError("of no use"), TrainingError, "process 2 of 2 .* ValueError: of no use"),
    ],
)
def test_what_fails_in_another_process_is_said_in_the_first(
    error: Exception, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message), replicas(2, fails, error) as first:
        first.sums(1.0)


def waits(own: Replicas) -> None:
    own.sums(1.0)
    own.sums(2.0)


def test_an_error_of_the_first_process_ends_the_others() -> None:
    found: list[int | None] = []

    def fail() -> None:
        with replicas(2, waits) as first:
            assert first.sums(1.0) == [2.0]
            found.extend(process.pid for process in active_children())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    (other,) = found
    assert other is not None
    assert not psutil.pid_exists(other)


# Settings.


def test_processes_share_out_a_cpu_only(untrained_model: ModelConfig) -> None:
    on_gpu = untrained_model.model_copy(update={"gpus": 1})
    assert "engine verl for several GPUs" in run_with(processes=2).unfit(on_gpu)
    assert not run_with(processes=2).unfit(untrained_model)
    assert not RUN.unfit(on_gpu)


def test_each_process_needs_a_question() -> None:
    with pytest.raises(ValueError, match=r"processes \(3\) must not be more than prompts_per_step"):
        run_with(processes=3)
