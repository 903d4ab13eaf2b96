"""What reading a split gives, whatever its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from active_perception_r1.errors import DataError
from active_perception_r1.storage.rows import Row


@dataclass(frozen=True, slots=True)
class Source:
    """One split.

    Attributes:
        rows: those from an index on.
        total: how many there are in all.
        revision: identifies the state of the data that they are from.
    """

    rows: Callable[[int], Iterable[Row]]
    total: int
    revision: str


Reader: TypeAlias = Callable[[Any, str], Source]
"""Opens a split of a dataset, given the section of its source."""


def unknown_split(where: str, split: str, available: Iterable[str]) -> DataError:
    """The error for a split that a dataset does not have."""
    return DataError(f"{where}: no split '{split}'; there are: {', '.join(available) or 'none'}")
