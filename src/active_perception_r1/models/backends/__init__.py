"""Engines that run a model: one file each, imported when a model's entry names it."""

from collections.abc import Callable

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.backends._backend import Answered, Backend, BatchBackend
from active_perception_r1.registry import Registry

BACKENDS: Registry[Callable[[ModelConfig], Backend]] = Registry(__name__, "BACKEND")

__all__ = ["BACKENDS", "Answered", "Backend", "BatchBackend"]
