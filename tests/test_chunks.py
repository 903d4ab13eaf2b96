"""The store of parts: what a killed job has finished is there the next time."""

from __future__ import annotations

from pathlib import Path

import pytest

from active_perception_r1.errors import UserError
from active_perception_r1.storage.chunks import ChunkStore


def save(store: ChunkStore, *texts: str) -> None:
    for text in texts:
        with store.next() as path:
            path.write_text(text)


def saved(folder: Path, key: str) -> list[str]:
    with ChunkStore(folder, key) as store:
        return [part.read_text() for part in store.parts]


def test_parts_are_kept_in_their_order(tmp_path: Path) -> None:
    with ChunkStore(tmp_path / "partial", "key") as store:
        save(store, *(str(number) for number in range(12)))
    with ChunkStore(tmp_path / "partial", "key") as store:
        save(store, "12")
    assert saved(tmp_path / "partial", "key") == [str(number) for number in range(13)]


def test_a_part_that_was_not_finished_is_not_saved(tmp_path: Path) -> None:
    with (
        ChunkStore(tmp_path / "partial", "key") as store,
        pytest.raises(UnicodeEncodeError),
    ):
        save(store, "whole", "not to be encoded: \ud800")
    assert saved(tmp_path / "partial", "key") == ["whole"]


def test_parts_of_another_key_are_discarded(tmp_path: Path) -> None:
    with ChunkStore(tmp_path / "partial", "key 1") as store:
        save(store, "a", "b")
    assert saved(tmp_path / "partial", "key 2") == []
    assert saved(tmp_path / "partial", "key 1") == []


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        ChunkStore(tmp_path / "partial", "key"),
        pytest.raises(UserError, match="another process is still writing"),
    ):
        ChunkStore(tmp_path / "partial", "key")


def test_what_is_done_leaves_nothing_behind(tmp_path: Path) -> None:
    with ChunkStore(tmp_path / "partial", "key") as store:
        save(store, "a")
        store.remove()
    assert list(tmp_path.iterdir()) == []
