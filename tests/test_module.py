"""The pipeline as a module of somebody else's workflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from active_perception_r1.config import ModelConfig
from tests.small_study import set_up_small_study
from tests.workflow import REPOSITORY, Workflow, job_counts

FOREIGN = f"""
configfile: "mine.yaml"


module active_perception:
    snakefile:
        "{REPOSITORY}/Snakefile"
    config:
        config


use rule * from active_perception as ap_*


rule best:
    default_target: True
    input:
        board="results/small/leaderboard.json",
    output:
        "best.txt",
    shell:
        "grep -c accuracy {{input.board}} > {{output}}"
"""


@pytest.mark.slow
def test_another_workflow_has_its_leaderboard_made_and_the_pipeline_takes_it_for_its_own(
    tmp_path: Path, untrained_model: ModelConfig, programs: Path
) -> None:
    workflow = set_up_small_study(tmp_path, untrained_model, programs)
    config = workflow.config
    config["studies"]["small"] |= {"models": ["tiny"], "modes": ["baseline"]}
    workflow.configure(config)
    (tmp_path / "Foreign").write_text(FOREIGN)

    done = workflow.run("--snakefile", "Foreign")

    assert done.returncode == 0, done.stdout
    assert job_counts(done.stdout)["ap_infer"] == 1
    rows = json.loads((tmp_path / "results/small/leaderboard.json").read_text())
    assert [(row["model"], row["mode"]) for row in rows] == [("tiny", "baseline")]
    assert (tmp_path / "best.txt").read_text().strip() != "0"
    assert Workflow(tmp_path, programs=programs).planned("results/small/leaderboard.json") == {}
