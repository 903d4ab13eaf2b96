"""Exported logs are logs to inspect_ai itself, with every image that the model saw."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from operator import attrgetter
from pathlib import Path

from PIL import Image

from active_perception_r1.cli import main
from active_perception_r1.records import Episode
from tests.workflow import REPOSITORY, Workflow

READER = REPOSITORY / ".venv-inspect" / "bin" / "python"


def test_inspect_reads_every_episode_with_its_images(finished: Workflow, tmp_path: Path) -> None:
    results = finished.folder / "results" / "small"
    assert main(["export", str(results), "--to", "inspect", "--output", str(tmp_path)]) == 0

    command = [READER, Path(__file__).parent / "read.py", tmp_path]
    logs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    rows = json.loads((results / "leaderboard.json").read_text())
    by_entry = {(row["model"], f"small/{row['mode']}"): row for row in rows}
    assert {(log["model"], log["task"]) for log in logs} == by_entry.keys()
    for log in logs:
        row = by_entry[log["model"], log["task"]]
        lines = (results / f"predictions/{row['model']}/{row['mode']}.jsonl").read_text()
        episodes = sorted(map(Episode.from_json, lines.splitlines()), key=attrgetter("sample_id"))
        assert (log["status"], log["listed"]) == ("success", len(episodes))
        assert log["accuracy"] == row["accuracy"]
        assert [sample["id"] for sample in log["samples"]] == [e.sample_id for e in episodes]
        for sample, episode in zip(log["samples"], episodes, strict=True):
            assert sample["roles"].count("assistant") == len(episode.turns)
            sizes = [Image.open(io.BytesIO(base64.b64decode(i))).size for i in sample["images"]]
            assert sizes[1:] == list(episode.crop_sizes)
