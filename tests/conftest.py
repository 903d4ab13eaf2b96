"""What many tests share: a small random model, and a study that was run with it."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from active_perception_r1.config import CropConfig, FirstView, ModelConfig, parse_section
from tests.preloaded import preloaded
from tests.small_study import set_up_small_study
from tests.workflow import Workflow

# No deadline: the machine may be busy. The core is tried with more cases in `test_core_in_bulk`.
settings.register_profile(
    "project", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("project"), max_examples=50)
settings.load_profile("project")

IN_PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
if IN_PARALLEL:  # Each worker has a core; torch reads this when it starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lease-jobs", type=int, default=20, help="jobs in the storm of GPU leases")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs the finished study, or the keys after many edits, is slow."""
    for item in items:
        if {"finished", "edited"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


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
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelConfig]:
    """Entry of a small model of a family, which is made once."""
    from tests.families import build

    folder = tmp_path_factory.mktemp("stand-ins")

    @functools.cache
    def made(family: str) -> ModelConfig:
        entry = build(family, folder / family) | {"gpus": 0}
        model: ModelConfig = parse_section(ModelConfig, json.dumps(entry))
        return model

    return made


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Programs for a workflow: the command, without the wait for its libraries."""
    with preloaded(tmp_path_factory.mktemp("programs")) as folder:
        yield folder


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, untrained_model: ModelConfig, programs: Path
) -> Workflow:
    """A finished run of the small study; tests leave it as they find it.

    It is run once; each of several workers has a copy of its own. What ran is written down in
    `record` there.
    """
    base, own = tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("finished") / "study"
    shared = (base.parent if IN_PARALLEL else base) / "finished"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            folder = tmp_path_factory.mktemp("study")
            workflow = set_up_small_study(folder, untrained_model, programs)
            (folder / "record").mkdir()
            done = replace(workflow, record=folder / "record").run()
            assert done.returncode == 0, done.stdout
            workflow.folder.rename(shared)
    return Workflow(shared, shared, programs).copied(own)
