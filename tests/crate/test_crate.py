"""Pinned results are a Workflow Run RO-Crate, says the profile's own validator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from active_perception_r1.config import parse_config
from active_perception_r1.report.provenance.pin import pin
from tests.finished_study import CONFIG, finish_study
from tests.workflow import REPOSITORY

VALIDATOR = REPOSITORY / ".venv-crate" / "bin" / "python"


def validate(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [VALIDATOR, Path(__file__).parent / "validate.py", folder]
    return subprocess.run(command, capture_output=True, text=True)


def test_pinned_results_violate_no_requirement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = finish_study(parse_config(CONFIG).of_study("s"))
    folder = pin(results, REPOSITORY, Path("pinned"))
    done = validate(folder)
    assert done.stdout.endswith(" checks, 0 requirements violated\n"), done.stdout + done.stderr
    assert done.returncode == 0
    metadata = folder / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"CreateAction"', '"Thing"'))
    assert validate(folder).returncode == 1
