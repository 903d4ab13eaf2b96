"""What of this package runs with vLLM: its plugin in every process, and only code that counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from vllm.model_executor.models.idefics3 import Idefics3ProcessingInfo

from active_perception_r1.config import SliceConfig, load_config
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.download import download
from active_perception_r1.data.slices import sample_slice
from tests.test_keys import uncounted
from tests.workflow import REPOSITORY, recording


def test_an_image_in_one_piece_is_one_image_to_every_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_0_24(info: Idefics3ProcessingInfo, **about: object) -> int:
        return 0

    monkeypatch.setattr(Idefics3ProcessingInfo, "get_num_patches", of_0_24)
    (plugin,) = entry_points(group="vllm.general_plugins", name="active_perception_r1")
    plugin.load()()
    sizes = {"image_width": 112, "image_height": 112}
    assert Idefics3ProcessingInfo.get_num_patches(None, **sizes) == 1


def test_what_an_inference_job_runs_counts_or_is_mechanism(tmp_path: Path) -> None:
    source = {"source": "synthetic", "questions": {"test": 4}}
    download(SyntheticDataset.model_validate(source), "test", tmp_path / "test.parquet")
    sample_slice(tmp_path / "test.parquet", SliceConfig(samples=4), tmp_path / "slice.parquet")
    shipped = load_config(REPOSITORY / "workflow_config.yaml").models["tiny-zoom-vlm"]
    engine = {"gpu_memory_utilization": 0.2, "max_model_len": 1024, "enforce_eager": True}
    model = {
        **shipped.model_dump(mode="json"),
        "id": str(REPOSITORY / "models" / "tiny-zoom-vlm"),
        "backend": "vllm",
        "vllm": engine,
    }
    study = {"dataset": source, "slice": {"samples": 4}, "models": ["tiny"], "modes": ["active"]}
    config = {"study": "small", "studies": {"small": study}, "models": {"tiny": model}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    record = tmp_path / "record"
    record.mkdir()
    subprocess.run(
        [
            *[Path(sys.executable).parent / "active-perception", "infer", "--config"],
            *["config.json", "--study", "small", "--model", "tiny", "--mode", "active"],
            *["--slice", "slice.parquet", "--output", "out.jsonl", "--partial", "partial.jsonl"],
        ],
        cwd=tmp_path,
        env={**os.environ, **recording(record, REPOSITORY / "src")},
        check=True,
    )
    assert any(record.iterdir())
    assert uncounted(record, tmp_path) == {}
