"""Datasets on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from active_perception_r1.config.decisive import Decisive
from active_perception_r1.config.paths import FolderOrName
from active_perception_r1.config.sources._dataset import Repository
from active_perception_r1.config.sources._table import Columns, TableDataset
from active_perception_r1.config.sources.file import SUFFIXES
from active_perception_r1.storage.fingerprint import local_content


class HubDataset(TableDataset):
    """A dataset on the hub, or a local folder laid out like one.

    Without `format` and `columns` it is in the layout of `nielsr/docvqa_1200_examples`.
    """

    decisive = Decisive((*TableDataset.decisive.keys, "id", "config", "revision"))

    source: Literal["hub"] = Field(description="where pages and questions come from")
    id: FolderOrName = Field(description="repository on the hub, as owner/name, or a folder")
    config: str | None = Field(
        default=None, description="the hub's name for a part of the repository; null if it has none"
    )
    revision: str | None = Field(
        default=None,
        description="commit, branch or tag; null is the commit found at the first use",
    )

    @property
    def name(self) -> str:
        return f"{self.id} ({self.config})" if self.config else self.id

    @property
    def layout(self) -> str:
        return self.format or ("docvqa" if self.columns == Columns() else "columns")

    @property
    def repository(self) -> Repository | None:
        return None if Path(self.id).is_dir() else Repository(self.id, self.revision)

    @property
    def content(self) -> str:
        return local_content(self.id)

    def deciding(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Of a local folder, what is there counts, not where."""
        return super().deciding((*without, *(() if self.repository else ("id",))))

    @classmethod
    def meant_by(cls, text: str, split: str, samples: int) -> dict[str, Any] | None:
        is_local = Path(text).exists() or Path(text).suffix in SUFFIXES
        return {"source": "hub", "id": text} if text.count("/") == 1 and not is_local else None


SOURCE = HubDataset
