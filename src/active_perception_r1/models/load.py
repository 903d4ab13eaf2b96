"""From a model's entry in the configuration to a running engine."""

from __future__ import annotations

from active_perception_r1.config import ModelConfig
from active_perception_r1.errors import BackendError
from active_perception_r1.models.backends import BACKENDS, Backend


def load_backend(settings: ModelConfig) -> Backend:
    """The engine that the entry names, with its model loaded.

    Raises:
        BackendError: the engine is not installed, or the model cannot be loaded.
    """
    try:
        load = BACKENDS[settings.backend]
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend {settings.backend}: {error.name} is not installed here; pip install"
            f" {error.name}, or run with --sdm conda"
        ) from None
    return load(settings)
