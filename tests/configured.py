"""Configuration files for commands to find their settings in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from active_perception_r1.config import GrpoConfig, ModelConfig

VIEW = {"max_pixels": 99}


def configure(folder: Path, **model: Any) -> Path:
    """Study `s` of model `m`."""
    entry = {"id": "none", "gpus": 0, "first_view": VIEW, "crop": VIEW, **model}
    return _write(folder, {"m": entry}, {})


def configure_training(folder: Path, name: str, run: GrpoConfig, base: ModelConfig) -> Path:
    """A training run, with its base and the study that it names."""
    models = {run.base: base.model_dump(mode="json")}
    return _write(folder, models, {name: run.model_dump(mode="json")}, run.study)


def _write(folder: Path, models: Any, training: Any, study: str = "s") -> Path:
    dataset = {"source": "synthetic", "questions": {"train": 9, "test": 9}}
    config = {
        "study": study,
        "studies": {study: {"dataset": dataset, "models": list(models), "modes": ["active"]}},
        "models": models,
        "training": training,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
