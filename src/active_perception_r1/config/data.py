"""Datasets and slices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from active_perception_r1.config.section import Name, Section

BoxUnit = Literal["unit", "thousand", "pixels"]


class SyntheticDataset(Section):
    """Pages drawn by this package; `questions` is the number of questions of each split."""

    source: Literal["synthetic"]
    seed: int = 0
    questions: dict[str, Annotated[int, Field(gt=0)]] = {
        "train": 1000,
        "validation": 120,
        "test": 300,
    }


class HubDataset(Section):
    """A dataset in the DocVQA-1200 layout on the hub, or a local folder laid out like one."""

    source: Literal["hub"]
    id: str
    revision: str | None = None
    box_unit: BoxUnit | None = None


class ParquetDataset(Section):
    """Local files in the DocVQA-1200 layout: FOLDER of {split}.parquet, or one FILE for all."""

    source: Literal["parquet"]
    path: Path
    box_unit: BoxUnit | None = None


DatasetConfig = Annotated[
    SyntheticDataset | HubDataset | ParquetDataset, Field(discriminator="source")
]


class SliceConfig(Section):
    """Which questions are asked: `samples` rows of `split`, drawn with `seed`."""

    split: Name = "test"
    samples: int = Field(default=300, gt=0)
    seed: int = 29
