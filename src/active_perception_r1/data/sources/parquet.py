"""Parquet files in the layout of a downloaded split."""

from __future__ import annotations

import functools

from active_perception_r1.config.sources.parquet import ParquetDataset
from active_perception_r1.data import docvqa
from active_perception_r1.data.sources._reader import Source, unknown_split
from active_perception_r1.storage.files import sha256_of
from active_perception_r1.storage.rows import open_parquet, read_rows


def open_split(dataset: ParquetDataset, split: str) -> Source:
    """One split; its revision is the hash of the file.

    Raises:
        DataError: a file is missing or not parquet, or lacks columns.
    """
    path = dataset.path
    if path.is_dir():
        path = dataset.path / f"{split}.parquet"
        if not path.exists():
            available = sorted(file.stem for file in dataset.path.glob("*.parquet"))
            raise unknown_split(str(dataset.path), split, available)
    with open_parquet(path) as file:
        docvqa.check_columns(file.schema_arrow, str(path))
        total = file.metadata.num_rows
    return Source(functools.partial(read_rows, path, docvqa.SCHEMA.names), total, sha256_of(path))
