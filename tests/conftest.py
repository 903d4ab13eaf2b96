"""What many tests share: a small random model, and a study that was run with it."""

from __future__ import annotations

import functools
import gc
import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
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

# What is imported stays: looking for garbage among it takes a sixth of the time of the quick tests.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lease-jobs", type=int, default=20, help="jobs in the storm of GPU leases")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Whatever needs the finished study, or the keys after many edits, is slow."""
    for item in items:
        if {"finished", "edited"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    yield  # for others to leave items out
    items[:] = long_ones_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


# Modules that take long, with about how many seconds.
LONG = {
    "chaos": 80,
    "failures": 60,
    "interruptions": 60,
    "other_systems": 40,
    "docs": 50,
    "keys": 50,
    "run": 45,
    "runner_processes": 35,
    "local_run": 30,
    "disks": 25,
    "invalidation": 25,
    "kept_model": 25,
    "shards": 25,
    "conda": 20,
    "workflow": 40,
    "own_table": 17,
    "extending": 16,
    "lease": 16,
}


def long_ones_first(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """In an order in which the workers are done at about the same time.

    Each begins with as many tests as the others, cut from this order, and takes from the end of
    another's when it has none left. So each has a share of the modules that take long, which come
    first, and what is there to be taken are quick tests.
    """
    long: dict[str, list[pytest.Item]] = {name: [] for name in LONG}
    quick = []
    for item in items:
        name = item.path.stem.removeprefix("test_")
        long.get(name, quick).append(item)
    queues: list[list[pytest.Item]] = [[] for _ in range(workers)]
    seconds = [0] * workers
    for name in sorted(LONG, key=LONG.__getitem__, reverse=True):
        shortest = seconds.index(min(seconds))
        seconds[shortest] += LONG[name]
        queues[shortest] += long[name]
    ordered: list[pytest.Item] = []
    for number, queue in enumerate(queues):
        share = (len(items) - len(ordered)) // (workers - number)
        fill = max(0, share - len(queue))
        ordered += [*queue, *quick[:fill]]
        del quick[:fill]
    return [*ordered, *quick]


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
    with preloaded(shared_among_workers(tmp_path_factory, "programs")) as folder:
        yield folder


def shared_among_workers(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if IN_PARALLEL else base) / name


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, untrained_model: ModelConfig, programs: Path
) -> Workflow:
    """A finished run of the small study; tests leave it as they find it.

    It is run once; each of several workers has a copy of its own. What ran is written down in
    `record` there.
    """
    own = tmp_path_factory.mktemp("finished") / "study"
    shared = shared_among_workers(tmp_path_factory, "finished")
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            folder = tmp_path_factory.mktemp("study")
            workflow = set_up_small_study(folder, untrained_model, programs)
            (folder / "record").mkdir()
            done = replace(workflow, record=folder / "record").run()
            assert done.returncode == 0, done.stdout
            workflow.folder.rename(shared)
    return Workflow(shared, shared, programs).copied(own)
