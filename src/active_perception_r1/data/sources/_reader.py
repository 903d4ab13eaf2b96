"""What reading a dataset takes, whatever its source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from active_perception_r1.config import Dataset
from active_perception_r1.data.formats import Split
from active_perception_r1.errors import DataError

DatasetT = TypeVar("DatasetT", bound="Dataset")


class Reader(ABC, Generic[DatasetT]):
    """Reads datasets whose section is `config.sources`' of the same name."""

    @abstractmethod
    def splits(self, dataset: DatasetT) -> list[str] | None:
        """Names of all splits; None where one table serves every split.

        Raises:
            DataError: the dataset cannot be read.
        """

    @abstractmethod
    def open(self, dataset: DatasetT, split: str) -> Split:
        """The questions of a split.

        Raises:
            DataError: the dataset cannot be read, has no such split, or lacks columns.
        """


def unknown_split(where: str, split: str, available: Iterable[str]) -> DataError:
    """The error for a split that a dataset does not have."""
    return DataError(f"{where}: no split '{split}'; there are: {', '.join(available) or 'none'}")
