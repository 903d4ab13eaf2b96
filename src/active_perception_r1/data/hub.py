"""Datasets on the hub, or in a local folder that is laid out like a repository of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset, Image, get_dataset_split_names, load_dataset

from active_perception_r1.data.docvqa import Row, Source, check_columns, unknown_split
from active_perception_r1.data.files import sha256_of
from active_perception_r1.errors import DataError
from active_perception_r1.hub import resolve_commit


def open_hub(name: str, revision: str | None, split: str) -> Source:
    """One split of a dataset at one commit; of a local folder, the revision is a content hash.

    Images stay encoded. No code of the dataset is run.

    Raises:
        DataError: the hub cannot be reached, or has no such dataset, revision or split, or a column
            is missing.
    """
    folder = Path(name)
    commit = None if folder.is_dir() else resolve_commit("dataset", name, revision)
    # The library passes on errors of whatever it reads and of its transport: all mean the same.
    try:
        available = get_dataset_split_names(name, revision=commit)
        if split not in available:
            raise unknown_split(name, split, available)
        dataset = load_dataset(name, split=split, revision=commit)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}: cannot be loaded: {error}") from error
    check_columns(dataset.features.arrow_schema, f"{name}, split {split}")
    if isinstance(dataset.features["image"], Image):
        dataset = dataset.cast_column("image", Image(decode=False))
    return Source(_rows(dataset), len(dataset), commit or _content_hash(folder))


def _content_hash(folder: Path) -> str:
    """Hash over names and contents of all files that are not hidden."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _rows(dataset: Dataset) -> Iterator[Row]:
    for row in dataset:
        image = row["image"]
        if isinstance(image, dict) and image["bytes"] is None and image["path"]:
            row["image"] = Path(image["path"]).read_bytes()
        yield row
