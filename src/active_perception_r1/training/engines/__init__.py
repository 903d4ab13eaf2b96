"""What trains a model: one file an engine, named as its section in `config.engines`."""

from typing import Any

from active_perception_r1.registry import Registry
from active_perception_r1.training.engines._engine import Engine, Job

ENGINES: Registry[Engine[Any]] = Registry(__name__, "ENGINE")

__all__ = ["ENGINES", "Engine", "Job"]
