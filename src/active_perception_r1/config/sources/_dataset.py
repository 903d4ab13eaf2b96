"""What every source says about its dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from active_perception_r1.config.section import Section
from active_perception_r1.tasks import DEFAULT_TASK

BoxUnit = Literal["unit", "thousand", "pixels"]


class Repository(NamedTuple):
    """A repository on the hub; no revision is its default branch."""

    id: str
    revision: str | None


class Dataset(Section, ABC):
    """A dataset, told apart from others of its source by the keys of its section."""

    source: str

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it."""

    @property
    def splits(self) -> Collection[str] | None:
        """Its splits; None where only reading it tells."""
        return None

    @property
    def stated_unit(self) -> BoxUnit | None:
        """The unit of its boxes, if it says so; else the boxes tell."""
        return None

    @property
    def layout(self) -> str | None:
        """Name of the format of its rows; None if its source has but one."""
        return None

    @property
    def task(self) -> str:
        """Name of the task that its questions are for, as far as its format says it."""
        return DEFAULT_TASK

    @property
    def maps_options(self) -> bool:
        """Whether it says which column holds options to choose from."""
        return False

    @property
    def repository(self) -> Repository | None:
        """What of the hub is needed, if it is not there already."""
        return None

    @property
    def content(self) -> str:
        """Fingerprint of what it is made of now, where neither its section nor `files` tell."""
        return ""

    def files(self, split: str) -> list[Path]:
        """Local files that a split is made of: when one changes, the split is made again."""
        return []

    def of_split(self, split: str) -> Self:
        """As far as it concerns a split: what else changes does not make the split again."""
        return self

    @classmethod
    def meant_by(cls, text: str, split: str, samples: int) -> dict[str, Any] | None:
        """The section that a few words on a command line stand for; None if they mean another.

        Args:
            split, samples: which questions, and how many of them, are going to be asked.
        """
        return None
