"""The shipped model through real vLLM, in this process and served: the same texts as transformers.

vLLM is given a copy of it whose `generation_config` asks for other texts, to no effect.

Run by `make test-vllm`, in an environment with vLLM's build for CPUs; plain pytest leaves it out.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from active_perception_r1.config import ModelConfig, SliceConfig, load_config
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.download import download
from active_perception_r1.data.slices import sample_slice
from active_perception_r1.errors import BackendError
from active_perception_r1.models import runner
from active_perception_r1.models.backends import Backend
from active_perception_r1.models.backends.vllm import VllmBackend
from active_perception_r1.models.infer import infer
from active_perception_r1.models.load import load_backend
from active_perception_r1.modes import ACTIVE, BASELINE
from active_perception_r1.records import Episode
from active_perception_r1.sim.messages import Message
from benchmarks.measuring import Figure, keep
from tests.hostile import OPTIONS, made_hostile

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "tiny-zoom-vlm"
MODES = (BASELINE, ACTIVE)
PAGES = 100  # 200 episodes in the two modes.
AGREEMENT = 0.98  # Another order of additions may turn a near tie.
START_SECONDS = 240
FEW = 6
Played = dict[tuple[str, str], Episode]
Texts = dict[tuple[str, str], list[str]]


def entry(**changes: object) -> ModelConfig:
    shipped = load_config(REPOSITORY / "workflow_config.yaml").models["tiny-zoom-vlm"]
    return ModelConfig.model_validate({**shipped.model_dump(), "id": str(MODEL), **changes})


@pytest.fixture(scope="module")
def slice_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slice_of(PAGES, tmp_path_factory.mktemp("slice"))


def slice_of(pages: int, folder: Path) -> Path:
    download(SyntheticDataset(source="synthetic"), "test", folder / "test.parquet")
    sample_slice(folder / "test.parquet", SliceConfig(samples=pages), folder / "slice.parquet")
    return folder / "slice.parquet"


def run(
    backend: Backend,
    settings: ModelConfig,
    slice_path: Path,
    folder: Path,
    modes: Sequence[str] = MODES,
) -> Texts:
    """What the model wrote, turn by turn, in every episode."""
    played = play(backend, settings, slice_path, folder, modes)
    return {key: [turn.text for turn in episode.turns] for key, episode in played.items()}


def play(
    backend: Backend,
    settings: ModelConfig,
    slice_path: Path,
    folder: Path,
    modes: Sequence[str] = MODES,
) -> Played:
    """The episodes of a slice, by mode and sample."""
    played: Played = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "load_backend", lambda settings: backend)
        patch.setattr(backend, "close", lambda: None)  # others are going to use it
        for mode in modes:
            output = folder / f"{mode}.jsonl"
            infer(slice_path, "tiny", settings, mode, output, folder / "partial")
            for line in output.read_text().splitlines():
                episode = Episode.from_json(line)
                assert not episode.error
                played[mode, episode.sample_id] = episode
    return played


def agreement(texts: Texts, reference: Texts) -> float:
    assert texts.keys() == reference.keys()
    return sum(texts[key] == reference[key] for key in reference) / len(reference)


@pytest.fixture(scope="module")
def figures() -> Iterator[list[Figure]]:
    """Kept for benchmarks/RESULTS.md if the environment asks for it."""
    found: list[Figure] = []
    yield found
    if "KEEP_FIGURES" in os.environ:
        keep("vllm", found, "make test-vllm KEEP_FIGURES=1")


@pytest.fixture(scope="module")
def reference(slice_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Texts:
    settings = entry()
    folder = tmp_path_factory.mktemp("transformers")
    texts = run(load_backend(settings), settings, slice_path, folder)
    assert len(texts) == PAGES * len(MODES)
    assert sum(len(turns) for turns in texts.values()) > 1.4 * len(texts)  # it does zoom
    return texts


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the shipped model with options that would change every reply."""
    return str(made_hostile(MODEL, tmp_path_factory.mktemp("models") / "hostile"))


@pytest.fixture(scope="module")
def settings(hostile: str) -> ModelConfig:
    engine = {"gpu_memory_utilization": 0.2, "max_model_len": 1024, "enforce_eager": True}
    return entry(id=hostile, backend="vllm", vllm=engine)


@pytest.fixture(scope="module")
def engine(settings: ModelConfig) -> Iterator[VllmBackend]:
    backend = load_backend(settings)
    assert isinstance(backend, VllmBackend)
    yield backend
    backend.close()


class TestEngineInThisProcess:
    def test_it_counts_the_visual_tokens_that_transformers_counts(
        self, engine: VllmBackend, settings: ModelConfig, tmp_path: Path
    ) -> None:
        slice_path, counted = slice_of(FEW, tmp_path), []
        for backend, entered in ((engine, settings), (load_backend(entry()), entry())):
            played = play(backend, entered, slice_path, tmp_path / entered.backend)
            counted.append(
                {key: [turn.visual_tokens for turn in one.turns] for key, one in played.items()}
            )
        by_vllm, by_transformers = counted
        assert by_vllm == by_transformers
        assert all(tokens for turns in by_vllm.values() for tokens in turns)

    def test_it_writes_what_transformers_writes(
        self,
        engine: VllmBackend,
        settings: ModelConfig,
        reference: Texts,
        slice_path: Path,
        tmp_path: Path,
        figures: list[Figure],
    ) -> None:
        assert engine.revision == load_backend(entry(id=settings.id)).revision
        assert engine.set_aside == OPTIONS
        same = agreement(run(engine, settings, slice_path, tmp_path), reference)
        figures.append(Figure("same episodes, in this process", same, bar=f">= {AGREEMENT}"))
        assert same >= AGREEMENT

    def test_one_bad_request_is_the_only_one_that_fails(self, engine: VllmBackend) -> None:
        good = (Message("user", ("Where is row B? Answer directly.",)),)
        too_long = (Message("user", ("1 " * 2000,)),)
        replies = engine.generate([good, too_long, good])
        assert [bool(reply.error) for reply in replies] == [False, True, False]
        assert replies[0].text == replies[2].text

    def test_text_that_spells_the_image_placeholder_stays_text(self, engine: VllmBackend) -> None:
        (reply,) = engine.generate([(Message("user", ("<image> <image>?",)),)])
        assert not reply.error


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server(hostile: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of `vllm serve`, which takes what a request leaves open from the checkpoint."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    options = ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    options += ["--max-model-len", "1024", "--gpu-memory-utilization", "0.2"]
    options += ["--limit-mm-per-prompt", '{"image": 2, "video": 0}', "--served-model-name", "tiny"]
    command = [sys.executable, "-m", "tests.vllm.serve", "serve", hostile, *options]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START_SECONDS):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(1)
        else:
            return
    raise AssertionError(f"vllm serve did not start:\n{log.read_text()[-4000:]}")


class TestServer:
    def test_it_writes_what_transformers_writes(
        self,
        server: str,
        reference: Texts,
        slice_path: Path,
        tmp_path: Path,
        figures: list[Figure],
    ) -> None:
        client = {"base_url": server, "model": "tiny", "concurrency": 32}
        settings = entry(backend="openai", gpus=0, openai=client)
        texts: Texts = {}
        for mode in MODES:  # each with a client of its own
            texts |= run(load_backend(settings), settings, slice_path, tmp_path, [mode])
        same = agreement(texts, reference)
        note = f"{len(reference)} episodes"
        figures.append(Figure("same episodes, served", same, bar=f">= {AGREEMENT}", note=note))
        assert same >= AGREEMENT

    def test_a_model_that_it_does_not_serve_is_refused_with_those_that_it_does(
        self, server: str
    ) -> None:
        settings = entry(backend="openai", openai={"base_url": server, "model": "large"})
        with pytest.raises(BackendError, match="does not serve 'large'; it serves: tiny"):
            load_backend(settings)


HOLD_ON = """
import sys
from active_perception_r1.config import ModelConfig, parse_section
from active_perception_r1.models.load import load_backend

kept = load_backend(parse_section(ModelConfig, sys.argv[1]))
"""


def test_a_process_ends_though_its_engine_is_still_in_use(settings: ModelConfig) -> None:
    command = [sys.executable, "-c", HOLD_ON, settings.model_dump_json()]
    subprocess.run(command, timeout=START_SECONDS, check=True)
