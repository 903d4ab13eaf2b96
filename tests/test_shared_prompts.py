"""Prompts of a training group that are read once: its update is the one of episodes read whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.shared_prompts import different
from active_perception_r1.modes import ACTIVE
from active_perception_r1.training import token_probabilities
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.rollout import Rollouts, roll_out
from tests.families import BUILDERS
from tests.local_run import SAMPLES, run_with

SHARED = {"idefics3", "smolvlm", "llava"}
"""Architectures that are told of tokens and images only."""
GROUPS = [sample for sample in SAMPLES[:2] for _ in range(4)]
ADVANTAGES = torch.tensor([1.0, -1.0] * 4)


@pytest.fixture(params=["tiny", *BUILDERS])
def trainer(
    request: pytest.FixtureRequest,
    untrained_model: ModelConfig,
    stand_ins: Callable[[str], ModelConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> GrpoTrainer:
    base = untrained_model if request.param == "tiny" else stand_ins(request.param)
    found = GrpoTrainer(run_with(gradient_checkpointing=False, kl=0.1), base, SAMPLES)
    monkeypatch.setattr(found.policy, "_halves", False)  # float32, to be compared closely
    return found


def update(trainer: GrpoTrainer, rollouts: Rollouts) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of an update, and its gradient."""
    _, log_probs = trainer.update.gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
    weights = trainer.policy.trainable.values()
    return log_probs, torch.cat([w.grad.flatten() for w in weights if w.grad is not None])


def test_an_update_is_the_same_as_of_episodes_that_are_read_whole(
    trainer: GrpoTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollouts = roll_out(trainer.policy.engine, GROUPS, ACTIVE, seed=3)
    shared = update(trainer, rollouts)
    monkeypatch.setattr(token_probabilities, "may_be_shared", lambda inputs: False)
    for ours, whole in zip(shared, update(trainer, rollouts), strict=True):
        torch.testing.assert_close(ours, whole, atol=1e-5, rtol=1e-3)


def test_a_prompt_is_read_once_where_a_model_needs_only_tokens_and_images(
    trainer: GrpoTrainer,
) -> None:
    engine, most = trainer.policy.engine, 0

    def count(module: torch.nn.Module, given: object, named: dict[str, torch.Tensor]) -> None:
        nonlocal most
        most = max(most, named["input_ids"].numel())

    rollouts = roll_out(engine, GROUPS, ACTIVE, seed=3)
    whole = max(batch.tokens.numel() for batch in rollouts.batches)
    engine.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    for batch in rollouts.batches:
        trainer.policy.log_probs(batch)
    shares = engine.model.config.model_type in SHARED
    assert (most < whole / 2) == shares


def two_rows(first: list[int], second: list[int]) -> list[torch.Tensor]:
    return [torch.tensor([first]), torch.tensor([second])]


def test_prompts_are_the_same_only_with_the_same_words_about_the_same_pages() -> None:
    words = [(1, 2), (1, 2)]
    assert different(words, two_rows([7], [7])).rows == [0]
    assert different(words, two_rows([7], [8])).rows == [0, 1]
    assert different([(1, 2), (1, 3)], two_rows([7], [7])).rows == [0, 1]
    assert different(words, two_rows([7], [7])).of_row == [0, 0]
