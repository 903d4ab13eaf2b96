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
        gpu_memory: GiB of a GPU, where that cannot be asked.
    """

    nodes: int
    gpus_per_node: int
    gpu_memory: int
    lora_rank: int
    offload: bool
    micro_batch: int

    @property
    def gpus(self) -> int:
        """Over all nodes."""
        return self.nodes * self.gpus_per_node


PROFILES: Mapping[str, Hardware] = {
    "1x24gb": Hardware(1, 1, gpu_memory=23, lora_rank=32, offload=True, micro_batch=1),
    "1x80gb": Hardware(1, 1, gpu_memory=79, lora_rank=0, offload=True, micro_batch=4),
    "2gpu": Hardware(1, 2, gpu_memory=79, lora_rank=0, offload=True, micro_batch=4),
    "multi_node": Hardware(2, 8, gpu_memory=79, lora_rank=0, offload=False, micro_batch=4),
}
FULL_RATE, ADAPTER_RATE = 1e-6, 2e-5
"""Learning rates at which the whole language model, or an adapter, is trained if none is said."""

# Whose images verl 0.9.1 can show: of other processors its `hf_processor` makes None.
VERL_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "glm4v")


class AlarmConfig(Section):
    """When a run is stopped: a value was out of bounds in `patience` steps on end.

    Rollout engine and actor disagree where both of their bounds are passed. Episodes that fail stop
    it at once: the others would be trained on as if nothing had happened. Nor does it wait for ever
    where nothing happens any more.
    """

    patience: int = Field(default=5, gt=0, description="steps on end that stop the run")
    max_failed: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="share of a step's episodes that may end in an error; one more stops the run",
    )
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
    max_idle_minutes: float = Field(
        default=60,
        gt=0,
        description="time in which neither an episode nor a step ends; more stops the run",
    )


class VerlTraining(GrpoConfig):
    """A run of verl's trainer with vLLM rollouts; `docs/verl.md` says more."""

    environment: ClassVar[str] = "train"
    packages: ClassVar[tuple[str, ...]] = ("verl", "vllm", "ray")
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
    learning_rate: float = Field(
        default=FULL_RATE,
        gt=0,
        description="of AdamW, after the warm-up; it falls by a cosine. Where an adapter is"
        f" trained, {ADAPTER_RATE} if none is said",
    )
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
        default=64, gt=0, description="questions of a validation that verl loads at a time"
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
            profile.gpu_memory,
            profile.lora_rank if self.lora_rank is None else self.lora_rank,
            profile.offload,
            profile.micro_batch if self.micro_batch is None else self.micro_batch,
        )

    @property
    def tokens(self) -> int:
        """Of the longest episode."""
        return self.max_prompt_tokens + self.max_response_tokens

    def gpus(self, base: ModelConfig) -> int:
        return self.hardware.gpus

    @property
    def trains_adapter(self) -> bool:
        return self.hardware.lora_rank > 0

    def unfit(self, base: ModelConfig) -> str:
        if base.family not in VERL_FAMILIES:
            return (
                f"engine verl cannot show images to family {base.family}, only to"
                f" {', '.join(VERL_FAMILIES)}; use engine local"
            )
        return ""

    def deciding(self, without: Collection[str] = ()) -> dict[str, Any]:
        return {**super().deciding(without), "hardware": asdict(self.hardware)}

    @model_validator(mode="after")
    def _rate_of_adapter(self) -> Self:
        if self.trains_adapter and "learning_rate" not in self.model_fields_set:
            # Past pydantic, to which it would count as said: then a run of which a switch makes one
            # of another kind would keep it.
            object.__setattr__(self, "learning_rate", ADAPTER_RATE)
        return self

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        hardware = self.hardware
        episodes = self.prompts_per_step * self.samples_per_prompt
        if episodes % (hardware.gpus * hardware.micro_batch):
            raise ValueError(
                f"prompts_per_step * samples_per_prompt ({episodes}) must be a multiple of the"
                f" GPUs ({hardware.gpus}) times micro_batch ({hardware.micro_batch})"
            )
        if hardware.gpus_per_node % self.tensor_parallel:
            raise ValueError(
                f"tensor_parallel ({self.tensor_parallel}) must divide the GPUs of a machine"
                f" ({hardware.gpus_per_node})"
            )
        if self.reward.curiosity:
            raise ValueError(
                "reward.curiosity: verl rewards an episode before its group is known;"
                " use engine local or leave it 0"
            )
        if self.reward.visual_token_cost:
            raise ValueError(
                "reward.visual_token_cost: verl does not tell the tokens of images; use engine"
                " local or leave it 0"
            )
        return self


ENGINE = VerlTraining
