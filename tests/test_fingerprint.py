"""Fingerprints: they change with what code does and with content, and with nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from active_perception_r1.storage.fingerprint import (
    code_fingerprint,
    folder_fingerprint,
    import_closure,
    local_content,
)

PACKAGE: dict[str, str] = {
    "app/__init__.py": "",
    "app/stage.py": (
        "from typing import TYPE_CHECKING\n"
        "import json\n"
        "from app.parts import wheel\n"
        "if TYPE_CHECKING:\n    from app.types import Shape\n"
        "def run():\n    from .late import brake\n    return wheel, brake\n"
    ),
    "app/parts/__init__.py": "",
    "app/parts/wheel.py": "from ..deep import axle\nSIZE = 1\n",
    "app/deep.py": "axle = 1\n",
    "app/late.py": "brake = 1\n",
    "app/types.py": "Shape = int\n",
    "app/other.py": "import app.stage\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def of_stage(source: Path) -> str:
    """In a new process, since syntax trees are remembered within one."""
    program = (
        "import sys; from pathlib import Path;"
        "from active_perception_r1.storage.fingerprint import code_fingerprint;"
        "print(code_fingerprint('stage', (), 'app', Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_closure_holds_what_runs_and_not_what_only_types_need(source: Path) -> None:
    assert list(import_closure("app.stage", source)) == [
        "app",
        "app.deep",
        "app.late",
        "app.parts",
        "app.parts.wheel",
        "app.stage",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app/stage.py", PACKAGE["app/stage.py"] + "X = 1\n"),
        ("app/late.py", "brake = 2\n"),
        ("app/deep.py", "axle = 2\n"),
        ("app/parts/__init__.py", "X = 1\n"),
        ("app/late.py", "brake = 1\nfrom app import types\n"),
    ],
)
def test_a_change_in_anything_the_stage_runs_changes_the_fingerprint(
    source: Path, name: str, text: str
) -> None:
    before = of_stage(source)
    (source / name).write_text(text)
    assert of_stage(source) != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app/other.py", "X = 1\n"),
        ("app/types.py", "Shape = str\n"),
        ("app/late.py", "# A comment.\nbrake   =   1\n"),
        ("app/late.py", '"""A docstring."""\nbrake = 1\n'),
        ("app/new.py", "X = 1\n"),
    ],
)
def test_what_the_stage_does_not_run_leaves_it_as_it_is(source: Path, name: str, text: str) -> None:
    before = of_stage(source)
    (source / name).write_text(text)
    assert of_stage(source) == before


def test_a_touched_or_copied_checkout_has_the_same_fingerprint(source: Path) -> None:
    before = of_stage(source)
    for path in source.rglob("*.py"):
        os.utime(path, (1, 1))
    shutil.copytree(source / "app", source / "elsewhere" / "app")
    assert of_stage(source) == of_stage(source / "elsewhere") == before


def test_an_unknown_stage_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"no module .*scorring"):
        code_fingerprint("scorring")


@pytest.mark.parametrize(
    ("stage", "independent_of"),
    [
        ("data.download", ["config", "prompts", "rewards.active_vision_reward"]),
        ("data.slices", ["config", "prompts", "rewards.active_vision_reward"]),
        ("scoring.score", ["config", "prompts", "models.infer"]),
        (
            "models.infer",
            ["config", "rewards.active_vision_reward", "scoring.score", "training.grpo"],
        ),
    ],
)
def test_stages_do_not_depend_on_what_they_do_not_use(
    stage: str, independent_of: list[str]
) -> None:
    closure = import_closure(f"active_perception_r1.{stage}")
    assert not {f"active_perception_r1.{name}" for name in independent_of} & closure.keys()


def test_a_folder_is_its_visible_files(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "weights").write_bytes(b"1")
    before = folder_fingerprint(folder)
    (folder / ".timestamp").touch()
    os.utime(folder / "sub" / "weights", (1, 1))
    assert folder_fingerprint(shutil.copytree(folder, tmp_path / "copy")) == before
    (folder / "sub" / "weights").rename(folder / "weights")
    assert folder_fingerprint(folder) != before


def test_only_local_folders_have_content(tmp_path: Path) -> None:
    assert local_content("owner/model-on-the-hub") == ""
    assert local_content(str(tmp_path)) != ""
