"""These tests run in the environment of `make test-verl` only."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from active_perception_r1.config import ModelConfig

collect_ignore_glob = [] if find_spec("verl") else ["*.py"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """Entry of the model that all runs train."""
    from tests.verl.runs import MODEL
    from tests.verl.tiny_qwen import build

    folder = tmp_path_factory.mktemp("models") / "tiny"
    build(folder)
    return MODEL.model_copy(update={"id": str(folder)})
