"""A study of a minute: an untrained model, and what three steps of GRPO make of it."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

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


def results_of(workflow: Workflow) -> dict[str, Any]:
    """Every file that the study leaves behind, without what was measured when it was made.

    Left out: the manifest, which tells when and how often jobs ran, and hashes those seconds.
    """
    folder = workflow.folder / "results" / "small"
    return {
        str(path.relative_to(folder)): without_measurements(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".snakemake_timestamp", "manifest.json")
    }


def without_measurements(path: Path) -> bytes | str:
    if path.suffix == ".parquet" and path.parent.parent.name == "scores":
        return pd.read_parquet(path).drop(columns="seconds").to_json()
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return table[[name for name in table if not name.startswith("seconds")]].to_csv()
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if path.name.endswith((".json", ".jsonl", ".jsonl.gz")):
        return re.sub(rb'("(?:seconds\w*|loads)"): ?[0-9.e-]+', rb"\1:0", content)
    return content
