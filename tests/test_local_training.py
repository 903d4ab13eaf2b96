"""Local training of what real models are: every family, in few bits, with an adapter."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import BASELINE, episode_rules, start_episode
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.rollout import roll_out
from active_perception_r1.training.token_probabilities import policy_log_probs
from tests.families import BUILDERS
from tests.local_run import ADVANTAGES, SAMPLES, rolled_out, run_with

ADAM_EPSILON = 1e-8


@pytest.fixture(params=BUILDERS)
def stand_in(
    request: pytest.FixtureRequest, stand_ins: Callable[[str], ModelConfig]
) -> ModelConfig:
    """Entry of a small model of every family."""
    return stand_ins(request.param)


# What is learned from is what was sampled.


def test_a_token_is_as_probable_in_training_as_for_the_plain_processor(
    stand_in: ModelConfig,
) -> None:
    engine = TransformersBackend(stand_in.drawn_at(1.0))
    rules = episode_rules(BASELINE, engine.settings)
    rollouts = roll_out(engine, SAMPLES, BASELINE, seed=0)
    for batch in rollouts.batches:
        for row, episode in enumerate(batch.episodes):
            single = batch.rows([row])
            inputs = engine.encode_afresh([start_episode(SAMPLES[episode], rules).request])
            prompt = inputs["input_ids"].shape[1]
            written = single.tokens[:, prompt : int(single.used.sum())]
            inputs["input_ids"] = torch.cat([inputs["input_ids"], written], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            if "mm_token_type_ids" in inputs:
                kinds = [inputs["mm_token_type_ids"], torch.zeros_like(written)]
                inputs["mm_token_type_ids"] = torch.cat(kinds, 1)
            with torch.no_grad():
                found, _ = policy_log_probs(engine, single, temperature=1.0)
                logits = engine.model(**inputs).logits[0, prompt - 1 : -1].log_softmax(-1)
            expected = logits.gather(-1, written[0][:, None])[:, 0]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_padding_and_neighbours_change_no_probability(stand_in: ModelConfig) -> None:
    engine = TransformersBackend(stand_in.drawn_at(1.0))
    (batch,) = roll_out(engine, SAMPLES, BASELINE, seed=0).batches
    with torch.no_grad():
        together, _ = policy_log_probs(engine, batch, 1.0)
        alone = [policy_log_probs(engine, part, 1.0, sparing=True)[0] for part in batch.parts(1)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


# Precision.


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("adapter", [0, 4])
def test_every_weight_with_a_gradient_moves_however_small_the_rate(
    stand_in: ModelConfig, rate: float, adapter: int
) -> None:
    """The weights are those of a bfloat16 checkpoint, in which such steps would be lost."""
    run = run_with(learning_rate=rate, lora_rank=adapter)
    trainer = GrpoTrainer(run, stand_in.model_copy(update={"dtype": "bfloat16"}), SAMPLES)
    rollouts = rolled_out(trainer)
    for group in trainer.optimiser.param_groups:
        group["lr"] = rate
    for _ in range(2):
        trainer.update.apply(rollouts, ADVANTAGES)
    weights = trainer.policy.trainable
    before = {name: value.detach().clone() for name, value in weights.items()}
    trainer.update.apply(rollouts, ADVANTAGES)
    moved = pulled = 0
    for name, value in weights.items():
        assert value.dtype is torch.float32
        if value.grad is not None:
            has_gradient = value.grad.abs() > ADAM_EPSILON
            pulled += int(has_gradient.sum())
            moved += int((value.detach() != before[name])[has_gradient].sum())
    assert pulled > 100
    assert moved / pulled >= 0.999


# Adapters.


def test_an_adapter_is_merged_into_a_plain_checkpoint_that_answers_as_it_did(
    stand_in: ModelConfig, tmp_path: Path
) -> None:
    policy = Policy(run_with(lora_rank=4), stand_in.model_copy(update={"dtype": "float32"}))
    with torch.no_grad():
        for name, weight in policy.trainable.items():
            weight.normal_(std=0.2)
            assert "vision" not in name
    rollouts = roll_out(policy.engine, SAMPLES, BASELINE, seed=0)
    with torch.no_grad():
        (expected,) = (policy_log_probs(policy.engine, b, 1.0)[0] for b in rollouts.batches)
        (started,) = (policy.reference_log_probs(batch) for batch in rollouts.batches)
    assert not torch.allclose(expected, started, atol=1e-2)
    policy.save(tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    merged = TransformersBackend(stand_in.model_copy(update={"id": str(tmp_path)}))
    with torch.no_grad():
        (found,) = (policy_log_probs(merged, batch, 1.0)[0] for batch in rollouts.batches)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_checkpoint_has_the_precision_of_its_base(
    untrained_model: ModelConfig, tmp_path: Path
) -> None:
    base = untrained_model.model_copy(update={"dtype": "bfloat16"})
    for rank in (0, 4):
        Policy(run_with(lora_rank=rank), base).save(tmp_path / str(rank))
        saved = TransformersBackend(
            untrained_model.model_copy(update={"id": str(tmp_path / str(rank)), "dtype": "auto"})
        )
        assert {weight.dtype for weight in saved.model.parameters()} == {torch.bfloat16}


def test_a_package_for_adapters_that_is_not_there_is_named(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BackendError, match="pip install peft, or set lora_rank: 0"):
        Policy(run_with(lora_rank=4), untrained_model)
