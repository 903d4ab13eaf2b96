"""The profiles: what is asked of Slurm, as far as its plugin tells without a cluster."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from tests.workflow import REPOSITORY, Workflow

COMMON = ("rerun-incomplete", "keep-going", "max-checksum-file-size", "show-failed-logs")


def profile(name: str) -> dict[str, Any]:
    text = (REPOSITORY / "profiles" / name / "config.yaml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.safe_load(text)
    return options


def test_the_cluster_profile_replaces_the_default_one_without_losing_an_option() -> None:
    default = profile("default")
    assert default.keys() == set(COMMON)
    assert {key: profile("slurm")[key] for key in COMMON} == default


@pytest.mark.slow
def test_the_demo_can_be_planned_for_a_cluster(tmp_path: Path, programs: Path) -> None:
    workflow = Workflow(tmp_path, programs=programs)
    done = workflow.run("--dry-run", "--workflow-profile", str(REPOSITORY / "profiles" / "slurm"))
    assert done.returncode == 0, done.stdout
    inference = done.stdout.split("\nrule infer:")[1].split("\n\n")[0]
    assert "mem_mb=64000" in inference
    assert "runtime=720" in inference


def job(gpus: int) -> Any:
    """As the plugin sees an inference job of a model that takes so many GPUs."""
    resources = {"gpu": gpus, **profile("slurm")["set-resources"]["infer"]}
    found = SimpleNamespace(get=resources.get, **resources)
    return SimpleNamespace(resources=found, threads=2, is_group=lambda: False)


@pytest.mark.parametrize(("gpus", "asked"), [(0, ""), (1, " --gpus=1"), (4, " --gpus=4")])
def test_slurm_is_asked_for_the_gpus_of_the_model(gpus: int, asked: str) -> None:
    assert set_gres_string(job(gpus)) == asked


def test_an_inference_job_is_submitted_with_the_limits_of_the_profile() -> None:
    about = {"run_uuid": "run", "slurm_logfile": "log", "comment_str": "infer", "workdir": "."}
    command = get_submit_command(job(1), {**about, "account": "", "partition": ""})
    assert command.startswith("sbatch ")
    assert {"--mem 64000", "-t 720"} <= set(re.findall(r"--mem \d+|-t \d+", command))
