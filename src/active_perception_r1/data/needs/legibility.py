"""By a reader: a zoom is needed where the answer is legible in its crop but not in the first view.

Where it is legible in neither, the reader has nothing to say, and the area of the evidence decides.
Without evidence there is no crop, and the whole page at its own size stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from active_perception_r1.config import SliceConfig
from active_perception_r1.data.legibility import legible_in_crop, legible_in_view
from active_perception_r1.data.needs._need import Decision
from active_perception_r1.data.needs.area import by_area
from active_perception_r1.data.readings import Readings
from active_perception_r1.records import Sample


def by_legibility(readings: Readings, max_pixels: int, sample: Sample) -> Decision:
    """
    Args:
        max_pixels: of the first view, and of the crop.
    """
    if legible_in_view(readings, sample, max_pixels):
        return Decision(False, "legible in the first view")
    if sample.evidence:
        closer = legible_in_crop(readings, sample, max_pixels)
    else:
        closer = legible_in_view(readings, sample, sample.width * sample.height)
    return Decision(True, "legible only from nearer") if closer else by_area(sample)


@contextmanager
def _open(settings: SliceConfig, kept: Path) -> Iterator[Callable[[Sample], Decision]]:
    assert settings.legible_pixels is not None  # or the configuration is refused
    with Readings(kept) as readings:
        yield partial(by_legibility, readings, settings.legible_pixels)


NEED = _open
