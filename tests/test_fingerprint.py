"""Fingerprints: they change with what code does and with content, and with nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from active_perception_r1.storage import fingerprint
from active_perception_r1.storage.fingerprint import (
    TABLES,
    folder_fingerprint,
    local_content,
    read_code,
)

MODULE = '''
"""What it is for."""

SYNTAXES: dict[str, int] = {}


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number
'''


def of(folder: Path, text: str) -> str:
    path = folder / "module.py"
    path.write_text(text)
    return read_code(path).fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""What it is for."""', '"""Something else."""'),
        ('    """Twice the number."""\n', ""),
        ("return 2 * number", "return (2*number)  # a comment"),
        ("= {}", "= {'new': 1}"),
        (": dict[str, int] = {}", " = dict(new=1)"),
        ("= {}\n", "= {}\nSYNTAXES['new'] = 1\nSYNTAXES |= {'other': 2}\n"),
    ],
)
def test_what_a_module_says_of_itself_and_the_entries_of_its_table_do_not_count(
    old: str, new: str, tmp_path: Path
) -> None:
    assert old in MODULE
    assert of(tmp_path, MODULE.replace(old, new)) == of(tmp_path, MODULE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 2 * number", "return 3 * number"),
        ("number: int) -> int", "number: float) -> int"),
        ("= {}\n", "= {}\nLIMIT = 1\n"),
        ("= {}\n", "= {}\nOTHERS = {'new': 1}\n"),
        ("    return", "    SYNTAXES = {'new': 1}\n    return"),
        ("= {}\n", "= {}\nSYNTAXES.update(new=1)\n"),
    ],
)
def test_any_other_line_counts(old: str, new: str, tmp_path: Path) -> None:
    assert old in MODULE
    assert of(tmp_path, MODULE.replace(old, new)) != of(tmp_path, MODULE)


def test_a_file_is_the_same_wherever_and_whenever_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    before = of(tmp_path, MODULE)
    after = tmp_path / "elsewhere" / "name.py"
    after.write_text(MODULE)
    os.utime(after, (1, 1))
    assert read_code(after).fingerprint == before


def test_a_file_is_read_once_for_each_of_its_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = of(tmp_path, MODULE)
    with monkeypatch.context() as another_process:
        another_process.setattr(fingerprint, "_parsed", lambda _: pytest.fail("read again"))
        fingerprint._code.cache_clear()
        assert of(tmp_path, MODULE) == first
    assert of(tmp_path, MODULE.replace("return 2", "return 3")) != first


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"content": 1}'])
def test_a_damaged_file_of_what_was_read_costs_nothing(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = of(tmp_path, MODULE)
    (kept,) = (tmp_path / "__pycache__").iterdir()
    kept.write_text(damage)
    fingerprint._code.cache_clear()
    assert of(tmp_path, MODULE) == before


def test_tables_are_those_of_the_package() -> None:
    source = Path(__file__).parent.parent / "src"
    texts = [path.read_text() for path in source.rglob("*.py")]
    for table in TABLES:
        assert any(f"\n{table}: Registry[" in text for text in texts), table


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
