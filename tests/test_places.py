"""A study is the same wherever its files are, and however a path to them is spelled."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from active_perception_r1.cli.run import Place, place_of
from active_perception_r1.config import Config, load_config, parse_config
from active_perception_r1.config.file import load_over
from active_perception_r1.errors import UserError
from active_perception_r1.keys import JobKeys, stages
from active_perception_r1.runtime.init import write_workflow
from active_perception_r1.runtime.processes import put_on_path
from tests.workflow import CONFIG, REPOSITORY

VIEW = {"max_pixels": 99}
MODEL = {"gpus": 0, "first_view": VIEW, "crop": VIEW}
STUDY = {"models": ["m", "m+grpo"], "modes": ["active"]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with weights and a table in it."""
    folder = tmp_path / "here"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "model.safetensors").write_bytes(b"1")
    (folder / "table.jsonl").write_text("{}")
    monkeypatch.chdir(folder)
    return folder


def config_of(weights: str = "weights", table: str = "table.jsonl", **dataset: str) -> Config:
    source = {"source": "file", "path": table, **dataset}
    return parse_config(
        {
            "study": "s",
            "studies": {"s": {**STUDY, "dataset": source}},
            "models": {"m": {**MODEL, "id": weights}},
            "training": {"m+grpo": {"base": "m", "study": "s", "samples": 4}},
        }
    )


# Where relative paths begin.


def test_paths_of_the_checkouts_file_are_its_own_and_those_merged_over_it_the_working_directorys(
    here: Path,
) -> None:
    above: dict[str, Any] = {"models": {"mine": {**MODEL, "id": "weights"}}}
    config = load_over(CONFIG, above)
    assert config.models["tiny-zoom-vlm"].id == str(REPOSITORY / "models/tiny-zoom-vlm")
    assert config.models["qwen2.5-vl-3b"].id == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert config.models["mine"].id == "weights"


def test_in_the_checkout_its_file_means_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert load_over(CONFIG, {}) == load_config(CONFIG)


def test_what_is_merged_over_an_entry_changes_that_alone(here: Path) -> None:
    above = {"study": "docvqa", "studies": {"docvqa": {"slice": {"samples": 7}}}}
    changed, before = load_over(CONFIG, above), load_over(CONFIG, {})
    assert changed.study == "docvqa"
    assert changed.studies["docvqa"].slice.samples == 7
    assert changed.studies["docvqa"].models == before.studies["docvqa"].models
    assert (changed.models, changed.training) == (before.models, before.training)


# How a path is spelled.


def test_a_path_is_spelled_alike_however_it_is_given(here: Path) -> None:
    os.environ["HOME"], before = str(here.parent), os.environ["HOME"]
    try:
        for way in (f"{here}/", "./", "../here/", "~/here/"):
            assert config_of(f"{way}weights", f"{way}table.jsonl") == config_of()
    finally:
        os.environ["HOME"] = before


def test_a_path_that_leads_elsewhere_begins_at_the_root(here: Path) -> None:
    (here / "table.jsonl").rename(here.parent / "table.jsonl")
    for table in ("../table.jsonl", str(here.parent / "table.jsonl")):
        dataset = config_of(table=table).studies["s"].dataset
        assert dataset.name == str(here.parent / "table.jsonl")


def keys_of(config: Config) -> dict[str, str]:
    return {job: str(key) for job, key in JobKeys(config).of_study("s").items()}


def test_no_key_says_where_weights_and_data_are(here: Path) -> None:
    shutil.copytree(here, here.parent / "copy")
    assert keys_of(config_of("../copy/weights", "../copy/table.jsonl")) == keys_of(config_of())


def test_other_weights_in_the_same_place_are_others(here: Path) -> None:
    shutil.copytree(here / "weights", here.parent / "others")
    (here.parent / "others" / "model.safetensors").write_bytes(b"2")
    changed = keys_of(config_of("../others"))
    assert {job for job, key in keys_of(config_of()).items() if changed[job] != key} == {
        "infer m active",
        "grpo_train m+grpo",
    }


def test_another_name_on_the_hub_is_another_model(here: Path) -> None:
    ours, theirs = keys_of(config_of("we/model")), keys_of(config_of("they/model"))
    assert ours["infer m active"] != theirs["infer m active"]


def test_the_key_of_a_trained_model_is_the_same_before_and_after_training(here: Path) -> None:
    before = keys_of(config_of())
    (here / "results/s/training/m+grpo/checkpoint").mkdir(parents=True)
    assert keys_of(config_of()) == before


# What is found.


def test_models_are_told_apart_by_whether_their_slices_are_split(here: Path) -> None:
    raw = config_of().model_dump(mode="json")
    raw["models"]["several"] = {**MODEL, "id": "weights", "shards": 3}
    config = parse_config(raw)
    assert config.sharded(split=True) == ["several"]
    assert config.sharded(split=False) == ["m", "m+grpo"]


def test_programs_beside_this_python_are_found_first_unless_they_are_found_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    put_on_path()
    assert os.environ["PATH"] == f"{own}:/usr/bin:/bin"
    monkeypatch.setenv("PATH", f"/mine:{own}:/bin")
    put_on_path()
    assert os.environ["PATH"] == f"/mine:{own}:/bin"


def test_the_workflow_here_is_run_and_else_that_of_the_checkout(here: Path) -> None:
    assert place_of("docvqa") == Place(REPOSITORY, REPOSITORY, config=("study=docvqa",))
    write_workflow(here)
    assert place_of(None) == Place(here, here)
    assert place_of(str(mine(here))) == Place(here, here, (here / "table.yaml",))


def mine(folder: Path) -> Path:
    """A configuration of somebody's own."""
    (folder / "table.yaml").write_text("study: demo\n")
    return folder / "table.yaml"


def test_a_package_alone_runs_a_file_of_mine_and_asks_for_a_workflow_before_a_study_of_its_own(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = here.parent / "site-packages" / "active_perception_r1"
    monkeypatch.setattr(stages, "ROOT", root)
    assert place_of(str(mine(here))) == Place(root / "workflow", here, (here / "table.yaml",))
    with pytest.raises(UserError, match="no workflow is here; active-perception init DIR writes"):
        place_of("demo")
