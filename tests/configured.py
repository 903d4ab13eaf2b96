"""Configuration files for commands to find their settings in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from active_perception_r1.config import Dataset, GrpoConfig, ModelConfig

VIEW = {"max_pixels": 99}
PAGES = {"source": "synthetic", "questions": {"train": 9, "test": 9}}


def configure(folder: Path, **model: Any) -> Path:
    """Study `s` of model `m`."""
    entry = {"id": "none", "gpus": 0, "first_view": VIEW, "crop": VIEW, **model}
    return _write(folder, {"m": entry}, {})


def configure_training(folder: Path, name: str, run: GrpoConfig, base: ModelConfig) -> Path:
    """A training run, with its base and the study that it names."""
    models = {run.base: base.model_dump(mode="json")}
    return _write(folder, models, {name: run.model_dump(mode="json")}, run.study)


def configure_dataset(folder: Path, dataset: Dataset) -> Path:
    """Study `s` of a dataset."""
    model = {"id": "none", "first_view": VIEW, "crop": VIEW}
    return _write(folder, {"m": model}, {}, dataset=dataset.model_dump(mode="json"))


def _write(
    folder: Path, models: Any, training: Any, study: str = "s", dataset: Any = PAGES
) -> Path:
    config = {
        "study": study,
        "studies": {study: {"dataset": dataset, "models": list(models), "modes": ["active"]}},
        "models": models,
        "training": training,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
