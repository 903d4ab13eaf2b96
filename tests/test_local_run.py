"""A run of the local engine as a whole: killed, refilled, validated."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import TrainingError
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.training import grpo
from active_perception_r1.training.grpo import GrpoTrainer, Played, Question, Step
from active_perception_r1.training.local import train
from tests.local_run import RUN, SAMPLES, run_with

# A killed run.


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, run: Callable[[], None]) -> None:
    """A run that is killed in `step`, and then goes on."""
    take = GrpoTrainer.step

    def killed(self: GrpoTrainer, number: int) -> Step:
        done = take(self, number)
        if number == step:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patched:
        patched.setattr(GrpoTrainer, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    run()


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [0, 4])
def test_a_run_killed_at_any_step_ends_as_an_undisturbed_one(
    untrained_model: ModelConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    adapter: int,
) -> None:
    data = tmp_path / "data.parquet"
    write_samples(data, SAMPLES)
    keys = run_with(
        lora_rank=adapter,
        steps=3,
        save_every=2,
        refill=True,
        validate_every=1,
        validation_samples=1,
        export="best",
        kl=0.01,
    )

    def run(name: str) -> None:
        train("run", keys, untrained_model, data, tmp_path / name, tmp_path / f"{name}.state")

    def left(name: str) -> tuple[object, ...]:
        folder = tmp_path / name
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        metrics = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
        with gzip.open(folder / "rollouts.jsonl.gz", "rt") as file:
            rows = [json.loads(line) for line in file]
        episodes = [(row["step"], row["reward"], row["episode"]["answer"]) for row in rows]
        return metrics, episodes, (folder / "checkpoint/model.safetensors").read_bytes()

    run("whole")
    for step in range(1, keys.steps + 1):
        killed_at(step, monkeypatch, lambda step=step: run(f"cut{step}"))  # type: ignore[misc]
        assert left(f"cut{step}") == left("whole")


# Refilled groups.


def scripted(monkeypatch: pytest.MonkeyPatch, spread: Callable[[str], bool]) -> list[list[str]]:
    """Groups have a spread of rewards if `spread` says so of their question; what was asked."""
    asked: list[list[str]] = []
    play = GrpoTrainer._play

    def played(self: GrpoTrainer, questions: Sequence[Question], seed: int, step: int) -> Played:
        ids = [question.sample.id for question in questions]
        asked.append(ids)
        found = play(self, questions, seed, step)
        rows = [[1.0, -1.0] if spread(id) else [0.0, 0.0] for id in ids]
        return Played(found.rollouts, found.samples, found.rewards, torch.tensor(rows))

    monkeypatch.setattr(GrpoTrainer, "_play", played)
    return asked


def test_groups_without_a_spread_are_replaced_by_other_questions(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scripted(monkeypatch, lambda question: question == "sample-2")
    trainer = GrpoTrainer(run_with(refill=True), untrained_model, SAMPLES)
    metrics, played = trainer.step(1)
    assert len(asked[0]) == 2
    assert all(len(more) == 2 - ("sample-2" in asked[0]) for more in asked[1:2])
    assert len(played.rewards) == 2 * sum(map(len, asked))
    flat = sum(question != "sample-2" for round in asked for question in round)
    assert metrics.frac_reward_zero_std == flat / sum(map(len, asked))


def test_the_number_of_tries_is_limited(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scripted(monkeypatch, lambda question: False)
    trainer = GrpoTrainer(run_with(refill=True), untrained_model, SAMPLES)
    before = {name: value.detach().clone() for name, value in trainer.policy.trainable.items()}
    metrics, _ = trainer.step(1)
    assert len(asked) == 1 + grpo.REFILLS
    assert metrics.entropy is None
    for name, value in trainer.policy.trainable.items():
        assert torch.equal(value, before[name])


def test_without_refill_a_step_has_the_questions_that_it_has(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scripted(monkeypatch, lambda question: False)
    GrpoTrainer(RUN, untrained_model, SAMPLES).step(1)
    assert len(asked) == 1


# Validation.


def rewarded(correct: bool) -> Reward:
    return Reward(
        **{
            field: 0.0
            for field in Reward.__dataclass_fields__
            if field not in ("correct", "reward")
        },
        correct=correct,
        reward=float(correct),
    )


@pytest.mark.parametrize(
    ("validate_every", "right", "best"), [(1, [0, 1, 0, 0], 2), (2, [1, 0], 2), (0, [], None)]
)
def test_the_best_of_the_saved_states_is_exported(
    untrained_model: ModelConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    validate_every: int,
    right: list[int],
    best: int | None,
) -> None:
    """By validation; without one by the reward."""
    data = tmp_path / "data.parquet"
    write_samples(data, SAMPLES)
    found = iter(right)
    monkeypatch.setattr(
        GrpoTrainer, "validate", lambda self, samples: [rewarded(bool(next(found)))]
    )
    keys = run_with(
        export="best",
        validate_every=validate_every,
        validation_samples=1,
        save_every=validate_every or 1,
    )
    train("run", keys, untrained_model, data, tmp_path / "out", tmp_path / "state")
    lines = (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rewards = [row["reward"] for row in rows]
    expected = best or 1 + rewards.index(max(rewards))
    assert f"exporting step {expected} of 4" in capsys.readouterr().err
    validated = [row["step"] for row in rows if row["validation_correct"] is not None]
    assert validated == ([n for n in range(1, 5) if n % validate_every == 0] if right else [])


def test_validation_is_greedy_and_changes_nothing_of_the_training(
    untrained_model: ModelConfig, tmp_path: Path
) -> None:
    data = tmp_path / "data.parquet"
    write_samples(data, SAMPLES)
    trainer = GrpoTrainer(RUN, untrained_model, SAMPLES)
    assert trainer.validate(SAMPLES) == trainer.validate(SAMPLES)
    steps = []
    for validates in (False, True):
        trainer = GrpoTrainer(RUN, untrained_model, SAMPLES)
        for step in (1, 2):
            metrics = trainer.step(step).metrics
            if validates:
                trainer.validate(SAMPLES)
        steps.append((metrics.means, metrics.loss, metrics.grad_norm))
    assert steps[0] == steps[1]


def test_tensorboard_that_is_not_there_is_named(
    untrained_model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    data = tmp_path / "data.parquet"
    write_samples(data, SAMPLES)
    keys = run_with(tensorboard=True)
    with pytest.raises(TrainingError, match="pip install tensorboard"):
        train("run", keys, untrained_model, data, tmp_path / "out", tmp_path / "state")
