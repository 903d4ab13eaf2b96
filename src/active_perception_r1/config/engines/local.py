"""The engine in this package."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from active_perception_r1.config.engines._grpo import GrpoConfig
from active_perception_r1.config.model import ModelConfig


class LocalTraining(GrpoConfig):
    """A run of the engine in `training/grpo.py`, on one device."""

    environment: ClassVar[str] = "models"

    engine: Literal["local"] = Field(default="local", description="what runs the training")

    def gpus(self, base: ModelConfig) -> int:
        return base.gpus


ENGINE = LocalTraining
