"""Parquet files in the layout that a downloaded split has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from active_perception_r1.config.paths import InputPath
from active_perception_r1.config.sources._dataset import BoxUnit, Dataset


class ParquetDataset(Dataset):
    """Local files in the DocVQA-1200 layout: a folder of {split}.parquet, or one file for all."""

    source: Literal["parquet"] = Field(description="where pages and questions come from")
    path: InputPath = Field(description="the folder or the file")
    box_unit: BoxUnit | None = Field(
        default=None,
        description="what the coordinates of boxes count: shares of the page, thousandths of it or"
        " pixels; null finds it out from all boxes of the split",
    )

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stated_unit(self) -> BoxUnit | None:
        return self.box_unit

    def files(self, split: str) -> list[Path]:
        return [self.path / f"{split}.parquet" if self.path.is_dir() else self.path]

    @classmethod
    def meant_by(cls, text: str, split: str, samples: int) -> dict[str, Any] | None:
        is_file = text.endswith(".parquet") or Path(text).is_dir()
        return {"source": "parquet", "path": text} if is_file else None


SOURCE = ParquetDataset
