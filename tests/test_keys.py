"""The lists that say what decides a result are complete: of modules, and of the configuration."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from active_perception_r1.config import Config, ModelConfig, SliceConfig, load_config, parse_config
from active_perception_r1.config.decisive import Decisive, among
from active_perception_r1.config.engines import ENGINES
from active_perception_r1.config.kept import keep, kept_path
from active_perception_r1.config.plan import StudyPlan
from active_perception_r1.config.section import Section
from active_perception_r1.config.sources import SOURCES
from active_perception_r1.keys import JobKeys, Key, stages
from active_perception_r1.keys.stages import (
    MECHANISM,
    ROOT,
    Stage,
    file_of,
    imported,
    is_any_of,
)
from active_perception_r1.report.figures import FIGURES
from active_perception_r1.report.provenance.keys import figure_key, manifest_key, page_key
from active_perception_r1.storage.fingerprint import read_code
from tests.imports import entries_of
from tests.misbehaving_server import MODEL as SERVED
from tests.misbehaving_server import misbehaving_server
from tests.workflow import CONFIG, Workflow

SECTIONS: dict[str, type[Section]] = {
    "models": ModelConfig,
    "slice": SliceConfig,
    **{f"source {name}": section for name, section in SOURCES.items()},
    **{f"engine {name}": section for name, section in ENGINES.items()},
}
STAGES = {name: stage for name, stage in vars(stages).items() if isinstance(stage, Stage)}


def keys_of(section: type[BaseModel], above: str = "") -> Iterator[str]:
    """Its keys and those of the sections in it, by their whole names."""
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if inner:
            yield from keys_of(inner[0], f"{above}{name}.")
        else:
            yield above + name


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_of_the_configuration_decides_or_does_not(name: str) -> None:
    section = SECTIONS[name]
    decisive = section.decisive
    assert decisive is not None
    lists = (decisive.keys, decisive.mechanism, decisive.otherwise, decisive.added)
    for key in keys_of(section):
        assert sum(among(key, listed) for listed in lists) == 1, f"{key}: in none of the lists"
    known = list(keys_of(section))
    for listed in (key for keys in lists for key in keys):
        assert any(among(key, [listed]) for key in known), f"{listed}: no such key"


def test_a_key_that_came_later_counts_where_it_is_used() -> None:
    decisive = Decisive(("seed",), mechanism=("gpus",), added={"top_k": 0})
    assert decisive.of({"seed": 1, "gpus": 2, "top_k": 0, "new": 3}) == {"seed": 1}
    assert decisive.of({"seed": 1, "gpus": 2, "top_k": 5}) == {"seed": 1, "top_k": 5}


# Modules: what they import.


# Of modes they ask only whether there is a tool, not how an episode begins.
STATIC = sorted(STAGES.keys() - {"LEADERBOARD", "DIAGNOSIS"})
REGISTRIES = {package for stage in STAGES.values() for package in stage.entries}
EMPTY = read_code(ROOT / "storage" / "__init__.py").fingerprint


@pytest.mark.parametrize("name", STATIC)
def test_what_a_stage_imports_counts_or_is_mechanism(name: str) -> None:
    stage = STAGES[name]
    counted = set(stage.modules(entries_of(*stage.entries)))
    for module in counted:
        for other in imported(module):
            empty = read_code(file_of(other)).fingerprint == EMPTY
            assert empty or other in counted or is_any_of(other, (*MECHANISM, *REGISTRIES)), (
                f"{module} imports {other}, which is not taken in by stage {name}; add it to the"
                " stage, or to MECHANISM if it decides no result"
            )


def test_every_mechanism_is_a_module() -> None:
    known = {
        path.relative_to(ROOT)
        .with_suffix("")
        .as_posix()
        .replace("/", ".")
        .removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
    }
    for pattern in MECHANISM:
        assert any(is_any_of(module, [pattern]) for module in known), pattern


# Modules: what runs.


def commands_run(record: Path) -> dict[tuple[str, ...], set[str]]:
    """Modules whose functions ran, by command; what its worker processes ran is among them."""
    found: dict[tuple[str, ...], set[str]] = {}
    for file in record.iterdir():
        command, *files = file.read_text(encoding="utf-8").splitlines()
        ran = found.setdefault(tuple(json.loads(command)), set())
        ran |= {_module_of(path) for path in files}
    return found


def _module_of(path: str) -> str:
    name = (
        path.rpartition("/active_perception_r1/")[2].removesuffix(".py").removesuffix("/__init__")
    )
    return name.replace("/", ".")


def key_of(command: Sequence[str], folder: Path) -> Key:
    """Of the job that runs a command."""
    name, *words = command
    given = dict(itertools.pairwise(words))
    config = load_config(folder / given["--config"])
    keys, study, run = JobKeys(config), given.get("--study", ""), given.get("--run", "")
    plan = StudyPlan(config, study)
    match name:
        case "download":
            return keys.download_dataset(study, given["--split"])
        case "sample-slice":
            return keys.sample_slice(study, "")
        case "grpo-data":
            return keys.grpo_data(study, run)
        case "train":
            return keys.grpo_train(study, run)
        case "infer":
            return keys.infer(study, given["--model"], given["--mode"])
        case "score":
            return keys.score(study, "", "")
        case "leaderboard":
            return keys.leaderboard(study)
        case "diagnose":
            return keys.diagnosis(study)
        case "figure":
            return figure_key(words[0], FIGURES[words[0]], plan)
        case "gallery":
            return keys.gallery(study)
        case "training-gallery":
            return keys.training_gallery(study, run)
        case "page":
            return page_key(plan)
        case "manifest":
            return manifest_key(plan)
    raise ValueError(f"{name}: no command of a job")


def uncounted(record: Path, folder: Path) -> dict[str, set[str]]:
    """For each command, what ran of it and neither counts for it nor is mechanism."""
    found = {}
    for command, ran in commands_run(record).items():
        counted = key_of(command, folder).modules
        if odd := {name for name in ran if name not in counted and not is_any_of(name, MECHANISM)}:
            found[" ".join(command)] = odd
    return found


def test_what_runs_in_a_study_counts_or_is_mechanism(finished: Workflow) -> None:
    record = finished.folder / "record"
    assert uncounted(record, finished.folder) == {}
    assert {command[0] for command in commands_run(record)} == {
        *("download", "sample-slice", "grpo-data", "train", "infer", "score"),
        *("leaderboard", "diagnose", "gallery", "training-gallery", "figure", "page", "manifest"),
    }


@pytest.fixture
def jobs(finished: Workflow, programs: Path, tmp_path: Path) -> Callable[..., dict[str, set[str]]]:
    """Runs commands in a checkout with a finished study; returns what is `uncounted` in them."""
    folder = tmp_path / "study"
    shutil.copytree(finished.folder, folder)
    shutil.rmtree(folder / "record")
    (folder / "record").mkdir()
    environment = Workflow(folder, folder, programs, folder / "record").environment()

    def run(config: dict[str, Any], *commands: Sequence[str]) -> dict[str, set[str]]:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        for name, *words in commands:
            command = ["active-perception", name, *words, "--config", "config.json"]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        return uncounted(folder / "record", folder)

    return run


Jobs = Callable[..., dict[str, set[str]]]
ANSWER = ["infer", "--study", "small", "--slice", "results/small/slice/test.parquet"]
ANSWER += ["--output", "out.jsonl", "--partial", "partial.jsonl"]


def test_the_other_modes_run_what_counts_in_one_process_and_in_several(
    finished: Workflow, jobs: Jobs
) -> None:
    alone = ["oracle", "blank_crop", "random_crop", "call_only"]
    commands = [[*ANSWER, "--model", "tiny", "--mode", mode] for mode in alone]
    # These two read what is not in a process's own share of the questions.
    for mode in ("shuffled_crop", "matched_view"):
        commands.append([*ANSWER, "--model", "tiny", "--mode", mode, "--cores", "2"])
    commands[-1] += ["--earlier", "results/small/predictions/tiny/active.jsonl"]
    assert jobs(finished.config, *commands) == {}


def test_a_served_model_runs_what_counts(finished: Workflow, jobs: Jobs) -> None:
    config = finished.config
    with misbehaving_server() as server:
        served = {"backend": "openai", "id": SERVED, "openai": {"base_url": server.url}}
        config["models"]["served"] = config["models"]["tiny"] | served
        assert jobs(config, [*ANSWER, "--model", "served", "--mode", "active"]) == {}


def test_every_source_runs_what_counts(finished: Workflow, jobs: Jobs, tmp_path: Path) -> None:
    config = finished.config
    (tmp_path / "repository").mkdir()
    shutil.copy(finished.folder / "pages.parquet", tmp_path / "repository" / "test.parquet")
    sources: dict[str, dict[str, object]] = {
        "synthetic": {"questions": {"test": 2}},
        "hub": {"id": str(tmp_path / "repository")},
        "file": {"path": str(finished.folder / "pages.parquet"), "format": "docvqa"},
        "parquet": {"path": str(finished.folder / "pages.parquet")},
    }
    assert sources.keys() == SOURCES.keys()
    for name, section in sources.items():
        dataset = {"source": name, **section}
        config["studies"][name] = config["studies"]["small"] | {"dataset": dataset}
    to = ["--split", "test", "--output", "out.parquet", "--partial", "rows"]
    assert jobs(config, *(["download", "--study", name, *to] for name in sources)) == {}


# The configuration as jobs find it.


def test_the_kept_configuration_is_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIG)
    monkeypatch.chdir(tmp_path)
    keep(config)
    assert load_config(kept_path(config)) == config


def test_another_configuration_is_kept_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIG)
    other: Config = parse_config({**config.model_dump(mode="json"), "study": "docvqa"})
    monkeypatch.chdir(tmp_path)
    keep(config)
    keep(other)
    assert load_config(kept_path(config)).study == "demo"
    assert load_config(kept_path(other)).study == "docvqa"
