"""What people have who do not have Linux: the same results."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from active_perception_r1.config import ModelConfig
from active_perception_r1.models.keeper import RUN
from active_perception_r1.models.kept_model import can_be_kept
from tests.small_study import results_of, set_up_small_study
from tests.workflow import REPOSITORY, Workflow

WITHOUT_LINUX = REPOSITORY / "tests" / "without_linux"


@dataclass(frozen=True, slots=True)
class OtherSystem(Workflow):
    """A workflow whose jobs have nothing that Linux alone has."""

    def environment(self) -> dict[str, str]:
        given = Workflow.environment(self)
        return given | {"PYTHONPATH": os.pathsep.join((given["PYTHONPATH"], str(WITHOUT_LINUX)))}


@pytest.mark.slow
def test_a_study_trains_and_measures_as_on_linux_and_reports(
    finished: Workflow, untrained_model: ModelConfig, tmp_path: Path
) -> None:
    other = OtherSystem(tmp_path, set_up_small_study(tmp_path, untrained_model).checkout)
    config = other.config
    config["studies"]["small"] |= {"models": ["tiny+grpo"], "modes": ["active"]}
    other.configure(config)
    done = other.run()
    assert done.returncode == 0, done.stdout
    made, on_linux = results_of(other), results_of(finished)
    assert {"leaderboard.json", "report/index.html"} <= made.keys()
    same = [
        name for name in made if name.startswith(("slice/", "predictions/", "scores/", "training/"))
    ]
    assert {name: made[name] for name in same} == {name: on_linux[name] for name in same}


def test_models_are_loaded_by_each_job_where_forks_are_not_safe(
    untrained_model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN, str(os.getpid()))
    assert can_be_kept(untrained_model)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not can_be_kept(untrained_model)
