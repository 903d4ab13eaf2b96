"""One model in some modes on a few questions, without Snakemake: a first look at a model.

The stages are those of the pipeline, so the numbers mean the same; only their order is fixed here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from active_perception_r1.config import (
    Dataset,
    GpuConfig,
    ModelConfig,
    SliceConfig,
    load_config,
    parse_section,
    undefined,
)
from active_perception_r1.config.dataset_argument import dataset_meant_by
from active_perception_r1.data.download import download
from active_perception_r1.data.slices import sample_slice
from active_perception_r1.errors import UserError
from active_perception_r1.modes import MODES
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.runtime.gpu import usable_devices
from active_perception_r1.runtime.lease import lease
from active_perception_r1.scoring.leaderboard import leaderboard
from active_perception_r1.scoring.leaderboard_row import LeaderboardRow, as_json
from active_perception_r1.scoring.score import score
from active_perception_r1.scoring.tables import as_markdown, as_text
from active_perception_r1.storage.files import atomic, write_json
from active_perception_r1.tasks import TASKS

MAX_ERROR_SHARE = 0.05  # As a study's default.


@dataclass(frozen=True, slots=True)
class BenchmarkSettings:
    """What to try.

    Attributes:
        model_id: name of a model in `config`, or a folder, or a hub id.
        modes: how it is asked, by name.
        prompts: the words in which it is asked, by name; None for those of the entry.
        task: what the questions ask for, by name; None for what the dataset's format says.
        dataset: what a source is `meant_by`: `synthetic`, a table, a folder of them, or a hub id.
        table: further keys of the dataset's section, such as `columns`.
        view_pixels, zoom_syntax: how a model that is not in `config` is shown pages and crops, and
            how it asks for them.
        config: configuration file to look up `model_id` in; may be missing.
        backend, base_url: engine instead of that of the entry, and the server of `openai`.
    """

    model_id: str
    samples: int
    modes: Sequence[str]
    dataset: str
    split: str
    seed: int
    view_pixels: int
    zoom_syntax: str
    config: Path
    allow_busy_gpu: bool
    table: Mapping[str, Any] = field(default_factory=dict)
    backend: str | None = None
    base_url: str | None = None
    task: str | None = None
    prompts: str | None = None


def benchmark(settings: BenchmarkSettings, output: Path) -> None:
    """Run all modes; write `output`/benchmark.json and .md and print the table.

    What the stages write is kept in `output`/stages.

    Raises:
        UserError: the model is unknown, its GPU is busy, or a stage cannot go on.
    """
    for mode in settings.modes:
        by = MODES[mode].goes_by
        if by and by not in settings.modes:
            raise UserError(f"--modes: {mode} goes by the episodes of {by}; add {by}")
    model, wanted = resolve_model(settings), _slice(settings)
    dataset = resolve_dataset(settings)
    task = settings.task or dataset.task
    stages = output / "stages"
    slice_path = _draw(dataset, wanted, task, stages)
    with lease(model.gpus, _policy(settings), f"benchmark {settings.model_id}"):
        scores = _play(settings, model, task, slice_path, stages)
    rows = leaderboard(scores, stages, settings.model_id, started_from={})
    run = {**asdict(settings), "task": task, "config": str(settings.config)}
    about = {"run": run, "model": model.model_dump(mode="json")}
    write_json(output / "benchmark.json", {**about, "rows": [as_json(row) for row in rows]})
    with atomic(output / "benchmark.md") as part:
        part.write_text(_page(about, rows), encoding="utf-8")
    print(as_text(rows))


def _play(
    settings: BenchmarkSettings, model: ModelConfig, task: str, slice_path: Path, stages: Path
) -> dict[tuple[str, str], Path]:
    """Tables of scores by model and mode."""
    from active_perception_r1.models.infer import infer  # torch: not before the GPUs are chosen

    scores: dict[tuple[str, str], Path] = {}
    # A mode that goes by another comes after it.
    for mode in sorted(settings.modes, key=lambda mode: bool(MODES[mode].goes_by)):
        predictions = stages / "predictions" / f"{mode}.jsonl"
        table = stages / "scores" / f"{mode}.parquet"
        partial = stages / ".partial" / f"{mode}.jsonl"
        by = MODES[mode].goes_by
        earlier = stages / "predictions" / f"{by}.jsonl" if by else None
        infer(
            *(slice_path, settings.model_id, model, mode, predictions, partial),
            task=task,
            earlier=earlier,
        )
        score(predictions, slice_path, RewardConfig(), table, MAX_ERROR_SHARE, task)
        scores[settings.model_id, mode] = table
    return scores


def _policy(settings: BenchmarkSettings) -> GpuConfig:
    configured = load_config(settings.config).gpu if settings.config.exists() else GpuConfig()
    allow = settings.allow_busy_gpu or configured.allow_busy_gpu
    return configured.model_copy(update={"allow_busy_gpu": allow})


def resolve_model(settings: BenchmarkSettings) -> ModelConfig:
    """The entry of a model in the configuration, or one with defaults for a folder or hub id.

    The latter runs on one GPU where there is any.

    Raises:
        UserError: it is none of these, or an entry with these values cannot be used.
    """
    name, known = settings.model_id, []
    if settings.config.exists():
        config = load_config(settings.config)
        known = [*config.models, *config.training]
        if name in known:
            entry = config.model(name).model_dump(mode="json")
            return parse_section(ModelConfig, json.dumps(entry | _said(settings)))
    if not settings.base_url and not Path(name).is_dir() and name.count("/") != 1:
        raise UserError(f"--model-id: {undefined(name, known)} (nor is it a folder or hub id)")
    view = {"max_pixels": settings.view_pixels}
    entry = {
        "id": name,
        "gpus": min(1, len(usable_devices())),
        "zoom_syntax": settings.zoom_syntax,
        "first_view": view,
        "crop": view,
    }
    return parse_section(ModelConfig, json.dumps(entry | _said(settings)))


def _said(settings: BenchmarkSettings) -> dict[str, Any]:
    """What the options say of a model, as keys of its entry."""
    prompts = {"prompts": settings.prompts} if settings.prompts else {}
    return prompts | _engine(settings)


def _engine(settings: BenchmarkSettings) -> dict[str, Any]:
    if settings.base_url:
        key = {"api_key_env": "OPENAI_API_KEY"} if "OPENAI_API_KEY" in os.environ else {}
        server = {"base_url": settings.base_url, **key}
        return {"backend": "openai", "gpus": 0, "openai": server}
    return {"backend": settings.backend} if settings.backend else {}


def resolve_dataset(settings: BenchmarkSettings) -> Dataset:
    """The source that `settings.dataset` means.

    Raises:
        ConfigError: it means none, or a value cannot be used.
    """
    return dataset_meant_by(settings.dataset, settings.split, settings.samples, settings.table)


def _slice(settings: BenchmarkSettings) -> SliceConfig:
    entry = {"split": settings.split, "samples": settings.samples, "seed": settings.seed}
    return parse_section(SliceConfig, json.dumps(entry))


def _draw(dataset: Dataset, wanted: SliceConfig, task: str, stages: Path) -> Path:
    rows = stages / "dataset" / f"{wanted.split}.parquet"
    slice_path = stages / "slice" / f"{wanted.split}.parquet"
    download(dataset, wanted.split, rows)
    sample_slice(rows, wanted, slice_path, TASKS[task].shows_options)
    return slice_path


def _page(about: Mapping[str, Any], rows: Sequence[LeaderboardRow]) -> str:
    run, model = (json.dumps(about[key], indent=2) for key in ("run", "model"))
    table = as_markdown(rows, f"benchmark of {about['run']['model_id']}")
    return f"{table}\n## How it was run\n\n```json\n{run}\n```\n\n```json\n{model}\n```\n"
