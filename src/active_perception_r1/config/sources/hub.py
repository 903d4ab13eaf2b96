"""Datasets on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from active_perception_r1.config.paths import FolderOrName
from active_perception_r1.config.sources._dataset import BoxUnit, Dataset, Repository
from active_perception_r1.storage.fingerprint import local_content


class HubDataset(Dataset):
    """A dataset in the DocVQA-1200 layout on the hub, or a local folder laid out like one."""

    source: Literal["hub"] = Field(description="where pages and questions come from")
    id: FolderOrName = Field(description="repository on the hub, as owner/name, or a folder")
    revision: str | None = Field(
        default=None,
        description="commit, branch or tag; null is the commit found at the first use",
    )
    box_unit: BoxUnit | None = Field(
        default=None,
        description="what the coordinates of boxes count: shares of the page, thousandths of it or"
        " pixels; null finds it out from all boxes of the split",
    )

    @property
    def name(self) -> str:
        return self.id

    @property
    def stated_unit(self) -> BoxUnit | None:
        return self.box_unit

    @property
    def repository(self) -> Repository | None:
        return None if Path(self.id).is_dir() else Repository(self.id, self.revision)

    @property
    def content(self) -> str:
        return local_content(self.id)

    @classmethod
    def meant_by(cls, text: str, split: str, samples: int) -> dict[str, Any] | None:
        on_hub = text.count("/") == 1 and not Path(text).exists() and not Path(text).suffix
        return {"source": "hub", "id": text} if on_hub else None


SOURCE = HubDataset
