"""A small random model of the shipped architecture, for tests that need tokens but no skill."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from active_perception_r1.config import CropConfig, FirstView, ModelConfig
from tests.small_study import set_up_small_study
from tests.workflow import Workflow

# No deadline: the machine may be busy. The core's own tests ask for more cases (`strategies.many`).
settings.register_profile(
    "project", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lease-jobs", type=int, default=20, help="jobs in the storm of GPU leases")


@pytest.fixture
def lease_jobs(request: pytest.FixtureRequest) -> int:
    jobs: int = request.config.getoption("--lease-jobs")
    return jobs


@pytest.fixture(scope="session")
def untrained_model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    """Entry of a model folder with random weights: Idefics3, tokenizer and processor as shipped."""
    import torch

    from recipes.tiny_zoom_vlm.architecture import build_model
    from recipes.tiny_zoom_vlm.tokenizer import build_processor, build_tokenizer

    folder: Path = tmp_path_factory.mktemp("models") / "untrained"
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    with torch.no_grad():  # livelier than a fresh start, so that what it writes depends on input
        for parameter in model.model.text_model.layers.parameters():
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    model.save_pretrained(folder)
    build_processor(tokenizer).save_pretrained(folder)
    return ModelConfig(
        id=str(folder),
        dtype="float32",
        gpus=0,
        prompts="terse",
        first_view=FirstView(max_pixels=12544),
        crop=CropConfig(max_pixels=12544, max_aspect=1.0, min_area=0.0025),
        max_zooms=1,
        max_turns=2,
        max_new_tokens=12,
        batch_size=8,
        max_concurrent_episodes=8,
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, untrained_model: ModelConfig) -> Workflow:
    """A finished run of the small study; tests leave it as they find it."""
    workflow = set_up_small_study(tmp_path_factory.mktemp("study"), untrained_model)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    return workflow
