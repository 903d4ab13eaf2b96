"""A study of a minute: an untrained model, and what three steps of GRPO make of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from active_perception_r1.config import ModelConfig
from tests.docvqa_files import synthetic_rows, write_rows
from tests.workflow import Workflow, copy_of_repository


def set_up_small_study(folder: Path, model: ModelConfig, programs: Path | None = None) -> Workflow:
    """A checkout in `folder` with the study's data and model, configured and not yet run."""
    workflow = Workflow(folder, copy_of_repository(folder), programs)
    write_rows(folder / "pages.parquet", synthetic_rows(24))
    shutil.copytree(model.id, folder / "untrained")
    workflow.configure(small_config(model))
    return workflow


def small_config(model: ModelConfig) -> dict[str, Any]:
    """The study's configuration; the weights of `model` are in the folder `untrained`."""
    entry = {**model.model_dump(mode="json"), "id": "untrained"}
    return {
        "study": "small",
        "studies": {
            "small": {
                "dataset": {"source": "parquet", "path": "pages.parquet"},
                "slice": {"split": "test", "samples": 12, "seed": 1},
                "models": ["tiny", "tiny+grpo"],
                "modes": ["baseline", "active", "strict_zoom"],
            }
        },
        "models": {"tiny": entry},
        "training": {
            "tiny+grpo": {
                "base": "tiny",
                "study": "small",
                "samples": 10,
                "seed": 12,
                "steps": 3,
                "prompts_per_step": 2,
                "samples_per_prompt": 2,
                "save_every": 1,
            }
        },
    }
