"""From one typed entry of the configuration to verl 0.9.1's own: every override, and nothing else.

The settings that do not come from the entry are what Qwen2-VL and Qwen2.5-VL train reliably with:
no fused kernels, no torch.compile for actor, FSDP and reference, and vLLM loading the real weights
(`load_format: auto`): with `dummy`, what the weight sync does not send stays noise. Attention is
flash-attn's, without padding, where that is installed; torch's, with it, where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from active_perception_r1.config import ModelConfig
from active_perception_r1.config.engines.verl import VerlTraining
from active_perception_r1.families import family_of
from active_perception_r1.models.weights import image_options
from active_perception_r1.training.verl_launch import AGENT, Overrides, RunFiles, Value

WORKERS = "active_perception_r1.training.verl_workers"
REWARD = "pkg://active_perception_r1.rollout.episode_reward"


def overrides(
    name: str, run: VerlTraining, base: ModelConfig, files: RunFiles, questions: int
) -> Overrides:
    """Every key of verl's configuration that we set; `+` marks those its schema leaves open.

    Args:
        questions: how many there are to train on, at least `run.prompts_per_step`.
    """
    return {
        **_data(run, files),
        **_images(base),
        **_policy(run, base, has_flash_attention()),
        **_update(run),
        **_rollout(run, base, files),
        **_reward(run, files),
        **_trainer(name, run, files, questions),
        **run.overrides,
    }


def _data(run: VerlTraining, files: RunFiles) -> Overrides:
    return {
        "data.train_files": str(files.data),
        "data.val_files": str(files.validation if run.validate_every else files.data),
        "data.train_batch_size": run.prompts_per_step,
        "data.val_batch_size": run.validation_batch,
        "data.max_prompt_length": run.max_prompt_tokens,
        "data.max_response_length": run.max_response_tokens,
        "data.image_key": "images",
        "data.return_raw_chat": True,
        "data.filter_overlong_prompts": False,
        "data.truncation": "error",
        "data.shuffle": True,
        "data.seed": run.seed,
        "data.dataloader_num_workers": 0,
    }


@dataclass(frozen=True, slots=True)
class _Patches:
    """What the families of `VERL_FAMILIES` ask an image processor: the sides of a merged patch.

    No processor is loaded before the launch; `training.verl` compares the options with its own.
    """

    patch_size: int
    merge_size: int = 1
    temporal_patch_size: int = 2


def assumed_image_options(base: ModelConfig) -> dict[str, Any]:
    """Options under which images are shown to the base as in evaluation."""
    side = family_of(base.family).multiple
    return image_options(base, _Patches(side))


def _images(base: ModelConfig) -> Overrides:
    """The same options for vLLM's processor; verl's gets them from the agent loop."""
    vllm = "actor_rollout_ref.rollout.engine_kwargs.vllm"
    options = _leaves(assumed_image_options(base))
    return {
        **{f"+{vllm}.mm_processor_kwargs.{key}": value for key, value in options.items()},
        # Not verl's `limit_images`: that leaves vLLM room for videos, larger than all images.
        f"+{vllm}.limit_mm_per_prompt.image": 1 + base.max_zooms,
        f"+{vllm}.limit_mm_per_prompt.video": 0,
    }


def _leaves(options: Mapping[str, Any]) -> dict[str, Value]:
    """Values by their dotted names.

    >>> _leaves({"size": {"shortest_edge": 784}, "do_pad": True})
    {'size.shortest_edge': 784, 'do_pad': True}
    """
    return {
        f"{name}{f'.{below}' if below else ''}": value
        for name, found in options.items()
        for below, value in (_leaves(found) if isinstance(found, Mapping) else {"": found}).items()
    }


def _policy(run: VerlTraining, base: ModelConfig, flash: bool) -> Overrides:
    model = "actor_rollout_ref.model"
    lora: Overrides = {
        f"{model}.lora_rank": run.hardware.lora_rank,
        f"{model}.lora_alpha": 2 * run.hardware.lora_rank,
        f"{model}.target_modules": "all-linear",
        f"{model}.exclude_modules": ".*visual.*",
        "actor_rollout_ref.rollout.layered_summon": True,
    }
    return {
        f"{model}.path": base.id,
        # What is trained is where to look and what to say, not how to see.
        f"{model}.external_lib": WORKERS,
        f"{model}.use_remove_padding": flash,
        f"{model}.use_fused_kernels": False,
        f"{model}.enable_gradient_checkpointing": run.gradient_checkpointing is not False,
        f"+{model}.override_config.attn_implementation": "flash_attention_2" if flash else "sdpa",
        **(lora if run.hardware.lora_rank else {}),
        **_precision(run, base),
    }


def has_flash_attention() -> bool:
    """Whether flash-attn is installed: then no padding is computed, and no copy of the logits."""
    return find_spec("flash_attn") is not None


def _precision(run: VerlTraining, base: ModelConfig) -> Overrides:
    """bfloat16 products of float32 weights; beside an adapter, weights that do not move are
    bfloat16; float32 throughout where the base's entry says so.
    """
    rollout = "actor_rollout_ref.rollout.dtype"
    fsdp = "actor_rollout_ref.actor.fsdp_config"
    if base.dtype != "float32":
        kept = "bf16" if run.hardware.lora_rank else "fp32"
        return {rollout: "bfloat16", f"{fsdp}.model_dtype": kept}
    parts = ("param_dtype", "reduce_dtype", "buffer_dtype")
    return {
        rollout: "float32",
        f"{fsdp}.model_dtype": "fp32",
        **{f"+{fsdp}.mixed_precision.{part}": "fp32" for part in parts},
    }


def _update(run: VerlTraining) -> Overrides:
    actor, ref = "actor_rollout_ref.actor", "actor_rollout_ref.ref"
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": True,
        "algorithm.use_kl_in_reward": False,
        "algorithm.filter_groups.enable": run.refill,
        "algorithm.filter_groups.metric": "reward",
        f"{actor}.strategy": "fsdp2",
        f"{actor}.fsdp_config.strategy": "fsdp2",
        f"{actor}.ppo_mini_batch_size": run.prompts_per_step,
        f"{actor}.ppo_epochs": run.updates_per_step,
        f"{actor}.use_dynamic_bsz": False,
        f"{actor}.ppo_micro_batch_size_per_gpu": run.hardware.micro_batch,
        f"{actor}.clip_ratio_low": run.clip_low,
        f"{actor}.clip_ratio_high": run.clip_high,
        f"{actor}.loss_agg_mode": "token-mean",
        f"{actor}.entropy_coeff": 0,
        f"{actor}.use_kl_loss": run.kl > 0,
        f"{actor}.kl_loss_coef": run.kl,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.grad_clip": run.max_grad_norm,
        f"{actor}.optim.lr": run.learning_rate,
        f"{actor}.optim.lr_warmup_steps": run.warmup_steps,
        f"{actor}.optim.lr_scheduler_type": "cosine",
        f"{actor}.optim.betas": [0.9, 0.95],
        f"{actor}.optim.weight_decay": 0.0,
        f"{actor}.fsdp_config.param_offload": run.hardware.offload,
        f"{actor}.fsdp_config.optimizer_offload": run.hardware.offload,
        f"{actor}.use_torch_compile": False,
        f"{actor}.fsdp_config.use_torch_compile": False,
        f"{ref}.use_torch_compile": False,
        f"{ref}.fsdp_config.use_torch_compile": False,
        f"{ref}.log_prob_micro_batch_size_per_gpu": run.hardware.micro_batch,
        f"{actor}.checkpoint.save_contents": ["model", "optimizer", "extra"],
    }


def _rollout(run: VerlTraining, base: ModelConfig, files: RunFiles) -> Overrides:
    rollout = "actor_rollout_ref.rollout"
    return {
        f"{rollout}.name": "vllm",
        f"{rollout}.mode": "async",
        f"{rollout}.n": run.samples_per_prompt,
        f"{rollout}.temperature": run.temperature,
        f"{rollout}.top_p": 1.0,
        f"{rollout}.top_k": -1,
        # Validation is greedy.
        f"{rollout}.val_kwargs.n": 1,
        f"{rollout}.val_kwargs.temperature": 0.0,
        f"{rollout}.val_kwargs.top_p": 1.0,
        f"{rollout}.val_kwargs.top_k": -1,
        f"{rollout}.tensor_model_parallel_size": run.tensor_parallel,
        f"{rollout}.gpu_memory_utilization": run.rollout_memory,
        f"{rollout}.max_model_len": run.tokens,
        f"{rollout}.load_format": "auto",
        f"{rollout}.calculate_log_probs": True,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": run.hardware.micro_batch,
        f"{rollout}.agent.num_workers": min(8, run.prompts_per_step),
        f"{rollout}.agent.default_agent_loop": AGENT,
        f"{rollout}.agent.agent_loop_config_path": str(files.agents),
    }


def _reward(run: VerlTraining, files: RunFiles) -> Overrides:
    function = "reward.custom_reward_function"
    constants = asdict(run.reward)
    return {
        "reward.num_workers": 1,
        f"{function}.path": REWARD,
        f"{function}.name": "compute_score",
        f"+{function}.reward_kwargs.episodes": str(files.episodes),
        **{f"+{function}.reward_kwargs.{key}": value for key, value in constants.items()},
    }


def _trainer(name: str, run: VerlTraining, files: RunFiles, questions: int) -> Overrides:
    variables = "+ray_kwargs.ray_init.runtime_env.env_vars"
    return {
        "trainer.project_name": "active-perception",
        "trainer.experiment_name": name,
        "trainer.nnodes": run.hardware.nodes,
        "trainer.n_gpus_per_node": run.hardware.gpus_per_node,
        "trainer.total_training_steps": run.steps,
        # One epoch more than the steps take: verl stops at whichever ends first, and a run that is
        # resumed where its last epoch ends would do nothing.
        "trainer.total_epochs": 1 + math.ceil(run.steps / (questions // run.prompts_per_step)),
        "trainer.save_freq": run.save_every,
        "trainer.max_actor_ckpt_to_keep": 2,
        "trainer.default_local_dir": str(files.checkpoints),
        "trainer.resume_mode": "auto",
        "trainer.val_before_train": False,
        "trainer.test_freq": run.validate_every or -1,
        "trainer.logger": ["console", "file", *(["tensorboard"] if run.tensorboard else [])],
        f"{variables}.VERL_FILE_LOGGER_PATH": str(files.verl_log),
        f"{variables}.TENSORBOARD_DIR": str(files.state / "tensorboard"),
    }
