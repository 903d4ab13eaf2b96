"""The model and the training run that benchmarks use: those of the demo."""

from __future__ import annotations

from pathlib import Path

from active_perception_r1.config import ModelConfig, TrainingConfig, load_config

REPOSITORY = Path(__file__).parent.parent
_CONFIG = load_config(REPOSITORY / "workflow_config.yaml")
RUN: TrainingConfig = _CONFIG.training["tiny-zoom-vlm+grpo"]


def model_settings() -> ModelConfig:
    settings = _CONFIG.models[RUN.base]
    return settings.model_copy(update={"id": str(REPOSITORY / settings.id)})


STILL: TrainingConfig = RUN.model_copy(update={"learning_rate": 1e-9, "warmup_steps": 0})
"""The run, but for a policy that stays as it is: every step has the same to do."""
