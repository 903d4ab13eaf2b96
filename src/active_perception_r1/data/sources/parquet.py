"""Parquet files in the layout of DocVQA-1200: a short form of source `file`."""

from __future__ import annotations

from active_perception_r1.config.sources.parquet import ParquetDataset
from active_perception_r1.data.formats import Split
from active_perception_r1.data.sources._reader import Reader
from active_perception_r1.data.sources.file import READER as FILES


class ParquetReader(Reader[ParquetDataset]):
    """Reads them as files."""

    def splits(self, dataset: ParquetDataset) -> list[str] | None:
        return FILES.splits(dataset.as_file)

    def open(self, dataset: ParquetDataset, split: str) -> Split:
        return FILES.open(dataset.as_file, split)


READER = ParquetReader()
