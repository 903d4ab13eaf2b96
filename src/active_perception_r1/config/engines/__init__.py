"""Training runs: the sections that each engine of training takes, one file an engine."""

from typing import Annotated

from active_perception_r1.config.engines._grpo import GrpoConfig
from active_perception_r1.config.section import OneOf
from active_perception_r1.registry import Registry

ENGINES: Registry[type[GrpoConfig]] = Registry(__name__, "ENGINE")

TrainingConfig = Annotated[GrpoConfig, OneOf(ENGINES, "engine", default="local")]

__all__ = ["ENGINES", "GrpoConfig", "TrainingConfig"]
