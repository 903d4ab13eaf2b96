"""The engine in this package."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.engines._grpo import GrpoConfig
from active_perception_r1.config.model import ModelConfig


class LocalTraining(GrpoConfig):
    """A run of the engine in `training/grpo.py`, on one device."""

    environment: ClassVar[str] = "models"
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    decisive = Decisive(
        keys=GrpoConfig.decisive.keys,
        # As `batch_size`: the last bits of a gradient may differ.
        mechanism=(*GrpoConfig.decisive.mechanism, "micro_batch"),
        added={**GrpoConfig.decisive.added, "lora_rank": None, "export": "last"},
    )

    engine: Literal["local"] = Field(default="local", description="what runs the training")

    def gpus(self, base: ModelConfig) -> int:
        return base.gpus


ENGINE = LocalTraining
