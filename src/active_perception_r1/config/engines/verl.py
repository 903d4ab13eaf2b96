"""verl's trainer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.engines._grpo import GrpoConfig
from active_perception_r1.config.model import ModelConfig
from active_perception_r1.config.section import Known, Section


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

    @property
    def gpus(self) -> int:
        """Over all nodes."""
        return self.nodes * self.gpus_per_node


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

    patience: int = Field(default=5, gt=0, description="steps on end that stop the run")
    min_correlation: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="least correlation of the engine's token probabilities with the actor's",
    )
    max_probability_gap: float = Field(
        default=0.002, ge=0, le=1, description="most mean distance of those probabilities"
    )
    min_zoom_rate: float = Field(
        default=0.02, ge=0, le=1, description="least share of episodes with a zoom"
    )


class VerlTraining(GrpoConfig):
    """A run of verl's trainer with vLLM rollouts; `docs/verl.md` says more."""

    environment: ClassVar[str] = "train"
    decisive = Decisive(
        keys=(
            *GrpoConfig.decisive.keys,
            "max_prompt_tokens",
            "max_response_tokens",
            "export",
            "overrides",
        ),
        mechanism=(
            *GrpoConfig.decisive.mechanism,
            "validation_batch",
            "rollout_memory",
            "tensor_parallel",
            "alarms",
        ),
        # As `hardware`.
        otherwise=("profile", "nodes", "gpus_per_node", "lora_rank", "micro_batch"),
        added=GrpoConfig.decisive.added,
    )

    engine: Literal["verl"] = Field(description="what runs the training")
    profile: Annotated[str, Known(PROFILES)] = Field(
        default="1x80gb", description="the hardware, and how the model is made to fit"
    )
    nodes: int | None = Field(default=None, gt=0, description="machines; null is the profile's")
    gpus_per_node: int | None = Field(
        default=None, gt=0, description="GPUs of each machine; null is the profile's"
    )
    max_prompt_tokens: int = Field(
        default=2048, gt=0, description="for the question and the first view"
    )
    max_response_tokens: int = Field(
        default=4096, gt=0, description="for all turns and crops of an episode together"
    )
    validation_batch: int = Field(
        default=64, gt=0, description="of verl's own validation, which is off"
    )
    rollout_memory: float = Field(
        default=0.45, gt=0, lt=1, description="share of a GPU's memory that vLLM takes"
    )
    tensor_parallel: int = Field(default=1, gt=0, description="GPUs that share a vLLM engine")
    alarms: AlarmConfig = Field(default=AlarmConfig(), description="when the run is stopped")
    overrides: dict[str, bool | int | float | str] = Field(
        default={}, description="further keys of verl's configuration; they have the last word"
    )

    @property
    def hardware(self) -> Hardware:
        profile = PROFILES[self.profile]
        return Hardware(
            self.nodes or profile.nodes,
            self.gpus_per_node or profile.gpus_per_node,
            profile.lora_rank if self.lora_rank is None else self.lora_rank,
            profile.offload,
            profile.micro_batch if self.micro_batch is None else self.micro_batch,
        )

    def gpus(self, base: ModelConfig) -> int:
        return self.hardware.gpus

    def deciding(self, without: Collection[str] = ()) -> dict[str, Any]:
        return {**super().deciding(without), "hardware": asdict(self.hardware)}

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        episodes = self.prompts_per_step * self.samples_per_prompt
        if episodes % self.hardware.gpus:
            raise ValueError(
                f"prompts_per_step * samples_per_prompt ({episodes}) must be a multiple of the"
                f" GPUs ({self.hardware.gpus})"
            )
        if self.reward.curiosity:
            raise ValueError(
                "reward.curiosity: verl rewards an episode before its group is known;"
                " use engine local or leave it 0"
            )
        return self


ENGINE = VerlTraining
