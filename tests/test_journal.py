"""The resume store: whatever moment a job is killed at, what it saved is there the next time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_perception_r1.errors import UserError
from active_perception_r1.storage.journal import Journal

ids = st.text(st.characters(codec="utf-8"), max_size=8)
records = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20)


def saved(path: Path, key: str, wanted: list[str]) -> list[str]:
    with Journal(path, key) as store:
        return [id for id in wanted if id in store]


def test_the_output_has_the_records_in_the_order_asked_for(tmp_path: Path) -> None:
    with Journal(tmp_path / "partial", "key") as store:
        store.append("b", "second")
        store.append("a", "first")
        store.finish(tmp_path / "new" / "output", ["a", "b", "c"], {"c": "never saved"})
    assert (tmp_path / "new" / "output").read_text() == "first\nsecond\nnever saved\n"
    assert saved(tmp_path / "partial", "key", ["a", "b", "c"]) == ["a", "b"]


def test_a_missing_record_leaves_no_output_and_loses_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "partial", "key") as store:
        store.append("a", "1")
        with pytest.raises(KeyError):
            store.finish(tmp_path / "output", ["a", "b"])
    assert not (tmp_path / "output").exists()
    assert saved(tmp_path / "partial", "key", ["a"]) == ["a"]


def test_records_of_another_key_are_discarded(tmp_path: Path) -> None:
    with Journal(tmp_path / "partial", "key 1") as store:
        store.append("a", "1")
    assert saved(tmp_path / "partial", "key 2", ["a"]) == []
    assert saved(tmp_path / "partial", "key 1", ["a"]) == []


def test_a_record_of_two_lines_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "partial", "key") as store, pytest.raises(ValueError, match="line"):
        store.append("a", "1\n2")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "partial", "key"),
        pytest.raises(UserError, match="another process is still writing"),
    ):
        Journal(tmp_path / "partial", "key")
    assert saved(tmp_path / "partial", "key", []) == []


@settings(deadline=None)  # Syncing to disk takes as long as it takes.
@given(st.dictionaries(ids, records, max_size=6), st.data())
def test_cutting_the_file_at_any_byte_loses_at_most_the_unfinished_record(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "partial"
    ends: list[int] = []
    with Journal(path, "key") as store:
        for id, record in entries.items():
            store.append(id, record)
            ends.append(path.stat().st_size)
    cut = data.draw(st.integers(0, path.stat().st_size), label="cut")
    os.truncate(path, cut)

    complete = [id for id, end in zip(entries, ends, strict=True) if end <= cut]
    with Journal(path, "key") as store:
        assert [id for id in entries if id in store] == complete
        assert len(store) == len(complete)
        for id, record in entries.items():
            if id not in store:
                store.append(id, record)
        store.finish(folder / "output", entries)
    expected = "".join(f"{record}\n" for record in entries.values())
    assert (folder / "output").read_bytes().decode() == expected


@settings(deadline=None)  # Syncing to disk takes as long as it takes.
@given(st.binary(max_size=60))
def test_garbage_at_the_end_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "partial"
    with Journal(path, "key") as store:
        store.append("a", "1")
    with path.open("ab") as file:
        file.write(b"\0" + garbage)
    with Journal(path, "key") as store:
        store.append("b", "2")
        store.finish(path.with_name("output"), ["a", "b"])
    assert path.with_name("output").read_text() == "1\n2\n"


def test_a_killed_process_leaves_its_records_and_no_lock(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from active_perception_r1.storage.journal import Journal
store = Journal(Path({str(tmp_path / "partial")!r}), "key")
for number in range(100):
    store.append(str(number), "record")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program])
    assert killed.returncode == -signal.SIGKILL
    assert len(saved(tmp_path / "partial", "key", [str(number) for number in range(100)])) == 100


def test_a_full_disk_is_told_with_the_file_and_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    """A limit on the size of files, since it fails as a full disk does and hurts nobody else."""
    path = tmp_path / "partial"
    program = f"""
import resource
from pathlib import Path
from active_perception_r1.storage.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
with Journal(Path({str(path)!r}), "key") as store:
    for number in range(100):
        store.append(str(number), "record")
        print(number, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{path}'"
    told = done.stdout.split()
    assert 0 < len(told) < 100
    assert path.stat().st_size == 500  # The last record is torn.
    assert saved(path, "key", [str(number) for number in range(100)]) == told
