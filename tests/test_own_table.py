"""From a table of one's own to a leaderboard, by six lines of configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from active_perception_r1.modes import MODES
from tests.benchmark_files import LETTERS, box_of_answer, options_of, pages
from tests.workflow import REPOSITORY, Workflow

QUESTIONS = 6
SIX_LINES = f"""\
studies:
  mine:
    dataset: {{source: file, path: mine.jsonl, columns: {{options: [A, B, C, D], answers: right, evidence: where}}, box_format: xywh}}
    task: multiple_choice
    models: [tiny-zoom-vlm]
    modes: [{", ".join(MODES)}]
"""  # noqa: E501


@pytest.mark.slow
def test_pages_with_options_and_boxes_are_asked_about_in_all_modes(
    tmp_path: Path, programs: Path
) -> None:
    with (tmp_path / "mine.jsonl").open("w") as table:
        for number, question in enumerate(pages(QUESTIONS)):
            (tmp_path / "pages").mkdir(exist_ok=True)
            (tmp_path / "pages" / f"{number}.png").write_bytes(question.image)
            row = {
                "image": f"pages/{number}.png",
                "question": question.question,
                **dict(zip(LETTERS, options_of(question), strict=True)),
                "right": "A",
                "where": [box_of_answer(question)],
            }
            table.write(json.dumps(row) + "\n")
    (tmp_path / "models").symlink_to(REPOSITORY / "models")
    (tmp_path / "mine.yaml").write_text(SIX_LINES)
    assert len(SIX_LINES.splitlines()) == 6

    done = Workflow(tmp_path, programs=programs).run("--config", "study=mine")

    assert done.returncode == 0, done.stdout
    about = json.loads((tmp_path / "results/mine/dataset/test.json").read_text())
    assert (about["box_unit"], about["box_unit_set_by"]) == ("pixels", "data")
    rows = json.loads((tmp_path / "results/mine/leaderboard.json").read_text())
    assert [row["mode"] for row in rows] == list(MODES)
    assert all((row["n"], row["n_errors"]) == (QUESTIONS, 0) for row in rows)
    assert all(row["choice"] is not None and row["exact_match"] is None for row in rows)
