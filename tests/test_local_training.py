"""Local training of what real models are: every family, in few bits, with an adapter, in little
memory."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import BackendError, TrainingError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import ACTIVE, BASELINE, episode_rules, start_episode
from active_perception_r1.records import Sample
from active_perception_r1.rewards.active_vision_reward import Reward
from active_perception_r1.training import footprint, grpo
from active_perception_r1.training.footprint import GIB, micro_batch, shape_of
from active_perception_r1.training.grpo import GrpoTrainer, Played, Step
from active_perception_r1.training.local import train
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.rollout import Rollouts, roll_out
from active_perception_r1.training.token_probabilities import policy_log_probs
from tests.families import BUILDERS, build
from tests.scripted import make_sample

RUN = LocalTraining(
    base="base",
    study="study",
    steps=4,
    prompts_per_step=2,
    samples_per_prompt=2,
    learning_rate=1e-3,
    warmup_steps=0,
    save_every=1,
)
SAMPLES = [make_sample(number) for number in range(4)]
ADVANTAGES = torch.tensor([1.0, -1.0, 1.0, -1.0])
ADAM_EPSILON = 1e-8


@pytest.fixture(scope="module", params=BUILDERS)
def stand_in(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Entry of a small model of every family."""
    folder = tmp_path_factory.mktemp("stand-ins") / request.param
    return parse_section(ModelConfig, json.dumps(build(request.param, folder) | {"gpus": 0}))


def run_with(**keys: object) -> LocalTraining:
    return LocalTraining.model_validate({**RUN.model_dump(), **keys})


def rolled_out(trainer: GrpoTrainer) -> Rollouts:
    return roll_out(trainer.policy.engine, SAMPLES, ACTIVE, seed=3)


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
        trainer._update(rollouts, ADVANTAGES)
    weights = trainer.policy.trainable
    before = {name: value.detach().clone() for name, value in weights.items()}
    trainer._update(rollouts, ADVANTAGES)
    moved = pulled = 0
    for name, value in weights.items():
        assert value.dtype is torch.float32
        if value.grad is not None:
            has_gradient = value.grad.abs() > ADAM_EPSILON
            pulled += int(has_gradient.sum())
            moved += int((value.detach() != before[name])[has_gradient].sum())
    assert pulled > 100
    assert moved / pulled >= 0.999


# Memory.


def saved_bytes(trainer: GrpoTrainer, rollouts: Rollouts) -> int:
    """What is kept from a forward pass for the backward one, weights left out."""
    own = {p.data_ptr() for p in trainer.policy.engine.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graphs = [trainer.policy.log_probs(batch) for batch in rollouts.batches]
    assert graphs
    return sum(kept.values())


def test_activations_that_are_computed_again_are_not_kept(stand_in: ModelConfig) -> None:
    kept, gradients = [], []
    for recompute in (False, True):
        trainer = GrpoTrainer(run_with(gradient_checkpointing=recompute), stand_in, SAMPLES)
        rollouts = rolled_out(trainer)
        kept.append(saved_bytes(trainer, rollouts))
        trainer._gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
        gradients.append({n: p.grad for n, p in trainer.policy.trainable.items()})
    assert kept[1] < kept[0] / 3
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, atol=1e-5, rtol=1e-2)


def test_an_update_that_does_not_fit_is_done_in_smaller_parts_with_every_episode(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = GrpoTrainer(RUN, untrained_model, SAMPLES)
    rollouts = rolled_out(trainer)
    totals, expected = trainer._gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
    gradients = {
        n: p.grad.clone() for n, p in trainer.policy.trainable.items() if p.grad is not None
    }
    log_probs = Policy.log_probs

    def limited(self: Policy, batch: Any) -> Any:
        found = log_probs(self, batch)
        if len(batch.episodes) > 1:  # after some of the gradient may be there
            raise torch.OutOfMemoryError("CUDA out of memory")
        return found

    monkeypatch.setattr(Policy, "log_probs", limited)
    again, found = trainer._gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
    assert again.tokens == totals.tokens
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)  # products of bfloat16
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            trainer.policy.trainable[name].grad, gradient, atol=2e-3, rtol=5e-2
        )


def test_an_episode_that_does_not_fit_alone_is_an_error_with_a_cure(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Policy, batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    trainer = GrpoTrainer(RUN, untrained_model, SAMPLES)
    monkeypatch.setattr(Policy, "log_probs", full)
    with pytest.raises(TrainingError, match="set gradient_checkpointing: true or a lora_rank"):
        trainer._update(rolled_out(trainer), ADVANTAGES)


def test_rollouts_that_do_not_fit_are_made_in_smaller_batches(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersBackend(untrained_model.drawn_at(0))
    expected = [e.turns[-1].text for e in roll_out(engine, SAMPLES, ACTIVE, seed=0).episodes]
    run = engine.run

    def limited(inputs: dict[str, Any]) -> Any:
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(inputs)

    monkeypatch.setattr(engine, "run", limited)
    rollouts = roll_out(engine, SAMPLES, ACTIVE, seed=0)
    assert [episode.turns[-1].text for episode in rollouts.episodes] == expected
    assert {e for batch in rollouts.batches for e in batch.episodes} == set(range(4))


def test_a_machine_that_is_too_small_is_named_before_anything_is_loaded_with_the_cure(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run_with(lora_rank=0, kl=0.1, gradient_checkpointing=False)
    adapted = run_with(lora_rank=footprint.LORA_RANK, kl=0, gradient_checkpointing=True)
    room = shape_of(adapted, untrained_model).peak(1, 1) + 1000
    assert room < shape_of(whole, untrained_model).peak(1, 1)
    monkeypatch.setattr(footprint, "_room", lambda base: room)
    data = tmp_path / "data.parquet"
    write_samples(data, SAMPLES)
    monkeypatch.setattr(TransformersBackend, "__init__", None)
    with pytest.raises(TrainingError, match=r"training.run: needs .* GiB .* lora_rank to 32"):
        train("run", whole, untrained_model, data, tmp_path / "out", tmp_path / "state")
    monkeypatch.setattr(footprint, "_room", lambda base: 1)
    with pytest.raises(TrainingError, match=r"lower first_view\.max_pixels"):
        micro_batch("run", whole, untrained_model)


def test_as_many_episodes_are_updated_at_once_as_fit(
    untrained_model: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shape = shape_of(RUN, untrained_model)
    monkeypatch.setattr(footprint, "_room", lambda base: 100 * GIB)
    assert micro_batch("run", RUN, untrained_model) == untrained_model.batch_size
    assert "100.0 free" in capsys.readouterr().err
    monkeypatch.setattr(footprint, "_room", lambda base: shape.standing + shape.update(2) + 1)
    assert micro_batch("run", RUN, untrained_model) == 2


def test_the_computed_weights_are_those_of_the_model(stand_in: ModelConfig) -> None:
    for rank in (0, 4):
        run = run_with(lora_rank=rank)
        shape, policy = shape_of(run, stand_in), Policy(run, stand_in)
        trained = sum(weight.numel() for weight in policy.trainable.values())
        assert shape.trained == trained
        assert shape.weights == sum(
            weight.numel()
            for name, weight in policy.engine.model.named_parameters()
            if "lora_" not in name
        )


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

    def played(self: GrpoTrainer, questions: Sequence[Sample], seed: int, step: int) -> Played:
        asked.append([question.id for question in questions])
        found = play(self, questions, seed, step)
        rows = [[1.0, -1.0] if spread(question.id) else [0.0, 0.0] for question in questions]
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
