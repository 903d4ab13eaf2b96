"""The report's pictures, for one model and for eight, from files of real shape."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from active_perception_r1.data.samples import write_samples
from active_perception_r1.errors import DataError
from active_perception_r1.modes import ACTIVE
from active_perception_r1.records import Evidence, ToolStatus
from active_perception_r1.report.answers import Answers, Entry
from active_perception_r1.report.figures import reward, termination_status, zoom_map
from active_perception_r1.report.figures._curves import read_curves
from active_perception_r1.report.figures.zoom_map import shares
from active_perception_r1.rewards.active_vision_reward import TERMS, RewardConfig
from active_perception_r1.tasks import DEFAULT_TASK
from tests.drawn import texts
from tests.leaderboard_rows import a_row
from tests.scripted import AWAY, EVIDENCE, MODEL, ZOOM, make_sample, run

ANSWER = "<answer>42</answer>"


@pytest.mark.parametrize("count", [1, 8])
def test_every_row_has_its_bar_and_only_what_happened_a_legend(count: int, tmp_path: Path) -> None:
    output = tmp_path / "statuses.svg"
    models = [f"model-{i}" for i in range(count)]
    termination_status.draw([a_row(model) for model in models], output)
    assert {f"{model}  active" for model in models} <= texts(output)
    assert {"answered", "no answer"} <= texts(output)
    assert "truncated" not in texts(output)


def test_every_status_is_drawn_and_looks_different_from_the_others(tmp_path: Path) -> None:
    output = tmp_path / "statuses.svg"
    row = a_row(tool_status={str(status): 1 for status in ToolStatus})
    termination_status.draw([row], output)
    assert {str(status).replace("_", " ") for status in ToolStatus} <= texts(output)
    assert len(set(termination_status.LOOKS.values())) == len(ToolStatus)


def test_terms_of_the_reward_that_a_run_has_are_drawn(tmp_path: Path) -> None:
    metrics, output = tmp_path / "metrics.jsonl", tmp_path / "reward.svg"
    steps = ({"step": 1, "reward": 0.1, "faults": 0.1, "no_zoom": 0}, {"step": 2, "reward": 0.2})
    metrics.write_text("".join(json.dumps(step) + "\n" for step in steps))
    reward.draw(read_curves(metrics), output)
    assert {TERMS["reward"], TERMS["faults"]} <= texts(output)
    assert texts(output).isdisjoint({TERMS["process"], TERMS["no_zoom"]})
    metrics.write_text('{"step": 1, "loss": 0.1}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl: none of the metrics reward, "):
        reward.draw(read_curves(metrics), output)


def test_a_crop_on_the_evidence_lights_up_the_middle_of_the_map(tmp_path: Path) -> None:
    path = tmp_path / "active.jsonl"
    path.write_text("".join(run([call, ANSWER]).to_json() + "\n" for call in (ZOOM, AWAY)))
    map_, crops = shares(path, {"sample-0": [EVIDENCE[0].box]})
    middle = len(map_) // 2
    assert crops == 2
    assert map_[middle, middle] == 0.5  # ZOOM shows it, AWAY does not.
    assert map_[0, -1] == 0
    assert np.all((map_ >= 0) & (map_ <= 1))


def test_the_nearest_of_several_boxes_is_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "active.jsonl"
    path.write_text(run([AWAY, ANSWER]).to_json() + "\n")
    near = Evidence("answer", run([AWAY, ANSWER]).steps[0].executed)  # type: ignore[arg-type]
    map_, _ = shares(path, {"sample-0": [EVIDENCE[0].box, near.box]})
    assert map_[len(map_) // 2, len(map_) // 2] == 1


def answers(slice_file: Path, predictions: Path, models: int) -> Answers:
    entries = [Entry(f"model-{i}", ACTIVE, MODEL, predictions) for i in range(models)]
    return Answers("study", slice_file, entries, RewardConfig(), DEFAULT_TASK)


@pytest.mark.parametrize("models", [1, 5, 8])
def test_every_model_has_a_map(models: int, tmp_path: Path) -> None:
    path, slice_file = tmp_path / "active.jsonl", tmp_path / "slice.parquet"
    path.write_text(run([ZOOM, ANSWER]).to_json() + "\n")
    write_samples(slice_file, [make_sample()])
    output = tmp_path / "map.svg"
    zoom_map.draw(answers(slice_file, path, models), output)
    assert {f"model-{i}" for i in range(models)} <= texts(output)


def test_without_evidence_there_is_no_map_but_a_note(tmp_path: Path) -> None:
    path, slice_file = tmp_path / "active.jsonl", tmp_path / "slice.parquet"
    path.write_text(run([ZOOM, ANSWER]).to_json() + "\n")
    write_samples(slice_file, [make_sample(evidence=())])
    zoom_map.draw(answers(slice_file, path, 1), tmp_path / "map.svg")
    assert any("No sample has known evidence" in text for text in texts(tmp_path / "map.svg"))
