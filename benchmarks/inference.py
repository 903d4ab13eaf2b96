"""Speed of active inference: python benchmarks/inference.py

    --model NAME      of workflow_config.yaml (default: tiny-zoom-vlm)
    --pages N         episodes of each run, one a page (default: 256)
    --repeats N       runs of each kind, in turn (default: 3)
    --json FILE       write the figures there, too

The same model answers the same questions, on the same machine, in four ways:

- `episodes`: our driver, live episodes in batches, the next pages opened in the meantime, in as
  many processes as there are cores (`infer --cores N`), which are started before;
- `one_process`: the same in this process alone, with all cores;
- `one_by_one`: the same episodes one after the other, each turn by a plain `model.generate`;
- `bare_batch`: without episodes: pages opened, views and crops cut, and then the batches that the
  driver asked for by a plain `model.generate`; `bare_generation` is the last part alone.

Where `make test-vllm` has made its environment, vLLM runs the episodes, too, and beside them the
same requests, all at hand, by one plain `LLM.generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import Figure, ratios, report, spread

from active_perception_r1.config import ModelConfig, SliceConfig, VllmConfig, load_config
from active_perception_r1.config.sources.synthetic import SyntheticDataset
from active_perception_r1.data.download import download
from active_perception_r1.data.samples import read_slice
from active_perception_r1.data.slices import sample_slice
from active_perception_r1.envs.encoded_page import _decoded, open_page
from active_perception_r1.envs.zoom_simulator import first_view, opening_view, zoom
from active_perception_r1.geometry import Box
from active_perception_r1.models.backends import Backend
from active_perception_r1.models.load import load_backend
from active_perception_r1.models.remote_runner import RemoteRunner
from active_perception_r1.models.runner import _Answers, unseen
from active_perception_r1.models.runner_processes import runner_processes
from active_perception_r1.modes import ACTIVE, episode_rules, start_episode
from active_perception_r1.records import Episode, Sample
from active_perception_r1.sim.driver import Batches, run_episodes
from active_perception_r1.sim.live_reinjection import LiveEpisode
from active_perception_r1.sim.messages import FinishReason, Reply, Request
from active_perception_r1.sim.prefetch import cores, prefetch

VLLM_PYTHON = Path(".venv-vllm/bin/python")
Generate = Callable[[Sequence[Request]], Sequence[Reply]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny-zoom-vlm")
    parser.add_argument("--pages", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only-vllm", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = load_config(Path("workflow_config.yaml")).models[options.model]
    with tempfile.TemporaryDirectory() as folder:
        slice_path = draw(Path(folder), options.pages)
        if options.only_vllm:
            figures = vllm_speed(settings, list(read_slice(slice_path)), options.repeats)
        else:
            figures = compare(settings, slice_path, options.repeats)
            figures |= vllm_elsewhere(options)
            report("inference", as_figures(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def as_figures(found: dict[str, list[float]]) -> list[Figure]:
    """Of the episodes a second that `compare` found in each run, for RESULTS.md."""

    def speed(what: str, kind: str) -> Figure:
        return spread(f"{what}, episodes/s", found[kind])

    figures = [
        ratios("faster than one by one", found["episodes"], found["one_by_one"], bar=">= 10"),
        ratios("faster than one by one, one process", found["one_process"], found["one_by_one"]),
        ratios(
            "one process, speed over bare batches, pages opened and images cut before",
            found["one_process"],
            found["bare_batch"],
        ),
        ratios(
            "one process, speed over bare generation",
            found["one_process"],
            found["bare_generation"],
        ),
        speed("active episodes, a process a core", "episodes"),
        speed("active episodes, one process", "one_process"),
        speed("one-by-one generate", "one_by_one"),
        speed("bare batches, pages opened and images cut before", "bare_batch"),
        speed("bare batches, images at hand", "bare_generation"),
    ]
    if "vllm_episodes" in found:
        ours, bare = found["vllm_episodes"], found["vllm_bare"]
        figures += [
            ratios("vLLM on the CPU, speed over bare generation", ours, bare, bar=">= .95"),
            speed("vLLM on the CPU, active episodes", "vllm_episodes"),
            speed("vLLM on the CPU, bare generation", "vllm_bare"),
        ]
    return figures


def draw(folder: Path, pages: int) -> Path:
    source = SyntheticDataset(source="synthetic", questions={"test": pages})
    download(source, "test", folder / "test.parquet")
    sample_slice(folder / "test.parquet", SliceConfig(samples=pages), folder / "slice.parquet")
    return folder / "slice.parquet"


def compare(settings: ModelConfig, slice_path: Path, repeats: int) -> dict[str, list[float]]:
    with runner_processes(cores(), "", settings, ACTIVE) as processes:
        return compare_with(processes, settings, slice_path, repeats)


def compare_with(
    processes: RemoteRunner, settings: ModelConfig, slice_path: Path, repeats: int
) -> dict[str, list[float]]:
    samples = list(read_slice(slice_path))
    everyone = [sample.id for sample in samples]
    backend = load_backend(settings)
    batches, crops = record(backend, settings, samples)

    def plain(requests: Sequence[Request]) -> list[Reply]:
        return plain_generate(backend, settings, requests)

    kinds: dict[str, Callable[[], object]] = {
        "episodes": lambda: list(processes.run(slice_path, everyone)),
        "one_process": lambda: streamed(backend, settings, samples),
        "one_by_one": lambda: run(plain, settings, samples, live=1),
        "bare_cutting": lambda: cut(settings, samples, crops),
        "bare_generation": lambda: [plain(batch) for batch in batches],
    }
    run(plain, settings, samples[:4], live=1)  # warm, as what follows is in every process
    everywhere = [episode.sample_id for episode in processes.run(slice_path, everyone)]
    assert sorted(everywhere) == sorted(everyone)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):  # in turn, so that a busy moment of the machine meets all alike
        for name, kind in kinds.items():
            seconds[name].append(timed(kind))
    bare = zip(seconds["bare_cutting"], seconds["bare_generation"], strict=True)
    seconds["bare_batch"] = [sum(parts) for parts in bare]
    return speeds(seconds, len(samples))


def speeds(seconds: dict[str, list[float]], count: int) -> dict[str, list[float]]:
    """Episodes a second in each run."""
    return {name: [count / time for time in times] for name, times in seconds.items()}


def timed(run: Callable[[], object]) -> float:
    _decoded.cache_clear()
    opening_view.cache_clear()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def run(
    generate: Generate,
    settings: ModelConfig,
    samples: Sequence[Sample],
    live: int,
    first: int | None = None,
) -> list[Episode]:
    rules = episode_rules(ACTIVE, settings)

    def start(sample: Sample) -> LiveEpisode:
        return start_episode(sample, rules)

    episodes = prefetch(start, samples, live // 2) if live > 1 else map(start, samples)
    engine = Batches(lambda asking: generate([episode.request for episode in asking]))
    played = run_episodes(episodes, engine, live, first)
    finished = [episode.record("", "", 0) for episode in played]
    assert len(finished) == len(samples)
    assert not any(episode.error for episode in finished)
    return finished


def streamed(backend: Backend, settings: ModelConfig, samples: Sequence[Sample]) -> None:
    """As `infer` does it."""
    rules = episode_rules(ACTIVE, settings)
    episodes = prefetch(lambda sample: start_episode(sample, rules), samples, backend.live // 2)
    engine = _Answers(backend, unseen)
    finished = list(run_episodes(episodes, engine, backend.live, backend.first))
    assert len(finished) == len(samples)


def record(
    backend: Backend, settings: ModelConfig, samples: Sequence[Sample]
) -> tuple[list[Sequence[Request]], dict[str, list[Box]]]:
    """What the driver asks for, in batches of the backend's size; the boxes zoomed into."""
    batches: list[Sequence[Request]] = []

    def recorded(requests: Sequence[Request]) -> Sequence[Reply]:
        batches.append(requests)
        return backend.generate(requests)

    episodes = run(recorded, settings, samples, backend.live, backend.first)
    crops = {e.sample_id: [s.requested for s in e.steps if s.requested] for e in episodes}
    size = settings.batch_size
    by_length = [sorted(batch, key=len) for batch in batches]
    return [w[i : i + size] for w in by_length for i in range(0, len(w), size)], crops


def cut(settings: ModelConfig, samples: Sequence[Sample], crops: dict[str, list[Box]]) -> None:
    """Every image that the episodes showed, made again."""
    rules = episode_rules(ACTIVE, settings)
    for sample in samples:
        page = open_page(sample.image)
        first_view(page, rules.first_view)
        for box in crops[sample.id]:
            zoom(page, box, rules.crop)


def plain_generate(
    backend: Backend, settings: ModelConfig, requests: Sequence[Request]
) -> list[Reply]:
    """As transformers' documentation does it: template, processor, generate, decode."""
    import torch

    processor, model = backend.processor, backend.model  # type: ignore[attr-defined]
    inputs = backend.encode_afresh(requests)  # type: ignore[attr-defined]
    with torch.no_grad():
        output = model.generate(**inputs, max_new_tokens=settings.max_new_tokens, do_sample=False)
    written = output[:, inputs["input_ids"].shape[1] :]
    decoded = processor.batch_decode(written, skip_special_tokens=True)
    return [Reply(text, FinishReason.STOP) for text in decoded]


def vllm_speed(
    settings: ModelConfig, samples: Sequence[Sample], repeats: int
) -> dict[str, list[float]]:
    options = VllmConfig(enforce_eager=True, gpu_memory_utilization=0.2, max_model_len=1024)
    settings = settings.model_copy(update={"backend": "vllm", "vllm": options})
    backend = load_backend(settings)
    run(backend.generate, settings, samples[:8], live=8)  # warm

    batches, _ = record(backend, settings, samples)
    requests = [request for batch in batches for request in batch]
    prompts = [backend._prompt(request) for request in requests]  # type: ignore[attr-defined]
    sampling = [backend._sampling(request) for request in requests]  # type: ignore[attr-defined]
    engine = backend.engine  # type: ignore[attr-defined]
    kinds: dict[str, Callable[[], object]] = {
        "vllm_episodes": lambda: streamed(backend, settings, samples),
        "vllm_bare": lambda: engine.generate(prompts, sampling, use_tqdm=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, kind in kinds.items():
            engine.reset_prefix_cache()
            seconds[name].append(timed(kind))
    return speeds(seconds, len(samples))


def vllm_elsewhere(options: argparse.Namespace) -> dict[str, list[float]]:
    """In its own environment, after everything else, so that nothing competes with anything."""
    if not VLLM_PYTHON.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "vllm.json"
        command = [VLLM_PYTHON, __file__, "--only-vllm", "--model", options.model]
        command += ["--pages", str(options.pages), "--repeats", str(options.repeats)]
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ}
        subprocess.run([*command, "--json", output], env=environment, check=True)
        figures: dict[str, list[float]] = json.loads(output.read_text())
        return figures


if __name__ == "__main__":
    main()
