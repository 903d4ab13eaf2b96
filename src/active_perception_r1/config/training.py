"""Training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from active_perception_r1.config.section import Name, Section
from active_perception_r1.rewards.active_vision_reward import RewardConfig


class TrainingConfig(Section):
    """One GRPO run. It is also a model: the trained checkpoint, run as its `base` is.

    Every step draws `prompts_per_step` questions and `samples_per_prompt` episodes for each.
    """

    base: Name
    study: Name
    engine: Literal["local"] = "local"
    split: Name = "train"
    samples: int = Field(default=2000, gt=0)
    seed: int = 0
    steps: int = Field(default=40, gt=0)
    prompts_per_step: int = Field(default=16, gt=0)
    samples_per_prompt: int = Field(default=8, gt=1)
    updates_per_step: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_steps: int = Field(default=3, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.28, gt=0)
    kl: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    save_every: int = Field(default=10, gt=0)
    reward: RewardConfig = RewardConfig()
