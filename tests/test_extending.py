"""What `docs/extending.md` adds works as it stands there, and touches as few files as it says.

A block whose first line is a path is that file; a diff edits one that is there already.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.workflow import INSTALLED, REPOSITORY, copy_of_repository

TEXT = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
LAST = "All of it, in a study"
BLOCK = re.compile(r"^```(python|rst|yaml|diff)\n(.*?)^```$", re.M | re.S)


def touched(section: str, folder: Path) -> list[str]:
    """The files that a section adds to a checkout, or edits there."""
    files = []
    for kind, text in BLOCK.findall(SECTIONS[section]):
        if kind == "diff":
            files += re.findall(r"^\+\+\+ b/(.*)$", text, re.M)
            subprocess.run(
                ["git", "apply", "-C1", "-"], input=text, text=True, cwd=folder, check=True
            )
            continue
        first, _, content = text.partition("\n")
        name = first.split()[1]
        assert not (folder / name).exists(), f"{name} is not new"
        (folder / name).write_text(content, encoding="utf-8")
        files.append(name)
    return files


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With nothing added yet; no repository of Git, so that the one around it is not asked."""
    folder = copy_of_repository(tmp_path_factory.mktemp("toys"))
    (folder / "models").symlink_to(REPOSITORY / "models")
    (folder / "docs").mkdir()
    return folder


@pytest.fixture(scope="module")
def files(checkout: Path) -> dict[str, list[str]]:
    """The files of every section, which are in the checkout now."""
    return {section: touched(section, checkout) for section in SECTIONS}


def run(command: str, folder: Path, programs: Path = INSTALLED) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(programs), str(INSTALLED), os.environ["PATH"]]),
            "PYTHONPATH": str(folder / "src"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def rows(
    checkout: Path, files: dict[str, list[str]], programs: Path
) -> dict[tuple[str, str], dict[str, Any]]:
    """The leaderboard of the study that uses what was added."""
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", SECTIONS[LAST], re.M | re.S)
    run(commands, checkout, programs)
    text = (checkout / "results" / "toys" / "leaderboard.json").read_text(encoding="utf-8")
    return {(row["model"], row["mode"]): row for row in json.loads(text)}


def test_every_addition_is_one_file_or_two(files: dict[str, list[str]]) -> None:
    table = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \| `(.+?)` \| ?(.*) \|$", TEXT, re.M)
    sections = {section.lower().replace(" ", "-"): section for section in SECTIONS}
    assert {sections[anchor] for _, anchor, _, _ in table} == SECTIONS.keys() - {LAST}
    for name, anchor, place, further in table:
        own = files[sections[anchor]]
        assert len(own) == (2 if further else 1), f"{name}: {own}"
        assert any(file.startswith(f"src/active_perception_r1/{place}") for file in own)


@pytest.mark.slow
class TestTheStudy:
    def test_it_asks_the_models_in_the_new_ways(
        self, rows: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        models, modes = ("nobody", "nobody+idle"), ("baseline", "mirrored_crop")
        assert rows.keys() == {(model, mode) for model in models for mode in modes}
        assert {mode: rows["nobody", mode]["zoom_rate"] for mode in modes} == {
            "baseline": 0.0,
            "mirrored_crop": 1.0,
        }

    def test_the_new_task_decides(
        self, rows: dict[tuple[str, str], dict[str, Any]], checkout: Path
    ) -> None:
        for (model, mode), row in rows.items():
            scores = checkout / "results" / "toys" / "predictions" / model / f"{mode}.jsonl"
            asked = [json.loads(line)["sample_id"] for line in scores.read_text().splitlines()]
            assert len(asked) == 8
            assert row["accuracy"] == sum(id in ("6", "7", "8") for id in asked) / 8

    def test_the_new_numbers_are_in_the_leaderboard(
        self, rows: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        row = rows["nobody", "mirrored_crop"]
        assert row["answer_length"] == 1.0
        assert row["effort"] == 0.2

    def test_the_new_figure_is_in_the_report(
        self, rows: dict[tuple[str, str], dict[str, Any]], checkout: Path
    ) -> None:
        figure = checkout / "results" / "toys" / "report" / "calls.svg"
        assert "Zoom calls an episode" in figure.read_text(encoding="utf-8")

    def test_the_new_engine_left_the_model_as_it_is(
        self, rows: dict[tuple[str, str], dict[str, Any]], checkout: Path
    ) -> None:
        weights = "model.safetensors"
        trained = checkout / "results/toys/training/nobody+idle/checkpoint" / weights
        assert trained.read_bytes() == (REPOSITORY / "models/tiny-zoom-vlm" / weights).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("files")
def test_the_reference_has_the_new_keys_and_columns(checkout: Path) -> None:
    for module in ("config.reference", "report.reference"):
        run(f"{sys.executable} -m active_perception_r1.{module}", checkout)
    keys = (checkout / "docs" / "configuration.md").read_text(encoding="utf-8")
    columns = (checkout / "docs" / "columns.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in keys for name in ("effort", "named_images", "idle"))
    assert all(f"`{name}`" in columns for name in ("effort", "answer_length"))
