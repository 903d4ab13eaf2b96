"""The pipeline under real Snakemake: what runs, what runs again, and what a user is told."""

from __future__ import annotations

import ast
import copy
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from active_perception_r1.config import ModelConfig, SyntheticDataset
from active_perception_r1.data.sources import download
from active_perception_r1.runtime.fingerprint import import_closure
from tests.workflow import REPOSITORY, Workflow

Config = dict[str, Any]


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    return Workflow(tmp_path)


# What is planned.


def test_the_demo_trains_and_evaluates_two_models_in_six_modes(workflow: Workflow) -> None:
    assert workflow.planned("--config", "study=demo") == {
        "download_dataset": 2,
        "sample_slice": 1,
        "grpo_data": 1,
        "grpo_train": 1,
        "infer": 12,
        "score": 12,
        "leaderboard": 1,
        "accuracy_figure": 1,
        "learning_curve": 1,
    }


def test_another_study_of_the_file_is_chosen_by_name(workflow: Workflow) -> None:
    assert workflow.planned("--config", "study=docvqa") == {
        "download_dataset": 1,
        "sample_slice": 1,
        "infer": 3,
        "score": 3,
        "leaderboard": 1,
        "accuracy_figure": 1,
    }


def test_inference_and_training_ask_for_the_gpus_of_the_model(workflow: Workflow) -> None:
    workflow.configure({"models": {"tiny-zoom-vlm": {"gpus": 3}}})
    plan = workflow.run("--dry-run").stdout
    jobs = [job for job in plan.split("\nrule ") if "gpu=3" in job]
    assert {job.split(":")[0] for job in jobs} == {"infer", "grpo_train"}
    assert len(jobs) == 13


# What a user is told.


def test_a_wrong_key_stops_with_one_line(workflow: Workflow) -> None:
    workflow.configure({"studies": {"demo": {"mods": ["active"]}}})
    done = workflow.run("--dry-run")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "error: configuration: studies.demo.mods: unknown key; did you mean 'modes'?"
    )
    assert "Traceback" not in done.stdout


def test_an_unknown_study_stops_with_one_line(workflow: Workflow) -> None:
    done = workflow.run("--dry-run", "--config", "study=dem")
    assert done.stdout.splitlines()[-1] == (
        "error: configuration: study: 'dem' is not defined; did you mean 'demo'?"
    )


def test_results_that_cannot_be_written_stop_with_one_line(workflow: Workflow) -> None:
    (workflow.folder / "results").write_text("a file, not a folder")
    done = workflow.run("--dry-run")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "error: results: not a folder that can be written to"


def test_a_missing_dataset_file_is_named(workflow: Workflow) -> None:
    dataset = {"source": "parquet", "path": "none.parquet"}
    workflow.configure(
        {
            "study": "mine",
            "studies": {
                "mine": {"dataset": dataset, "models": ["tiny-zoom-vlm"], "modes": ["active"]}
            },
        }
    )
    done = workflow.run("--dry-run")
    assert done.returncode == 1
    assert "Missing input files for rule download_dataset" in done.stdout
    assert "none.parquet" in done.stdout


# What runs: one small study from a parquet file through training to the leaderboard.


def small_study(model: ModelConfig) -> Config:
    return {
        "study": "small",
        "studies": {
            "small": {
                "dataset": {"source": "parquet", "path": "pages.parquet"},
                "slice": {"split": "test", "samples": 12, "seed": 1},
                "models": ["tiny", "tiny+grpo"],
                "modes": ["baseline", "active"],
            }
        },
        "models": {"tiny": {**model.model_dump(mode="json"), "id": "untrained"}},
        "training": {
            "tiny+grpo": {
                "base": "tiny",
                "study": "small",
                "samples": 10,
                "steps": 3,
                "prompts_per_step": 2,
                "samples_per_prompt": 2,
            }
        },
    }


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, untrained_model: ModelConfig
) -> tuple[Workflow, Config]:
    """A finished run of the small study; tests leave it as they find it."""
    workflow = Workflow(tmp_path_factory.mktemp("study"))
    pages = SyntheticDataset(source="synthetic", questions={"all": 24})
    download(pages, "all", workflow.folder / "pages.parquet")
    shutil.copytree(untrained_model.id, workflow.folder / "untrained")
    config = small_study(untrained_model)
    workflow.configure(config)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    return workflow, config


def test_a_study_from_one_file_runs_through_to_a_leaderboard(
    finished: tuple[Workflow, Config],
) -> None:
    results = finished[0].folder / "results" / "small"
    rows = json.loads((results / "leaderboard.json").read_text())
    assert [(row["model"], row["mode"], row["n"]) for row in rows] == [
        ("tiny", "baseline", 12),
        ("tiny", "active", 12),
        ("tiny+grpo", "baseline", 12),
        ("tiny+grpo", "active", 12),
    ]
    assert rows[3]["p_base"] is not None  # It is compared with the model it was trained from.
    steps = (results / "training" / "tiny+grpo" / "metrics.jsonl").read_text().splitlines()
    assert len(steps) == 3
    assert {path.name for path in (results / "report").iterdir()} == {
        "accuracy.svg",
        "learning_curve.tiny+grpo.svg",
    }


def test_a_finished_study_has_nothing_to_do(finished: tuple[Workflow, Config]) -> None:
    done = finished[0].run()
    assert "Nothing to be done" in done.stdout


AFTER_LEADERBOARD = {"leaderboard": 1, "accuracy_figure": 1}
AFTER_SLICE = {
    "grpo_data": 1,
    "grpo_train": 1,
    "learning_curve": 1,
    "infer": 4,
    "score": 4,
    **AFTER_LEADERBOARD,
}

EDITS: dict[str, tuple[Callable[[Config], object], dict[str, int]]] = {
    "nothing": (lambda config: None, {}),
    "a study that is not chosen": (
        lambda config: config["studies"].update(other=copy.deepcopy(config["studies"]["small"])),
        {},
    ),
    "a model that no study names": (
        lambda config: config["models"].update(other=config["models"]["tiny"]),
        {},
    ),
    "the reward of the study": (
        lambda config: config["studies"]["small"].update(reward={"correct_weight": 0.2}),
        {"score": 4, **AFTER_LEADERBOARD},
    ),
    "a new mode": (
        lambda config: config["studies"]["small"]["modes"].append("oracle"),
        {"infer": 2, "score": 2, **AFTER_LEADERBOARD},
    ),
    "one model less": (
        lambda config: config["studies"]["small"]["models"].remove("tiny+grpo"),
        AFTER_LEADERBOARD,
    ),
    "the steps of the training run": (
        lambda config: config["training"]["tiny+grpo"].update(steps=4),
        {"grpo_train": 1, "learning_curve": 1, "infer": 2, "score": 2, **AFTER_LEADERBOARD},
    ),
    "the prompts of the model": (
        lambda config: config["models"]["tiny"].update(prompts="standard"),
        {"grpo_train": 1, "learning_curve": 1, "infer": 4, "score": 4, **AFTER_LEADERBOARD},
    ),
    "the seed of the slice": (
        lambda config: config["studies"]["small"]["slice"].update(seed=2),
        {"sample_slice": 1, **AFTER_SLICE},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_configuration_reruns_what_it_concerns_and_no_more(
    edit: str, finished: tuple[Workflow, Config]
) -> None:
    workflow, config = finished
    apply, expected = EDITS[edit]
    edited = copy.deepcopy(config)
    apply(edited)
    workflow.configure(edited)
    try:
        assert workflow.planned() == expected
    finally:
        workflow.configure(config)


def test_touching_every_file_reruns_nothing(finished: tuple[Workflow, Config]) -> None:
    workflow, _ = finished
    files = [path for path in workflow.folder.rglob("*") if ".snakemake" not in path.parts]
    for path in files:
        os.utime(path)
    assert workflow.planned() == {}


def test_other_weights_rerun_the_model_and_what_was_trained_from_it(
    finished: tuple[Workflow, Config],
) -> None:
    workflow, _ = finished
    note = workflow.folder / "untrained" / "note.txt"
    note.write_text("another model")
    expected = {"grpo_train": 1, "learning_curve": 1, "infer": 4, "score": 4, **AFTER_LEADERBOARD}
    try:
        assert workflow.planned() == expected
    finally:
        note.unlink()


def test_a_lost_prediction_is_made_again_alone(
    finished: tuple[Workflow, Config], tmp_path: Path
) -> None:
    workflow = Workflow(tmp_path / "copy")
    shutil.copytree(finished[0].folder, workflow.folder)
    results = workflow.folder / "results" / "small"
    lost = results / "predictions" / "tiny" / "baseline.jsonl"
    before = [json.loads(line)["answer"] for line in lost.read_text().splitlines()]
    lost.unlink()
    assert workflow.planned() == {"infer": 1, "score": 1, **AFTER_LEADERBOARD}
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert [json.loads(line)["answer"] for line in lost.read_text().splitlines()] == before
    assert workflow.planned() == {}


def test_a_model_that_is_not_there_costs_only_its_own_jobs(
    finished: tuple[Workflow, Config], tmp_path: Path
) -> None:
    workflow, config = Workflow(tmp_path / "copy"), copy.deepcopy(finished[1])
    shutil.copytree(finished[0].folder, workflow.folder)
    config["models"]["lost"] = {**config["models"]["tiny"], "id": "models/lost/here"}
    config["studies"]["two"] = {
        **config["studies"]["small"],
        "models": ["lost", "tiny"],
        "modes": ["baseline"],
    }
    workflow.configure({**config, "study": "two"})
    done = workflow.run()
    assert done.returncode == 1
    assert "error: model 'models/lost/here'" in done.stdout
    assert "Traceback" not in done.stdout
    assert (workflow.folder / "results/two/scores/tiny/baseline.parquet").exists()


# Environments.

STAGES_OF_ENV = {
    "data": ["data.sources", "data.slices", "config"],
    "models": ["models.infer", "training.grpo", "models.tiny.train", "config"],
    "scoring": ["scoring.score", "scoring.leaderboard", "config"],
    "report": ["report.figures"],
    "train": [
        "training.verl",
        "rollout.active_perception_agent",
        "rollout.episode_reward",
        "config",
    ],
}
OWN_STACK = {"train"}  # pinned to what verl was released with; `make check-envs` resolves it


def pins_of(env: str) -> set[str]:
    spec = yaml.safe_load((REPOSITORY / "envs" / f"{env}.yaml").read_text())
    (pip,) = [entry["pip"] for entry in spec["dependencies"] if isinstance(entry, dict)]
    return set(pip)


def third_party_packages(modules: list[str]) -> set[str]:
    """Names on the package index of what the code behind `modules` imports."""
    files = {
        path
        for module in modules
        for path in import_closure(f"active_perception_r1.{module}").values()
    }
    imported: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    part_of_pydantic = {"pydantic_core", "typing_extensions"}
    outside = imported - sys.stdlib_module_names - part_of_pydantic - {"active_perception_r1"}
    index = packages_distributions()
    found = {name for module in outside for name in index.get(module, [module])}
    return {name.lower().replace("_", "-") for name in found}


@pytest.mark.parametrize("env", STAGES_OF_ENV)
def test_an_environment_has_what_its_stages_import_at_the_versions_of_the_lock(env: str) -> None:
    pins = pins_of(env)
    if env not in OWN_STACK:
        assert pins <= set((REPOSITORY / "requirements.lock").read_text().splitlines())
    names = {re.split(r"\[|==", pin)[0] for pin in pins}
    assert third_party_packages(STAGES_OF_ENV[env]) <= names


def test_every_environment_gets_the_package_itself() -> None:
    for env in (REPOSITORY / "envs").glob("*.yaml"):
        assert env.with_suffix(".post-deploy.sh").exists()
    assert {env.stem for env in (REPOSITORY / "envs").glob("*.yaml")} == STAGES_OF_ENV.keys()
