"""What verl is told, from one entry of the configuration; without verl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from active_perception_r1.cli import main
from active_perception_r1.config import (
    CropConfig,
    FirstView,
    ModelConfig,
    load_config,
    parse_config,
)
from active_perception_r1.config.engines.local import LocalTraining
from active_perception_r1.config.engines.verl import ADAPTER_RATE, FULL_RATE, PROFILES, VerlTraining
from active_perception_r1.data.samples import SampleFile, write_samples
from active_perception_r1.errors import ConfigError
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.training.verl_launch import SWITCHES, Overrides, RunFiles, switched
from active_perception_r1.training.verl_overrides import overrides
from tests.configured import configure_training
from tests.scripted import MODEL, make_sample
from tests.workflow import REPOSITORY

KEYS = Path(__file__).parent / "verl" / "keys.txt"
"""Every key of verl 0.9.1's configuration; `make test-verl` proves that it still is."""
VIEW = {"max_pixels": 112 * 112, "multiple": 28}
BASE = MODEL.model_copy(
    update={"family": "qwen2_5_vl", "first_view": FirstView(**VIEW), "crop": CropConfig(**VIEW)}
)
FILES = RunFiles(Path("/data.parquet"), Path("/state"), "001")


def run_of(**changes: Any) -> VerlTraining:
    return VerlTraining(engine="verl", base="base", study="study", **changes)


def dry_overrides(base: ModelConfig = BASE, **changes: Any) -> Overrides:
    return overrides("run", run_of(**changes), base, FILES, questions=100)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_key_is_one_that_verl_has(profile: str) -> None:
    known = set(KEYS.read_text().splitlines())
    for key in dry_overrides(profile=profile):
        if key.startswith("+"):
            assert key[1:] not in known, f"{key} needs no plus"
        else:
            assert key in known


def test_the_settings_that_qwen_needs_are_always_there() -> None:
    found = dry_overrides()
    assert found["actor_rollout_ref.rollout.load_format"] == "auto"
    assert found["actor_rollout_ref.rollout.gpu_memory_utilization"] == 0.45
    assert found["actor_rollout_ref.model.use_fused_kernels"] is False
    compiled = {key: value for key, value in found.items() if key.endswith("use_torch_compile")}
    assert len(compiled) == 4
    assert not any(compiled.values())


def test_a_small_gpu_trains_an_adapter_and_a_large_one_the_model() -> None:
    assert dry_overrides(profile="1x24gb")["actor_rollout_ref.model.lora_rank"] == 32
    assert "actor_rollout_ref.model.lora_rank" not in dry_overrides(profile="1x80gb")


def test_the_rule_takes_as_many_gpus_as_verl_is_told_to_use() -> None:
    for profile in PROFILES:
        run, found = run_of(profile=profile), dry_overrides(profile=profile)
        assert run.gpus(BASE) == found["trainer.nnodes"] * found["trainer.n_gpus_per_node"]


def test_a_run_that_goes_on_at_the_end_of_an_epoch_has_another_one() -> None:
    found = overrides("run", run_of(steps=10, prompts_per_step=16), BASE, FILES, questions=80)
    assert found["trainer.total_epochs"] == 3  # of 5 steps each


def test_an_entry_can_overrule_every_key() -> None:
    key = "actor_rollout_ref.rollout.max_num_seqs"
    assert dry_overrides(overrides={key: 7})[key] == 7


def test_environment_switches_stand_in_for_keys() -> None:
    run, base = switched(
        run_of(), BASE, {"MODEL_PATH": "/models/mine", "N_RESPONSES": "4", "LEARNING_RATE": "1e-5"}
    )
    assert (base.id, run.samples_per_prompt, run.learning_rate) == ("/models/mine", 4, 1e-5)
    assert switched(run_of(), BASE, {}) == (run_of(), BASE)


def test_a_switch_between_model_and_adapter_brings_its_rate_unless_one_is_said() -> None:
    def rate(run: VerlTraining, **environment: str) -> float:
        return switched(run, BASE, environment)[0].learning_rate

    assert rate(run_of(), LORA_RANK="8") == ADAPTER_RATE
    assert rate(run_of(profile="1x24gb"), LORA_RANK="0") == FULL_RATE
    assert rate(run_of(learning_rate=1e-5), LORA_RANK="8") == 1e-5
    assert rate(run_of(), LORA_RANK="8", LEARNING_RATE="1e-5") == 1e-5


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_names_a_key(name: str) -> None:
    key = SWITCHES[name].key
    fields = ModelConfig.model_fields if key.startswith("model.") else VerlTraining.model_fields
    assert key.removeprefix("model.") in fields


def test_a_switch_that_is_no_number_is_named() -> None:
    with pytest.raises(ConfigError, match="TOTAL_STEPS: 'many' is not a number"):
        switched(run_of(), BASE, {"TOTAL_STEPS": "many"})


def test_the_engine_decides_what_an_entry_may_say() -> None:
    config = yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text())
    runs = config["training"]
    assert isinstance(parse_config(config).training["tiny-zoom-vlm+grpo"], LocalTraining)
    runs["tiny-zoom-vlm+grpo"]["profile"] = "2gpu"
    with pytest.raises(ConfigError, match=r"training.tiny-zoom-vlm\+grpo.profile: unknown key"):
        parse_config(config)


def test_vllm_leaves_images_as_the_budgets_sized_them() -> None:
    found = dry_overrides()
    vllm = "actor_rollout_ref.rollout.engine_kwargs.vllm"
    assert found[f"+{vllm}.mm_processor_kwargs.size.shortest_edge"] == 28 * 28
    assert found[f"+{vllm}.mm_processor_kwargs.size.longest_edge"] == 112 * 112
    assert found[f"+{vllm}.limit_mm_per_prompt.image"] == 1 + BASE.max_zooms


@pytest.mark.parametrize("family", [None, "idefics3", "llava"])
def test_a_family_whose_images_verl_cannot_show_is_refused(
    tmp_path: Path, family: str | None
) -> None:
    base = MODEL.model_copy(update={"family": family})
    config = configure_training(tmp_path, "r", run_of(), base)
    with pytest.raises(ConfigError, match=r"training.r.base: engine verl cannot show images to"):
        load_config(config)


def test_an_adapter_learns_faster_than_a_model_unless_a_rate_is_said() -> None:
    assert run_of().learning_rate == FULL_RATE
    assert run_of(profile="1x24gb").learning_rate == ADAPTER_RATE
    assert run_of(lora_rank=8).learning_rate == ADAPTER_RATE
    assert run_of(profile="1x24gb", lora_rank=0).learning_rate == FULL_RATE
    assert run_of(profile="1x24gb", learning_rate=1e-3).learning_rate == 1e-3


def test_what_does_not_move_beside_an_adapter_is_kept_in_half_the_precision() -> None:
    base = BASE.model_copy(update={"dtype": "bfloat16"})
    key = "actor_rollout_ref.actor.fsdp_config.model_dtype"
    assert dry_overrides(base, profile="1x24gb")[key] == "bf16"
    assert dry_overrides(base, profile="1x80gb")[key] == "fp32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensor_parallel": 4}, r"tensor_parallel \(4\) must divide .* \(1\)"),
        ({"prompts_per_step": 3, "samples_per_prompt": 2}, r"\(6\) .* micro_batch \(4\)"),
        ({"prompts_per_step": 3, "samples_per_prompt": 3, "profile": "2gpu"}, "multiple of the"),
    ],
)
def test_what_verl_would_stumble_over_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_of(**changes)


def test_validation_plays_other_questions_once_and_greedily() -> None:
    found = dry_overrides(validate_every=5)
    assert found["trainer.test_freq"] == 5
    assert found["data.val_files"] == str(FILES.validation)
    assert found["actor_rollout_ref.rollout.val_kwargs.temperature"] == 0
    assert found["actor_rollout_ref.rollout.val_kwargs.n"] == 1
    assert dry_overrides()["trainer.test_freq"] == -1


@pytest.mark.parametrize("refill", [True, False])
def test_groups_without_a_spread_are_drawn_again_where_it_is_asked_for(refill: bool) -> None:
    assert dry_overrides(refill=refill)["algorithm.filter_groups.enable"] is refill


def test_terms_that_need_the_whole_group_or_the_tokens_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match="reward.curiosity"):
        run_of(reward=RewardConfig(curiosity=0.1))
    with pytest.raises(ValueError, match="reward.visual_token_cost"):
        run_of(reward=RewardConfig(visual_token_cost=0.1))


def test_a_dry_run_shows_the_launch(capsys: pytest.CaptureFixture[str]) -> None:
    name = "qwen2.5-vl-3b-docvqa"
    file = str(REPOSITORY / "workflow_config.yaml")
    assert main(["train", "--dry-run", "--run", name, "--config", file]) == 0
    shown = capsys.readouterr().out
    run, base = load_config(Path(file)).training_run(name)
    assert isinstance(run, VerlTraining)
    assert "-m verl.trainer.main_ppo" in shown
    assert all(f"{key}=" in shown for key in overrides(name, run, base, FILES, run.samples))
    assert "ActivePerceptionZoomAgentLoop" in shown


def test_samples_can_be_read_in_any_order(tmp_path: Path) -> None:
    samples = [make_sample(number) for number in range(11)]
    write_samples(tmp_path / "slice.parquet", samples)
    file = SampleFile(tmp_path / "slice.parquet")
    assert [file[index] for index in (10, 0, 7, 8)] == [samples[i] for i in (10, 0, 7, 8)]
