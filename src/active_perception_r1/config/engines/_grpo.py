"""What every GRPO run says, whichever engine runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.model import ModelConfig
from active_perception_r1.config.section import Name, Section
from active_perception_r1.rewards.active_vision_reward import RewardConfig


class GrpoConfig(Section, ABC):
    """One GRPO run. It is also a model: the trained checkpoint, run as its `base` is.

    Attributes:
        environment: which file of `envs/` has the packages of the engine.
    """

    environment: ClassVar[str]
    decisive = Decisive(
        keys=(
            "engine",
            "seed",
            "steps",
            "prompts_per_step",
            "samples_per_prompt",
            "updates_per_step",
            "learning_rate",
            "warmup_steps",
            "max_grad_norm",
            "clip_low",
            "clip_high",
            "kl",
            "temperature",
            "reward",
        ),
        # Names, whose meaning is given in full elsewhere; what the data come from; how often to
        # save.
        mechanism=("base", "study", "split", "samples", "save_every"),
    )

    engine: str
    base: Name = Field(description="the model that is trained, an entry of `models`")
    study: Name = Field(description="the study whose dataset is trained on, its slice left out")
    split: Name = Field(default="train", description="split that the questions are drawn from")
    samples: int = Field(default=2000, gt=0, description="how many questions are drawn")
    seed: int = Field(default=0, description="of the draw and of the training")
    steps: int = Field(default=40, gt=0, description="updates of the weights")
    prompts_per_step: int = Field(default=16, gt=0, description="questions in each step")
    samples_per_prompt: int = Field(
        default=8, gt=1, description="episodes for each question, whose rewards are compared"
    )
    updates_per_step: int = Field(
        default=1, gt=0, description="times that the episodes of a step are learned from"
    )
    learning_rate: float = Field(
        default=1e-4, gt=0, description="of AdamW, after the warm-up; it falls by a cosine"
    )
    warmup_steps: int = Field(default=3, ge=0, description="steps in which the rate rises")
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="a gradient whose norm is greater is scaled down to it"
    )
    clip_low: float = Field(
        default=0.2, gt=0, lt=1, description="how far below 1 a ratio of probabilities counts"
    )
    clip_high: float = Field(
        default=0.28, gt=0, description="how far above 1 a ratio of probabilities counts"
    )
    kl: float = Field(
        default=0.0, ge=0, description="weight of the divergence from the base; 0 needs no copy"
    )
    temperature: float = Field(default=1.0, gt=0, description="of the episodes' sampling")
    save_every: int = Field(
        default=10, gt=0, description="steps between the states that a killed run resumes from"
    )
    reward: RewardConfig = Field(
        default=RewardConfig(), description="constants of the reward that is trained on"
    )

    @abstractmethod
    def gpus(self, base: ModelConfig) -> int:
        """GPUs that the run takes, over all machines."""
