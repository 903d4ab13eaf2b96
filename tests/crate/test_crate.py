"""Pinned results, and the repository, are RO-Crates, say their profiles' own validators."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from active_perception_r1.config import parse_config
from active_perception_r1.report.provenance.pin import pin
from active_perception_r1.report.provenance.workflow_crate import (
    FILES,
    FOLDERS,
    write_workflow_crate,
)
from tests.finished_study import CONFIG, finish_study
from tests.workflow import REPOSITORY

VALIDATOR = REPOSITORY / ".venv-crate" / "bin" / "python"


RUN = "workflow-run-crate-0.5"
WORKFLOW = "workflow-ro-crate-1.0"


def validate(folder: Path, profile: str) -> subprocess.CompletedProcess[str]:
    command = [VALIDATOR, Path(__file__).parent / "validate.py", folder, profile]
    return subprocess.run(command, capture_output=True, text=True)


def assert_valid(folder: Path, profile: str) -> None:
    done = validate(folder, profile)
    assert done.stdout.endswith(" checks, 0 requirements violated\n"), done.stdout + done.stderr
    assert done.returncode == 0


def test_pinned_results_violate_no_requirement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = finish_study(parse_config(CONFIG).of_study("s"))
    folder = pin(results, REPOSITORY, Path("pinned"))
    assert_valid(folder, RUN)
    metadata = folder / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"CreateAction"', '"Thing"'))
    assert validate(folder, RUN).returncode == 1


def test_the_repository_violates_no_requirement(tmp_path: Path) -> None:
    for name in ("Snakefile", *FILES):
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    write_workflow_crate(tmp_path, "2026-11-26T12:00:00+00:00")
    assert_valid(tmp_path, WORKFLOW)
    metadata = tmp_path / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"ComputationalWorkflow"', '"Thing"'))
    assert validate(tmp_path, WORKFLOW).returncode == 1
