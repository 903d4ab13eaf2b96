"""The tables, figures and gallery of a study, laid out as the pipeline leaves them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import yaml

from active_perception_r1.config import parse_config
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.report.exports.space import TABLES
from active_perception_r1.report.figures import accuracy
from active_perception_r1.report.finished import FinishedStudy
from tests.gallery_pages import make_gallery, make_training_gallery
from tests.leaderboard_rows import write_rows
from tests.test_page import ACTIVE, BASELINE, BLANK, ORACLE, diagnosis
from tests.workflow import REPOSITORY


def finished_report(results: Path) -> FinishedStudy:
    """The demo, as far as its report goes, in the folder `results/demo`."""
    folder = results / "demo"
    report = folder / "report"
    report.mkdir(parents=True)
    rows = [BASELINE, ACTIVE, BLANK, ORACLE]
    for name in TABLES:
        (folder / name).write_text("")
    write_rows(folder / "leaderboard.json", rows)
    (folder / "diagnosis.json").write_text(json.dumps({"rows": [asdict(diagnosis())]}))
    accuracy.draw(rows, report / "accuracy.svg")
    make_gallery(report, models={"after": "m"})
    make_training_gallery(report).rename(report / "gallery.tiny-zoom-vlm+grpo")
    (report / "gallery" / ".snakemake_timestamp").touch()
    config = parse_config(yaml.safe_load((REPOSITORY / "workflow_config.yaml").read_text()))
    return FinishedStudy(folder, StudyPlan(config, "demo"), {"digest": "d0"}, rows)
