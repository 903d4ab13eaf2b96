"""Snakemake's own environments and containers (`--sdm conda`, `apptainer`), without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_conda import install_fake_conda
from tests.workflow import Workflow, copy_of_repository

SLICE = "results/demo/slice/test.parquet"


@pytest.fixture
def workflow(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    folder = tmp_path / "checkout"
    folder.mkdir()
    bin_folder = install_fake_conda(tmp_path / "conda")
    (bin_folder / "snakemake").symlink_to(programs / "snakemake")
    monkeypatch.setenv("FAKE_CONDA_ROOT", str(bin_folder.parent))
    workflow = Workflow(folder, copy_of_repository(folder), programs=bin_folder)
    dataset = {"questions": {"train": 6, "test": 6}}
    workflow.configure({"studies": {"demo": {"dataset": dataset, "slice": {"samples": 4}}}})
    return workflow


@pytest.mark.slow
def test_jobs_run_in_the_environment_of_their_rule_which_holds_the_package(
    workflow: Workflow,
) -> None:
    done = workflow.run(SLICE, "--sdm", "conda")
    assert done.returncode == 0, done.stdout
    (environment,) = (
        path for path in (workflow.folder / ".snakemake" / "conda").iterdir() if path.is_dir()
    )
    spec: dict[str, Any] = json.loads((environment / "spec.json").read_text())
    assert "python=3.11.7" in spec["dependencies"]
    jobs = (environment / "jobs.log").read_text().splitlines()
    assert [job.split()[0] for job in jobs] == ["download", "sample-slice"]

    assert workflow.planned(SLICE, "--sdm", "conda") == {}
    pins = workflow.checkout / "envs" / "data.yaml"
    pins.write_text(pins.read_text().replace("pip=25.3", "pip=25.2"))
    assert workflow.planned(SLICE, "--sdm", "conda") == {"download_dataset": 1, "sample_slice": 1}


APPTAINER = """#!/bin/sh
[ "$1" = --version ] && echo "apptainer version 1.4.0" && exit
echo "$@" >> "$(dirname "$0")/../containers.log"
while [ "$1" != "$IMAGE" ]; do shift; done
shift
exec "$@"
"""


@pytest.mark.slow
def test_jobs_run_in_the_container_that_is_configured(
    workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "active.sif"
    image.touch()
    apptainer = tmp_path / "conda" / "bin" / "apptainer"
    apptainer.write_text(APPTAINER)
    apptainer.chmod(0o755)
    monkeypatch.setenv("IMAGE", str(image))
    workflow.configure({**workflow.config, "container": str(image)})
    done = workflow.run(SLICE, "--sdm", "apptainer")
    assert done.returncode == 0, done.stdout
    calls = (tmp_path / "conda" / "containers.log").read_text()
    assert [word in calls for word in ("active-perception download", "sample-slice")] == [True] * 2
    assert workflow.planned(SLICE, "--sdm", "apptainer") == {}
