"""A gallery made from real episodes of a scripted model, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from active_perception_r1.data.samples import write_samples
from active_perception_r1.modes import ACTIVE, BASELINE, BLANK_CROP, ORACLE, SHUFFLED_CROP
from active_perception_r1.records import Sample
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.gallery.episodes import Data, gallery_data
from active_perception_r1.rewards.active_vision_reward import RewardConfig
from active_perception_r1.tasks import DEFAULT_TASK
from tests.scripted import AWAY, MODEL, ZOOM, make_sample, run

ANSWER = "<answer>42</answer>"
MODES = (BASELINE, ACTIVE, BLANK_CROP, SHUFFLED_CROP, ORACLE)


def replies(model: str, mode: str, answer: str) -> list[str]:
    """`before` looks away and is wrong, `after` looks well and is right."""
    if mode in (BASELINE, ORACLE):
        return [answer]
    return [AWAY, "<answer>7</answer>"] if model == "before" else [ZOOM, answer]


def make_gallery(
    folder: Path, samples: list[Sample] | None = None, answer: str = ANSWER, limit: int = 1000
) -> Data:
    """Two models in five modes on two questions, or on `samples`."""
    asked = samples or [make_sample(0), make_sample(7)]
    write_samples(folder / "slice.parquet", asked)
    entries = []
    for model in ("before", "after"):
        for mode in MODES:
            path = folder / f"{model}-{mode}.jsonl"
            episodes = (run(replies(model, mode, answer), mode, sample) for sample in asked)
            path.write_text("".join(e.to_json() + "\n" for e in episodes), encoding="utf-8")
            entries.append(Entry(model, mode, MODEL, path))
    return gallery_data(answers(folder / "slice.parquet", entries), limit)


def answers(slice_file: Path, entries: Sequence[Entry]) -> Answers:
    return Answers("study", slice_file, entries, RewardConfig(), DEFAULT_TASK)
