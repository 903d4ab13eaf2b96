"""By the area of the evidence: small print is taken to be illegible in a first view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from active_perception_r1.config import SliceConfig
from active_perception_r1.data.needs._need import Decision
from active_perception_r1.records import Sample
from active_perception_r1.rewards.need import needs_zoom


def by_area(sample: Sample) -> Decision:
    """As `rewards.need.needs_zoom`."""
    return Decision(needs_zoom(sample.evidence), "area of the evidence")


@contextmanager
def _open(settings: SliceConfig, kept: Path) -> Iterator[Callable[[Sample], Decision]]:
    yield by_area


NEED = _open
