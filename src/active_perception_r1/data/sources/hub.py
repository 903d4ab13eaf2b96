"""Datasets on the hub, or in a local folder that is laid out like a repository of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets import Dataset, Image, get_dataset_split_names, load_dataset

from active_perception_r1.config.sources.hub import HubDataset
from active_perception_r1.data.docvqa import check_columns
from active_perception_r1.data.sources._reader import Source, unknown_split
from active_perception_r1.errors import DataError
from active_perception_r1.storage.fingerprint import folder_fingerprint
from active_perception_r1.storage.hub import resolve_commit
from active_perception_r1.storage.rows import Row


def open_split(dataset: HubDataset, split: str) -> Source:
    """One split of a dataset at one commit; of a local folder, the revision is a content hash.

    Images stay encoded. No code of the dataset is run.

    Raises:
        DataError: the hub cannot be reached, or has no such dataset, revision or split, or a column
            is missing.
    """
    name, folder = dataset.id, Path(dataset.id)
    commit = None if folder.is_dir() else resolve_commit("dataset", name, dataset.revision)
    # The library passes on errors of whatever it reads and of its transport: all mean the same.
    try:
        available = get_dataset_split_names(name, revision=commit)
        if split not in available:
            raise unknown_split(name, split, available)
        rows = load_dataset(name, split=split, revision=commit)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}: cannot be loaded: {error}") from error
    check_columns(rows.features.arrow_schema, f"{name}, split {split}")
    if isinstance(rows.features["image"], Image):
        rows = rows.cast_column("image", Image(decode=False))
    return Source(partial(_rows, rows), len(rows), commit or folder_fingerprint(folder))


def _rows(dataset: Dataset, start: int) -> Iterator[Row]:
    if start >= len(dataset):  # the library refuses to skip everything
        return
    for row in dataset.skip(start):
        image = row["image"]
        if isinstance(image, dict) and image["bytes"] is None and image["path"]:
            row["image"] = Path(image["path"]).read_bytes()
        yield row
