"""Local training in little memory, and what is computed of it before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from active_perception_r1.config import ModelConfig
from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import TrainingError
from active_perception_r1.models.backends.transformers import TransformersBackend
from active_perception_r1.modes import ACTIVE, BASELINE, episode_rules, start_episode
from active_perception_r1.runtime.memory import free_memory
from active_perception_r1.training import micro_batch as fitting
from active_perception_r1.training.footprint import GIB, Shape, shape_of
from active_perception_r1.training.freezing import LORA_RANK, look_without_gradient
from active_perception_r1.training.grpo import GrpoTrainer
from active_perception_r1.training.local import train
from active_perception_r1.training.micro_batch import micro_batch
from active_perception_r1.training.policy import Policy
from active_perception_r1.training.rollout import Sequences, roll_out
from tests.families import BUILDERS
from tests.live_bytes import LiveBytes
from tests.local_run import ADVANTAGES, RUN, SAMPLES, rolled_out, run_with


@pytest.fixture(params=BUILDERS)
def stand_in(
    request: pytest.FixtureRequest, stand_ins: Callable[[str], ModelConfig]
) -> ModelConfig:
    """Entry of a small model of every family."""
    return stand_ins(request.param)


# What is kept, and what is held at most.


def saved_bytes(policy: Policy, batch: Sequences) -> int:
    """What is kept from a forward pass for the backward one, weights left out."""
    own = {weight.untyped_storage().data_ptr() for weight in policy.engine.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = policy.log_probs(batch)
    assert graph
    return sum(kept.values())


def of_batch(shape: Shape, batch: Sequences) -> Shape:
    """With the lengths of a batch in the place of those of the longest conversation."""
    written = int(batch.policy.any(0).sum())
    return replace(shape, tokens=batch.tokens.shape[1], written=written)


@dataclass(frozen=True)
class Case:
    """A policy, what is computed of it, and the longest of its batches.

    Attributes:
        rows: conversations of the batch.
    """

    policy: Policy
    shape: Shape
    batch: Sequences

    @property
    def rows(self) -> int:
        return len(self.batch.episodes)


def case_of(base: ModelConfig, fused: bool, **keys: object) -> Case:
    """Of a base in bfloat16. Attention is fused on a GPU, and not on a CPU."""
    run, base = run_with(**keys), base.model_copy(update={"dtype": "bfloat16"})
    trainer, shape = GrpoTrainer(run, base, SAMPLES), shape_of(run, base)
    if fused:
        trainer.policy.engine.model.set_attn_implementation("sdpa")
        shape = replace(shape, heads=0)
    batch = max(rolled_out(trainer).batches, key=lambda batch: batch.tokens.shape[1])
    return Case(trainer.policy, of_batch(shape, batch), batch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recompute", "adapter", "fused"), [(False, 0, False), (True, 0, True), (True, 4, True)]
)
def test_a_forward_pass_keeps_what_is_computed_to_a_tenth(
    stand_in: ModelConfig, recompute: bool, adapter: int, fused: bool
) -> None:
    case = case_of(stand_in, fused, gradient_checkpointing=recompute, lora_rank=adapter)
    kept = saved_bytes(case.policy, case.batch)
    assert kept == pytest.approx(case.shape.kept(case.rows), rel=0.1)


@pytest.mark.parametrize("adapter", [0, 4])
def test_an_update_holds_no_more_at_a_time_than_is_computed_and_no_less_than_half(
    stand_ins: Callable[[str], ModelConfig], adapter: int
) -> None:
    case = case_of(
        stand_ins("qwen2_5_vl"), fused=True, gradient_checkpointing=True, lora_rank=adapter
    )
    with LiveBytes() as live:
        case.policy.log_probs(case.batch)[0].sum().backward()
    shape = case.shape
    held = live.most - shape.trained * (4 + shape.multiplied % 4)  # gradients and copies
    assert shape.update(case.rows) / 2 < held < shape.update(case.rows)


def test_activations_that_are_computed_again_are_not_kept(stand_in: ModelConfig) -> None:
    kept, gradients = [], []
    for recompute in (False, True):
        trainer = GrpoTrainer(run_with(gradient_checkpointing=recompute), stand_in, SAMPLES)
        rollouts = rolled_out(trainer)
        kept.append(sum(saved_bytes(trainer.policy, batch) for batch in rollouts.batches))
        trainer.update.gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
        gradients.append({n: p.grad for n, p in trainer.policy.trainable.items()})
    assert kept[1] < kept[0] / 3
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, atol=1e-5, rtol=1e-2)


def needs_gradient(base: ModelConfig, without: bool) -> bool:
    """Whether what a frozen vision tower makes needs one where its input does.

    Args:
        without: it is told to look without one.
    """
    engine = TransformersBackend(base)
    model, seen = engine.model, list[Any]()
    model.requires_grad_(False)
    if without:
        look_without_gradient(model)
    model.enable_input_require_grads()
    tower, *_ = (part for part in model.base_model.children() if part is not model.get_decoder())
    tower.register_forward_hook(lambda part, given, made: seen.extend(tree_leaves(made)))
    rules = episode_rules(BASELINE, base)
    model(**engine.encode_afresh([start_episode(SAMPLES[0], rules).request]))
    tensors = [value for value in seen if isinstance(value, torch.Tensor)]
    assert tensors
    return any(tensor.requires_grad for tensor in tensors)


def test_a_frozen_vision_tower_keeps_nothing_even_where_its_input_needs_a_gradient(
    stand_in: ModelConfig,
) -> None:
    assert not needs_gradient(stand_in, without=True)
    if stand_in.family == "qwen2_5_vl":  # of another, transformers may find no embeddings
        assert needs_gradient(stand_in, without=False)


def test_an_update_that_does_not_fit_is_done_in_smaller_parts_with_every_episode(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = GrpoTrainer(RUN, untrained_model, SAMPLES)
    rollouts = rolled_out(trainer)
    totals, expected = trainer.update.gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
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
    again, found = trainer.update.gradient(rollouts, ADVANTAGES, None, rollouts.tokens)
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
        trainer.update.apply(rolled_out(trainer), ADVANTAGES)


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
    adapted = run_with(lora_rank=LORA_RANK, kl=0, gradient_checkpointing=True)
    room = shape_of(adapted, untrained_model).peak(1, 1) + 1000
    assert room < shape_of(whole, untrained_model).peak(1, 1)
    monkeypatch.setattr(fitting, "_room", lambda base: room)
    data = tmp_path / "data.parquet"
    write_samples(data, SAMPLES)
    monkeypatch.setattr(TransformersBackend, "__init__", None)
    with pytest.raises(TrainingError, match=r"training.run: needs .* GiB .* lora_rank to 32"):
        train("run", whole, untrained_model, data, tmp_path / "out", tmp_path / "state")
    monkeypatch.setattr(fitting, "_room", lambda base: 1)
    with pytest.raises(TrainingError, match=r"lower first_view\.max_pixels"):
        micro_batch("run", whole, untrained_model)


def test_a_limit_of_a_container_or_a_job_counts_as_all_the_memory_there_is(tmp_path: Path) -> None:
    def group(path: str, limit: str, held: int, of_files: int) -> None:
        folder = tmp_path / "groups" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{held}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {of_files}\n")

    def left() -> int:
        return free_memory(tmp_path / "own", tmp_path / "groups")

    assert left() > 10**8  # no such groups: what is free on this machine
    (tmp_path / "own").write_text("4:memory:/older\n0::/job/step\n")
    group("job/step", "max", 900, 0)
    assert left() > 10**8
    group("job", "1000", 900, 500)
    assert left() == 1000 - (900 - 500)
    group("job/step", "800", 700, 0)
    assert left() == 100


def test_as_many_episodes_are_updated_at_once_as_fit(
    untrained_model: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shape = shape_of(RUN, untrained_model)
    monkeypatch.setattr(fitting, "_room", lambda base: 100 * GIB)
    assert micro_batch("run", RUN, untrained_model) == untrained_model.batch_size
    assert "100.0 free" in capsys.readouterr().err
    monkeypatch.setattr(fitting, "_room", lambda base: shape.standing + shape.update(2) + 1)
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
