"""A study's results in the formats of other people's viewers: one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from active_perception_r1.registry import Registry
from active_perception_r1.report.finished import FinishedStudy


@dataclass(frozen=True, slots=True)
class Export:
    """One format.

    Attributes:
        purpose: what it is for, in a few words.
        write: writes files into a folder that is there, and tells each when it is complete; raises
            DataError if the study cannot be told in this format.
    """

    purpose: str
    write: Callable[[FinishedStudy, Path], Iterator[Path]]


EXPORTS: Registry[Export] = Registry(__name__, "EXPORT")
