"""The local trainer: what is in the loss, what is not, and that a cut-off run goes on as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import (
    ACTIVE,
    BASELINE,
    STRICT_ZOOM,
    episode_rules,
    start_episode,
)
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import episode_reward
from active_perception_r1.storage.files import sha256_of
from active_perception_r1.training.grpo import (
    GrpoTrainer,
    Step,
)
from active_perception_r1.training.local import train
from active_perception_r1.training.metrics import zoom_rate
from active_perception_r1.training.played import group_advantages
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.rollout import Sequences, merge_turns, roll_out
from active_perception_r1.training.token_probabilities import policy_log_probs
from tests.scripted import ZOOM, make_sample, run

RUN = LocalTraining(
    base="tiny",
    study="demo",
    steps=4,
    prompts_per_step=2,
    samples_per_prompt=3,
    learning_rate=1e-3,
    save_every=2,
)


def samples(count: int = 4) -> list[Sample]:
    return [make_sample(i) for i in range(count)]


def sequences(rows: Sequence[tuple[list[int], list[int]]], episodes: Sequence[int]) -> Sequences:
    """Rows of (prompt ids, written ids)."""
    length = max(len(prompt) + len(written) for prompt, written in rows)
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    used, policy = torch.zeros_like(tokens).bool(), torch.zeros_like(tokens).bool()
    for row, (prompt, written) in enumerate(rows):
        end = len(prompt) + len(written)
        tokens[row, :end] = torch.tensor(prompt + written)
        used[row, :end] = True
        policy[row, len(prompt) : end] = True
    return Sequences(tokens, used, policy, {}, ((),) * len(rows), tuple(episodes))


def test_advantages_have_mean_zero_in_each_group_and_vanish_in_flat_ones() -> None:
    advantages = group_advantages(torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.1, 0.1]]))
    assert advantages.mean(1).abs().max() < 1e-6
    assert advantages[0].std() == pytest.approx(1, abs=1e-2)
    assert (advantages[1] == 0).all()


def test_the_zoom_rate_is_told_by_whether_a_zoom_is_needed() -> None:
    needs = [True, True, True, False, False]
    asked = [make_sample(i, requires_zoom=need) for i, need in enumerate(needs)]
    zoomed = [run([ZOOM, "<answer>42</answer>"]), run(["<answer>42</answer>"])]
    episodes = [zoomed[0], zoomed[0], zoomed[1], zoomed[1], zoomed[0]]
    rewards = [episode_reward(e, s) for e, s in zip(episodes, asked, strict=True)]
    assert zoom_rate(rewards, asked, needed=True) == pytest.approx(2 / 3)
    assert zoom_rate(rewards, asked, needed=False) == 0.5
    assert zoom_rate(rewards[:3], asked[:3], needed=False) is None


def test_a_turn_that_a_later_prompt_repeats_is_trained_in_its_row() -> None:
    first = sequences([([1, 2], [3, 4]), ([1, 2], [5])], episodes=[0, 1])
    second = sequences([([1, 2, 3, 4, 9], [7, 8])], episodes=[0])
    later, earlier = merge_turns([first, second])
    assert later.tokens.tolist() == [[1, 2, 3, 4, 9, 7, 8]]
    assert later.policy.tolist() == [[False, False, True, True, False, True, True]]
    assert earlier.tokens.tolist() == [[1, 2, 5]]
    assert earlier.episodes == (1,)


def test_a_turn_that_reads_back_as_other_tokens_keeps_its_own_row() -> None:
    first = sequences([([1, 2], [3, 4])], episodes=[0])
    second = sequences([([1, 2, 34, 9], [7])], episodes=[0])
    later, earlier = merge_turns([first, second])
    assert later.policy.sum() == 1
    assert earlier.policy.sum() == 2


def test_every_written_token_is_in_the_loss_once_and_nothing_else(
    untrained_model: ModelConfig,
) -> None:
    policy = TransformersBackend(untrained_model.drawn_at(1.0))
    rollouts = roll_out(policy, samples(), ACTIVE, seed=3)
    written = [0] * 4
    for batch in rollouts.batches:
        for row, episode in enumerate(batch.episodes):
            written[episode] += int(batch.policy[row].sum())
            prompt_end = int(batch.policy[row].int().argmax())
            assert not batch.policy[row, :prompt_end].any()
            assert (batch.policy[row] <= batch.used[row]).all()
    tokens = [sum(turn.completion_tokens for turn in e.turns) for e in rollouts.episodes]
    assert written == tokens


def test_log_probabilities_are_those_of_the_sampled_tokens(untrained_model: ModelConfig) -> None:
    """Right-padded rows with precomputed image features give what the plain forward gives."""
    policy = TransformersBackend(untrained_model)
    sample = make_sample()
    rollouts = roll_out(policy, [sample, make_sample(1)], BASELINE, seed=0)
    (batch,) = rollouts.batches
    with torch.no_grad():
        log_probs, entropy = policy_log_probs(policy, batch, temperature=1.0)
        single = batch.rows([1])
        alone, _ = policy_log_probs(policy, single, temperature=1.0)

        rules = episode_rules(BASELINE, policy.settings)
        request = start_episode(make_sample(1), rules).request
        inputs = policy.encode_afresh([request])
        length = int(single.used.sum())
        written = single.tokens[:, inputs["input_ids"].shape[1] : length]
        ids = torch.cat([inputs["input_ids"], written], 1)
        logits = policy.model(**{**inputs, "input_ids": ids, "attention_mask": ids * 0 + 1}).logits
        plain = logits[0, -written.shape[1] - 1 : -1].log_softmax(-1)
        expected = plain.gather(-1, written[0][:, None])[:, 0]
    torch.testing.assert_close(alone, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_probs[-len(alone) :], alone, atol=1e-4, rtol=1e-4)
    assert (entropy >= 0).all()


def test_a_step_raises_the_probability_of_what_was_rewarded(untrained_model: ModelConfig) -> None:
    trainer = GrpoTrainer(RUN, untrained_model, samples())
    rollouts = roll_out(trainer.policy.engine, samples(), ACTIVE, seed=3)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])

    def gap() -> float:
        total = 0.0
        with torch.no_grad():
            for batch in rollouts.batches:
                log_probs, _ = policy_log_probs(trainer.policy.engine, batch, 1.0)
                sign = advantages[list(batch.episodes)][:, None].expand_as(batch.policy)
                total += float((log_probs * sign[batch.policy]).sum())
        return total

    before = gap()
    trainer.update.apply(rollouts, advantages)
    assert gap() > before


def test_the_penalty_holds_the_policy_near_its_start(untrained_model: ModelConfig) -> None:
    drifts = []
    for kl in (1e-9, 50.0):
        run = RUN.model_copy(update={"kl": kl, "updates_per_step": 4})
        trainer = GrpoTrainer(run, untrained_model, samples())
        rollouts = roll_out(trainer.policy.engine, samples(), ACTIVE, seed=3)
        drifts.append(trainer.update.apply(rollouts, torch.tensor([1.0, -1.0, 1.0, -1.0]))["kl"])
    assert 0 < drifts[1] < drifts[0]


def test_a_copy_of_the_starting_model_is_kept_only_for_a_penalty(
    untrained_model: ModelConfig,
) -> None:
    for kl, adapter, has_reference in ((0.0, 0, False), (0.1, 0, True), (0.0, 4, True)):
        policy = Policy(RUN.model_copy(update={"kl": kl, "lora_rank": adapter}), untrained_model)
        assert policy.has_reference == has_reference
        assert (policy._reference is not None) == (kl > 0)


def test_episodes_without_an_advantage_change_nothing(untrained_model: ModelConfig) -> None:
    weights = []
    for advantage in (0.0, 1e-12):  # left out of the update, and in it
        trainer = GrpoTrainer(RUN, untrained_model, samples())
        rollouts = roll_out(trainer.policy.engine, samples(), ACTIVE, seed=3)
        trainer.update.apply(rollouts, torch.tensor([1.0, -1.0, advantage, -advantage]))
        weights.append(next(iter(trainer.policy.trainable.values())).detach().clone())
    torch.testing.assert_close(*weights, atol=1e-6, rtol=1e-4)


def test_only_the_language_model_is_trained(untrained_model: ModelConfig) -> None:
    trainer = GrpoTrainer(RUN, untrained_model, samples())
    vision = {
        k: v.clone() for k, v in trainer.policy.engine.model.state_dict().items() if "vision" in k
    }
    rollouts = roll_out(trainer.policy.engine, samples(2), ACTIVE, seed=3)
    trainer.update.apply(rollouts, torch.tensor([1.0, -1.0]))
    after = trainer.policy.engine.model.state_dict()
    assert vision
    assert all(torch.equal(value, after[name]) for name, value in vision.items())


def test_every_sample_is_asked_once_before_any_is_asked_again(
    untrained_model: ModelConfig,
) -> None:
    trainer = GrpoTrainer(RUN, untrained_model, samples(5))
    asked = [question.sample.id for step in range(1, 6) for question in trainer.questions(step)]
    assert len(set(asked[:5])) == len(set(asked[5:])) == 5


def test_questions_take_turns_in_the_modes_of_a_run(untrained_model: ModelConfig) -> None:
    run = RUN.model_copy(update={"modes": (ACTIVE, ACTIVE, STRICT_ZOOM)})
    trainer = GrpoTrainer(run, untrained_model, samples(6))
    turns = [question.mode for step in range(1, 4) for question in trainer.questions(step)]
    assert turns == 2 * [ACTIVE, ACTIVE, STRICT_ZOOM]
    modes = [
        {episode.mode for episode in trainer.step(step).played.rollouts.episodes} for step in (1, 2)
    ]
    assert modes == [{ACTIVE}, {ACTIVE, STRICT_ZOOM}]


def test_the_zoom_rate_by_need_is_of_episodes_that_had_the_choice(
    untrained_model: ModelConfig,
) -> None:
    run = RUN.model_copy(update={"modes": (STRICT_ZOOM,)})
    metrics = GrpoTrainer(run, untrained_model, samples()).step(1).metrics
    assert (metrics.zoom_rate_needed, metrics.zoom_rate_not_needed) == (None, None)


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_as_an_undisturbed_one(
    untrained_model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data.parquet"
    write_samples(data, samples())

    def run(name: str) -> None:
        train("run", RUN, untrained_model, data, tmp_path / name, tmp_path / f"{name}.state")

    run("whole")
    step = GrpoTrainer.step

    def killed(self: GrpoTrainer, number: int) -> Step:
        if number == 4:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(GrpoTrainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run("cut")
    monkeypatch.setattr(GrpoTrainer, "step", step)
    run("cut")

    def metrics(name: str) -> list[dict[str, float]]:
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]

    assert [row["step"] for row in metrics("cut")] == [1, 2, 3, 4]
    assert metrics("cut") == metrics("whole")
    weights = "checkpoint/model.safetensors"
    assert (tmp_path / "cut" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    about = json.loads((tmp_path / "cut" / "checkpoint.json").read_text())
    assert about["steps"] == 4
    assert about["files"]["model.safetensors"] == sha256_of(tmp_path / "cut" / weights)
    trained = untrained_model.model_copy(update={"id": str(tmp_path / "cut" / "checkpoint")})
    assert TransformersBackend(trained).revision != TransformersBackend(untrained_model).revision


def test_too_few_samples_are_refused(untrained_model: ModelConfig, tmp_path: Path) -> None:
    data = tmp_path / "data.parquet"
    write_samples(data, samples(1))
    with pytest.raises(DataError, match="1 samples, but a step of run takes 2"):
        train("run", RUN, untrained_model, data, tmp_path / "out", tmp_path / "state")


@pytest.mark.parametrize(("processor", "halves"), [("AVX512", True), ("AVX2", False)])
def test_products_are_in_bfloat16_only_where_that_is_fast(
    untrained_model: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
    processor: str,
    halves: bool,
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: processor)
    seen: list[bool] = []

    def watched(*given: object) -> object:
        seen.append(torch.is_autocast_enabled("cpu"))
        return roll_out(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("active_perception_r1.training.grpo.roll_out", watched)
    GrpoTrainer(RUN, untrained_model, samples()).step(1)
    assert seen == [halves]
