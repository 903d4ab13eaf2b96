"""What a way to tell whether questions need a zoom is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from active_perception_r1.config import SliceConfig
from active_perception_r1.records import Sample


class Decision(NamedTuple):
    """Whether a question needs a zoom, and what has decided it, in words for people."""

    requires_zoom: bool
    by: str


class Need(Protocol):
    """Opens a function that decides; what that needs is closed behind it."""

    def __call__(
        self, settings: SliceConfig, kept: Path
    ) -> AbstractContextManager[Callable[[Sample], Decision]]:
        """
        Args:
            kept: file for what should not be found out twice, if there is such.
        """
        ...
