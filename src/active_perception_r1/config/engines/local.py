"""The engine in this package."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.engines._grpo import GrpoConfig
from active_perception_r1.config.model import ModelConfig


class LocalTraining(GrpoConfig):
    """A run of the engine in `training/grpo.py`, on one device or a few cores."""

    environment: ClassVar[str] = "models"
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    decisive = Decisive(
        keys=GrpoConfig.decisive.keys,
        # As `batch_size`: the last bits of a gradient may differ.
        mechanism=(*GrpoConfig.decisive.mechanism, "micro_batch"),
        added={**GrpoConfig.decisive.added, "lora_rank": None, "export": "last", "processes": 1},
    )

    engine: Literal["local"] = Field(default="local", description="what runs the training")
    processes: int = Field(
        default=1,
        gt=0,
        description="processes that share out the questions of a step, each with a copy of a model"
        " on the CPU; what is drawn depends on their number, and not on how many cores there are",
    )

    def gpus(self, base: ModelConfig) -> int:
        return base.gpus

    @property
    def cores(self) -> int:
        return self.processes

    def unfit(self, base: ModelConfig) -> str:
        if self.processes > 1 and base.gpus:
            return (
                f"it has a GPU, and {self.processes} processes share out the cores of a CPU; set"
                " processes to 1, or use engine verl for several GPUs"
            )
        return ""

    @model_validator(mode="after")
    def _each_has_a_question(self) -> Self:
        if self.processes > self.prompts_per_step:
            raise ValueError(
                f"processes ({self.processes}) must not be more than prompts_per_step"
                f" ({self.prompts_per_step}), which they share out"
            )
        return self


ENGINE = LocalTraining
