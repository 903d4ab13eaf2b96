"""The shipped model, questions for it, and what the pipeline's own inference makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from active_perception_r1.config import ModelConfig, SliceConfig, load_config
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.download import download
from active_perception_r1.data.predictions import read_predictions
from active_perception_r1.data.slices import sample_slice
from active_perception_r1.models.infer import infer
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Episode
from tests.trainers import ENTRY, REPOSITORY

QUESTIONS = 32


@pytest.fixture(scope="session")
def settings() -> ModelConfig:
    entry = load_config(REPOSITORY / "workflow_config.yaml").models[ENTRY]
    return entry.model_copy(update={"id": str(REPOSITORY / entry.id)})


@pytest.fixture(scope="session")
def slice_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    pages = SyntheticDataset(source="synthetic", questions={"test": QUESTIONS})
    download(pages, "test", folder / "test.parquet")
    sample_slice(folder / "test.parquet", SliceConfig(samples=QUESTIONS), folder / "slice.parquet")
    return folder / "slice.parquet"


@pytest.fixture(scope="session")
def predictions(
    settings: ModelConfig, slice_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Episode]:
    """Of mode active, in the order of the slice."""
    folder = tmp_path_factory.mktemp("predictions")
    infer(slice_path, ENTRY, settings, ACTIVE, folder / "active.jsonl", folder / "partial")
    episodes = list(read_predictions(folder / "active.jsonl"))
    assert len(episodes) == QUESTIONS
    assert sum(len(episode.turns) for episode in episodes) > 1.4 * QUESTIONS  # it does zoom
    return episodes
