"""From a model's entry in the configuration to a running engine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from active_perception_r1.errors import BackendError
from active_perception_r1.models.base import Backend

if TYPE_CHECKING:  # types only: a change of the configuration's schema changes no episode
    from active_perception_r1.config import ModelConfig


def load_backend(settings: ModelConfig) -> Backend:
    """The engine that the entry names, with its model loaded.

    Raises:
        BackendError: the model cannot be loaded.
    """
    match settings.backend:
        case "transformers":
            from active_perception_r1.models.transformers_backend import TransformersBackend

            return TransformersBackend(settings)
        case "vllm":
            # Checked apart: an ImportError inside vLLM means something else than that it lacks.
            if find_spec("vllm") is None:
                raise BackendError(
                    "vllm is not installed here; pip install vllm, or run with --sdm conda"
                )
            from active_perception_r1.models.vllm_backend import VllmBackend

            return VllmBackend(settings)
        case "openai":
            from active_perception_r1.models.openai_backend import OpenAIBackend

            return OpenAIBackend(settings)
