"""Tables in local files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.paths import InputPath
from active_perception_r1.config.sources._table import TableDataset
from active_perception_r1.storage.fingerprint import folder_fingerprint

SUFFIXES = (".parquet", ".jsonl", ".csv", ".tsv")
"""Of the tables that are read."""


class FileDataset(TableDataset):
    """A table of yours: parquet, JSONL, CSV or TSV, or what `save_to_disk` of `datasets` wrote.

    A folder has a file for each split, named {split}.parquet or such; one file serves every split.
    """

    # What is there counts, not where: a rule's inputs, and `content`.
    decisive = Decisive(TableDataset.decisive.keys, otherwise=("path",))

    source: Literal["file"] = Field(description="where pages and questions come from")
    path: InputPath = Field(description="the file, or the folder")

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def content(self) -> str:
        """Of a folder that holds more than tables, such as pages."""
        if not self.path.is_dir():
            return ""
        more = any(file.suffix not in SUFFIXES for file in self.path.iterdir())
        return folder_fingerprint(self.path) if more else ""

    def files(self, split: str) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        return [] if is_saved(self.path) else tables_of(self.path).get(split, [])

    @classmethod
    def meant_by(cls, text: str, split: str, samples: int) -> dict[str, Any] | None:
        is_local = Path(text).exists() or Path(text).suffix in SUFFIXES
        return {"source": "file", "path": text} if is_local else None


def tables_of(folder: Path) -> dict[str, list[Path]]:
    """Split and tables of it: one, if all is well."""
    tables: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix in SUFFIXES:
            tables.setdefault(file.stem, []).append(file)
    return tables


def is_saved(path: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote a folder."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))


SOURCE = FileDataset
