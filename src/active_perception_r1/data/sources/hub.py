"""Datasets on the hub, or in a local folder that is laid out like a repository of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets import get_dataset_split_names, load_dataset
from huggingface_hub import snapshot_download

from active_perception_r1.config.sources.hub import HubDataset
from active_perception_r1.data.formats import FORMATS, Folder, Opened, Split, Table
from active_perception_r1.data.sources._library import as_table
from active_perception_r1.data.sources._reader import Reader, unknown_split
from active_perception_r1.errors import DataError
from active_perception_r1.storage.fingerprint import folder_fingerprint
from active_perception_r1.storage.hub import resolve_commit


@dataclass(frozen=True, slots=True)
class _Opened(Opened):
    """A repository at one commit, as formats read it; the revision of a folder is a hash of it."""

    dataset: HubDataset
    local: Path | None
    commit: str | None

    @property
    def revision(self) -> str:
        return folder_fingerprint(self.local) if self.local else self.commit or ""

    def splits(self) -> list[str]:
        # The library passes on errors of whatever it reads and of its transport: all mean the same.
        try:
            return list(
                get_dataset_split_names(self.dataset.id, self.dataset.config, revision=self.commit)
            )
        except Exception as error:
            raise DataError(f"{self.dataset.name}: cannot be loaded: {error}") from error

    def table(self, split: str) -> Table:
        """Images stay encoded. No code of the dataset is run."""
        available = self.splits()
        if split not in available:
            raise unknown_split(self.dataset.name, split, available)
        try:
            rows = load_dataset(
                self.dataset.id, self.dataset.config, split=split, revision=self.commit
            )
        except Exception as error:
            raise DataError(f"{self.dataset.name}: cannot be loaded: {error}") from error
        return as_table(rows, f"{self.dataset.name}, split {split}", self.revision, self.local)

    def folder(self) -> Folder:
        if self.local:
            return Folder(self.local, self.revision)
        try:
            path = snapshot_download(self.dataset.id, repo_type="dataset", revision=self.commit)
        except Exception as error:  # of the client and of its transport: all mean the same
            raise DataError(f"{self.dataset.name}: cannot be downloaded: {error}") from error
        return Folder(Path(path), self.revision)


class HubReader(Reader[HubDataset]):
    """Reads each in its format."""

    def splits(self, dataset: HubDataset) -> list[str] | None:
        return FORMATS[dataset.layout].splits(_opened(dataset))

    def open(self, dataset: HubDataset, split: str) -> Split:
        return FORMATS[dataset.layout].open(_opened(dataset), dataset, split)


def _opened(dataset: HubDataset) -> _Opened:
    local = Path(dataset.id) if Path(dataset.id).is_dir() else None
    commit = None if local else resolve_commit("dataset", dataset.id, dataset.revision)
    return _Opened(dataset, local, commit)


READER = HubReader()
