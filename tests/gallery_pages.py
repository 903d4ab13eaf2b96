"""A gallery made from real episodes of a scripted model, for tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from active_perception_r1.data.samples import write_samples
from active_perception_r1.modes import ACTIVE, BASELINE, BLANK_CROP, ORACLE, SHUFFLED_CROP
from active_perception_r1.records import Sample
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.gallery.evaluation import gallery_of
from active_perception_r1.report.gallery.folder import write_gallery
from active_perception_r1.report.gallery.training import gallery_of_training
from active_perception_r1.rewards.active_vision_reward import RewardConfig, episode_reward
from active_perception_r1.tasks import DEFAULT_TASK
from tests.scripted import AWAY, MODEL, ZOOM, make_sample, run

ANSWER = "<answer>42</answer>"
MODES = (BASELINE, ACTIVE, BLANK_CROP, SHUFFLED_CROP, ORACLE)
STARTED_FROM = {"after": "before"}


def replies(model: str, mode: str, answer: str) -> list[str]:
    """`before` looks away and is wrong, `after` looks well and is right; blind, both are wrong."""
    if mode == BASELINE:
        return ["<answer>7</answer>"]
    if mode == ORACLE:
        return [answer]
    return [AWAY, "<answer>7</answer>"] if model == "before" else [ZOOM, answer]


def make_gallery(
    folder: Path,
    samples: list[Sample] | None = None,
    answer: str = ANSWER,
    models: Mapping[str, str] | None = None,
    study: str = "study",
    limit: int = 1000,
) -> Path:
    """The folder of a gallery of two models in five modes on two questions, or on `samples`.

    Args:
        models: what to call `before` and `after`, if not that.
    """
    asked = samples or [make_sample(0), make_sample(7)]
    write_samples(folder / "slice.parquet", asked)
    entries = []
    for model in ("before", "after"):
        for mode in MODES:
            path = folder / f"{model}-{mode}.jsonl"
            episodes = (run(replies(model, mode, answer), mode, sample) for sample in asked)
            path.write_text("".join(e.to_json() + "\n" for e in episodes), encoding="utf-8")
            entries.append(Entry((models or {}).get(model, model), mode, MODEL, path))
    gallery = gallery_of(answers(folder / "slice.parquet", entries, study), STARTED_FROM, limit)
    write_gallery(gallery, folder / "gallery")
    return folder / "gallery"


def make_training_gallery(folder: Path, steps: int = 3, limit: int = 1000) -> Path:
    """The folder of the gallery of a run with two groups of four episodes a step."""
    samples = [make_sample(0), make_sample(7)]
    write_samples(folder / "data.parquet", samples)
    plays = ([AWAY, "<answer>7</answer>"], [ZOOM, ANSWER], [ANSWER], ["<answer>8</answer>"])
    lines = []
    for step in range(1, steps + 1):
        for group, sample in enumerate(samples):
            for play in plays:
                episode = run(play, ACTIVE, sample)
                line = {
                    "step": step,
                    "group": group,
                    "reward": asdict(episode_reward(episode, sample)),
                    "episode": json.loads(episode.to_json()),
                }
                lines.append(json.dumps(line) + "\n")
    rollouts = folder / "rollouts.jsonl.gz"
    rollouts.write_bytes(gzip.compress("".join(lines).encode()))
    gallery = gallery_of_training(
        "m+grpo", MODEL, DEFAULT_TASK, rollouts, folder / "data.parquet", limit
    )
    write_gallery(gallery, folder / "gallery.m+grpo")
    return folder / "gallery.m+grpo"


def answers(slice_file: Path, entries: Sequence[Entry], study: str = "study") -> Answers:
    return Answers(study, slice_file, entries, RewardConfig(), DEFAULT_TASK)


def read_data(gallery: Path, name: str) -> dict[str, Any]:
    """What a file of data beside the page hands over."""
    script = (gallery / "data" / f"{name}.js").read_text(encoding="utf-8")
    start, end = f'receive("{name}", ', ");\n"
    assert script.startswith(start)
    assert script.endswith(end)
    found: dict[str, Any] = json.loads(json.loads(script[len(start) : -len(end)]))
    return found
