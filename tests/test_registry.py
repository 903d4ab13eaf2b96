"""Things of one kind, found by name."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from active_perception_r1.registry import Registry

ENTRY = "import gc\nENTRY = gc.isenabled()\n"


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[bool]:
    """Of a package of its own, whose entries say whether garbage was looked for meanwhile."""
    package = tmp_path / "made_for_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text(ENTRY)
    (package / "broken.py").write_text("raise ValueError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("", ".one", ".broken"):
        monkeypatch.delitem(sys.modules, f"made_for_a_test{name}", raising=False)
    return Registry("made_for_a_test", "ENTRY")


def test_nobody_looks_for_garbage_while_an_entry_is_imported(entries: Registry[bool]) -> None:
    assert entries["one"] is False
    assert gc.isenabled()


def test_garbage_is_looked_for_again_after_an_import_that_failed(entries: Registry[bool]) -> None:
    with pytest.raises(ValueError, match="not today"):
        entries["broken"]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(entries: Registry[bool]) -> None:
    gc.disable()
    try:
        assert entries["one"] is False
        assert not gc.isenabled()
    finally:
        gc.enable()
