"""Training runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from active_perception_r1.config.section import Name, Section, known
from active_perception_r1.rewards.active_vision_reward import RewardConfig


class GrpoConfig(Section):
    """What every GRPO run says, whichever engine runs it.

    Every step draws `prompts_per_step` questions and `samples_per_prompt` episodes for each.
    """

    base: Name
    study: Name
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


class LocalTraining(GrpoConfig):
    """A run of the engine in `training/grpo.py`, on one device."""

    engine: Literal["local"] = "local"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a profile runs on, and how it makes the model fit.

    Attributes:
        lora_rank: of the adapter that is trained; 0 trains all of the language model.
        offload: weights and optimiser wait in host memory while the rollouts are made.
        micro_batch: episodes on a GPU at once in the update.
    """

    nodes: int
    gpus_per_node: int
    lora_rank: int
    offload: bool
    micro_batch: int


PROFILES: Mapping[str, Hardware] = {
    "1x24gb": Hardware(nodes=1, gpus_per_node=1, lora_rank=32, offload=True, micro_batch=1),
    "1x80gb": Hardware(nodes=1, gpus_per_node=1, lora_rank=0, offload=True, micro_batch=4),
    "2gpu": Hardware(nodes=1, gpus_per_node=2, lora_rank=0, offload=True, micro_batch=4),
    "multi_node": Hardware(nodes=2, gpus_per_node=8, lora_rank=0, offload=False, micro_batch=4),
}


class AlarmConfig(Section):
    """When a run is stopped: a value was out of bounds in `patience` steps on end.

    Rollout engine and actor disagree where both of their bounds are passed.
    """

    patience: int = Field(default=5, gt=0)
    min_correlation: float = Field(default=0.99, ge=0, le=1)
    max_probability_gap: float = Field(default=0.002, ge=0, le=1)
    min_zoom_rate: float = Field(default=0.02, ge=0, le=1)


class VerlTraining(GrpoConfig):
    """A run of verl's trainer with vLLM rollouts; `docs/verl.md` explains every key.

    Attributes:
        nodes, gpus_per_node, lora_rank: in place of the profile's.
        max_prompt_tokens: for the question and the first view.
        max_response_tokens: for all turns and crops of an episode together.
        export: which checkpoint becomes the trained model; `best` has the highest mean reward
            since the checkpoint before it.
        overrides: further keys of verl's configuration; the last word.
    """

    engine: Literal["verl"]
    profile: Annotated[str, known(PROFILES)] = "1x80gb"
    nodes: int | None = Field(default=None, gt=0)
    gpus_per_node: int | None = Field(default=None, gt=0)
    lora_rank: int | None = Field(default=None, ge=0)
    max_prompt_tokens: int = Field(default=2048, gt=0)
    max_response_tokens: int = Field(default=4096, gt=0)
    validation_batch: int = Field(default=64, gt=0)
    rollout_memory: float = Field(default=0.45, gt=0, lt=1)
    tensor_parallel: int = Field(default=1, gt=0)
    tensorboard: bool = False
    export: Literal["last", "best"] = "last"
    alarms: AlarmConfig = AlarmConfig()
    overrides: dict[str, bool | int | float | str] = {}

    @property
    def hardware(self) -> Hardware:
        profile = PROFILES[self.profile]
        return Hardware(
            self.nodes or profile.nodes,
            self.gpus_per_node or profile.gpus_per_node,
            profile.lora_rank if self.lora_rank is None else self.lora_rank,
            profile.offload,
            profile.micro_batch,
        )

    @property
    def gpus(self) -> int:
        """GPUs that the run takes, over all nodes."""
        return self.hardware.nodes * self.hardware.gpus_per_node

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        episodes = self.prompts_per_step * self.samples_per_prompt
        if episodes % self.gpus:
            raise ValueError(
                f"prompts_per_step * samples_per_prompt ({episodes}) must be a multiple of the"
                f" GPUs ({self.gpus})"
            )
        if self.reward.curiosity:
            raise ValueError(
                "reward.curiosity: verl rewards an episode before its group is known;"
                " use engine local or leave it 0"
            )
        return self


def _engine(value: Any) -> str:
    if isinstance(value, GrpoConfig):
        return str(getattr(value, "engine", "local"))
    return str(value.get("engine", "local")) if isinstance(value, dict) else "local"


TrainingConfig = Annotated[
    Annotated[LocalTraining, Tag("local")] | Annotated[VerlTraining, Tag("verl")],
    Discriminator(_engine),
]
"""One GRPO run. It is also a model: the trained checkpoint, run as its `base` is."""
