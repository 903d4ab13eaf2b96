"""Tables in local files: see `data.tables` for the kinds of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.config.sources.file import FileDataset, is_saved, tables_of
from active_perception_r1.data.formats import FORMATS, Folder, Opened, Split, Table
from active_perception_r1.data.sources._reader import Reader, unknown_split
from active_perception_r1.data.tables import open_table
from active_perception_r1.errors import DataError
from active_perception_r1.storage.fingerprint import folder_fingerprint


@dataclass(frozen=True, slots=True)
class _Opened(Opened):
    """A file or folder, as formats read it."""

    path: Path

    def splits(self) -> list[str] | None:
        if is_saved(self.path):
            from active_perception_r1.data.sources._library import saved_splits

            return saved_splits(self.path)
        return list(tables_of(self.path)) if self.path.is_dir() else None

    def table(self, split: str) -> Table:
        if is_saved(self.path):
            # Imported here: `datasets` takes a second to load, which no other kind of file needs.
            from active_perception_r1.data.sources._library import open_saved

            return open_saved(self.path, split)
        if not self.path.is_dir():
            return open_table(self.path)
        tables = tables_of(self.path)
        if split not in tables:
            raise unknown_split(str(self.path), split, tables)
        file, *others = tables[split]
        if others:
            raise DataError(f"{file} and {others[0].name}: two tables of one split; keep one")
        return open_table(file)

    def folder(self) -> Folder:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: not a folder, which a dataset in this format is")
        return Folder(self.path, folder_fingerprint(self.path))


class FileReader(Reader[FileDataset]):
    """Reads each in its format."""

    def splits(self, dataset: FileDataset) -> list[str] | None:
        return FORMATS[dataset.layout].splits(_Opened(dataset.path))

    def open(self, dataset: FileDataset, split: str) -> Split:
        return FORMATS[dataset.layout].open(_Opened(dataset.path), dataset, split)


READER = FileReader()
