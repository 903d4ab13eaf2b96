"""Parquet files in the layout of DocVQA-1200."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.paths import InputPath
from active_perception_r1.config.sources._dataset import BoxUnit, Dataset
from active_perception_r1.config.sources.file import FileDataset


class ParquetDataset(Dataset):
    """Local parquet files in the layout of `nielsr/docvqa_1200_examples`.

    A folder has {split}.parquet for each split; one file serves every split. `source: file` reads
    other layouts, and other kinds of files.
    """

    decisive = Decisive(("source", "box_unit"), otherwise=("path",))

    source: Literal["parquet"] = Field(description="where pages and questions come from")
    path: InputPath = Field(description="the folder or the file")
    box_unit: BoxUnit | None = Field(
        default=None,
        description="what coordinates count: shares of the page, thousandths of it or pixels; null"
        " finds it out from all boxes of the split",
    )

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stated_unit(self) -> BoxUnit | None:
        return self.box_unit

    @property
    def layout(self) -> str | None:
        return self.as_file.layout

    @property
    def as_file(self) -> FileDataset:
        """What it is short for."""
        return FileDataset(source="file", path=self.path, format="docvqa", box_unit=self.box_unit)

    def files(self, split: str) -> list[Path]:
        return [self.path / f"{split}.parquet" if self.path.is_dir() else self.path]


SOURCE = ParquetDataset
