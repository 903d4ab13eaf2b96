"""What a format is: from what a source has to the questions of a split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from active_perception_r1.config.sources import BoxUnit
from active_perception_r1.config.sources._table import BoxFormat, TableDataset
from active_perception_r1.data.questions import Question
from active_perception_r1.storage.rows import Row
from active_perception_r1.tasks import DEFAULT_TASK


@dataclass(frozen=True, slots=True)
class About:
    """Where a dataset is from; empty where that is not known.

    Attributes:
        license: SPDX identifier, or a few words.
        citation: how its authors want it to be cited, in one line.
    """

    url: str = ""
    license: str = ""
    citation: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """The questions of a split.

    Attributes:
        questions: those from an index on.
        total: how many there are in all.
        revision: identifies the state of the data that they are from.
        box_unit: the unit of all boxes, where it is known before they are read.
        about: where the dataset is from.
    """

    questions: Callable[[int], Iterable[Question]]
    total: int
    revision: str
    box_unit: BoxUnit | None = None
    about: About = About()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        place: where it stands, such as `line 7`.
        reason: what is wrong with it.
    """

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as a source has them.

    Attributes:
        name: what messages call it.
        columns: names of all its columns.
        rows: those from an index on, with these of its columns.
        total: how many rows there are.
        revision: as of `Split`.
        folder: where paths of images begin; None if they lead nowhere.
        schema: types of the columns, where they are known before rows are read.
    """

    name: str
    columns: Collection[str]
    rows: Callable[[int, Collection[str]], Iterable[Row | BadRow]]
    total: int
    revision: str
    folder: Path | None = None
    schema: pa.Schema | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """Files as a source has them; `revision` as of `Split`."""

    path: Path
    revision: str


class Opened(ABC):
    """A dataset at one state, which its format reads as a table or as files."""

    @abstractmethod
    def splits(self) -> list[str] | None:
        """Names of all splits, if it is read as a table; None where one table serves every split.

        Raises:
            DataError: it cannot be read.
        """

    @abstractmethod
    def table(self, split: str) -> Table:
        """One split.

        Raises:
            DataError: it cannot be read, or there is no such split.
        """

    @abstractmethod
    def folder(self) -> Folder:
        """All of its files.

        Raises:
            DataError: they cannot be had.
        """


class Format(ABC):
    """How the rows of a dataset are laid out.

    Attributes:
        box_format, box_unit: of all boxes, where the format says it.
        about: where the dataset is from, if the format is that of one dataset.
        task: name of the task that its questions are for.
    """

    box_format: ClassVar[BoxFormat] = "xyxy"
    box_unit: ClassVar[BoxUnit | None] = None
    about: ClassVar[About] = About()
    task: ClassVar[str] = DEFAULT_TASK

    def splits(self, source: Opened) -> list[str] | None:
        """Names of all splits; None where one table serves every split.

        Raises:
            DataError: the dataset cannot be read.
        """
        return source.splits()

    @abstractmethod
    def open(self, source: Opened, dataset: TableDataset, split: str) -> Split:
        """The questions of a split.

        Raises:
            DataError: the dataset is not in this format, or cannot be read.
        """
