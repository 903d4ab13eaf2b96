"""Work on a list in several parts, each by a job of its own, and the files that these keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")

_NAME = r"(\d+)-of-(\d+)"


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a list: every `count`-th entry, from the `number`-th on, counted from 1.

    >>> Shard.named("2-of-3").of("abcdefg")
    'be'

    Raises:
        ValueError: there is no such part.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"there is no part {self}")

    @classmethod
    def named(cls, text: str) -> Self:
        """Inverse of `str`.

        Raises:
            ValueError: the text is no such name, or there is no such part.
        """
        if not (match := re.fullmatch(_NAME, text)):
            raise ValueError(f"'{text}' is no part such as 1-of-4")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"

    def of(self, entries: Sequence[T]) -> Sequence[T]:
        """The entries of this part."""
        return entries[self.number - 1 :: self.count]

    def file(self, path: Path) -> Path:
        """What this part has in place of a file about all.

        >>> Shard(2, 3).file(Path("active.jsonl")).name, WHOLE.file(Path("active.jsonl")).name
        ('active.2-of-3.jsonl', 'active.jsonl')
        """
        return path if self == WHOLE else path.with_suffix(f".{self}{path.suffix}")


WHOLE = Shard()


def files_beside(path: Path) -> list[Path]:
    """The files of the same work, of all and of parts, however many these were; not `path`."""
    whole = re.sub(rf"\.{_NAME}\Z", "", path.stem)
    same = re.compile(rf"{re.escape(whole)}(\.{_NAME})?{re.escape(path.suffix)}")
    found = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted(file for file in found if same.fullmatch(file.name) and file != path)
