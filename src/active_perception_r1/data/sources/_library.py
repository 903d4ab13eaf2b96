"""Tables that the `datasets` library reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from datasets import Dataset, DatasetDict, Image, Sequence, load_from_disk

from active_perception_r1.data.formats import Table
from active_perception_r1.data.sources._reader import unknown_split
from active_perception_r1.errors import DataError
from active_perception_r1.storage.fingerprint import folder_fingerprint
from active_perception_r1.storage.rows import Row


def as_table(dataset: Dataset, name: str, revision: str, folder: Path | None) -> Table:
    """Rows of the library's, images as they are encoded."""
    for column, feature in dataset.features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(column, Image(decode=False))
        elif isinstance(getattr(feature, "feature", None), Image):
            dataset = dataset.cast_column(column, Sequence(Image(decode=False)))

    def rows(start: int, columns: Collection[str]) -> Iterable[Row]:
        if start >= len(dataset):  # the library refuses to skip everything
            return ()
        wanted = [column for column in dataset.column_names if column in columns]
        return _rows(dataset.select_columns(wanted).skip(start))

    schema = dataset.features.arrow_schema
    return Table(name, dataset.column_names, rows, len(dataset), revision, folder, schema)


def _rows(dataset: Dataset) -> Iterator[Row]:
    yield from dataset


def saved_splits(path: Path) -> list[str] | None:
    """Names of its splits; None where it is one dataset without splits.

    Raises:
        DataError: it cannot be read.
    """
    saved = _load(path)
    return list(saved) if isinstance(saved, DatasetDict) else None


def open_saved(path: Path, split: str) -> Table:
    """A split of such a folder; one dataset without splits serves each.

    Raises:
        DataError: it cannot be read, or has no such split.
    """
    saved = _load(path)
    if isinstance(saved, DatasetDict):
        if split not in saved:
            raise unknown_split(str(path), split, saved)
        saved = saved[split]
    return as_table(saved, str(path), folder_fingerprint(path), path)


def _load(path: Path) -> Dataset | DatasetDict:
    try:
        return load_from_disk(str(path))
    except Exception as error:  # it passes on errors of whatever it reads: all mean the same
        raise DataError(f"{path}: cannot be loaded: {error}") from error
