"""The unit of a dataset's boxes: found once for a whole split, never box by box.

A single box tells nothing: `[0, 0, 1, 1]` is a whole page in one unit and a speck in another. All
boxes of a split together do. They must lie inside their pages in the right unit; where they do in
two units, the right one is that in which text reaches the far edges of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from active_perception_r1.config import BoxUnit
from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box

Size: TypeAlias = tuple[int, int]
"""Width and height of a page in pixels."""

TOLERANCE = 0.02
"""How far outside the page a box may reach, as a share of the page; OCR boxes often overshoot."""
MAX_BAD_SHARE = 0.01
"""Share of boxes that may be unusable before the whole split is taken for damaged or mixed."""

# Where two units fit, one is chosen if text reaches this far in it, and clearly less in the other.
_REACH = 0.8
_CLEARLY_LESS = 0.85

_UNITS: tuple[BoxUnit, ...] = ("unit", "thousand", "pixels")


def page_boxes(
    boxes: Sequence[Sequence[float]], unit: BoxUnit, size: Size, of: str = "word"
) -> list[Box]:
    """Boxes in page coordinates.

    Args:
        of: what they are boxes of, for messages.

    Raises:
        ValueError: a box is reversed, not finite, not of four numbers, or outside the page.
    """
    width, height = _extent(unit, size)
    found = []
    for index, coordinates in enumerate(boxes):
        try:
            x0, y0, x1, y1 = coordinates
            box = Box(x0 / width, y0 / height, x1 / width, y1 / height)
        except (TypeError, ValueError):
            raise ValueError(f"box of {of} {index} is not a box: {coordinates}") from None
        if min(box.x0, box.y0) < -TOLERANCE or max(box.x1, box.y1) > 1 + TOLERANCE:
            raise ValueError(f"box of {of} {index} is outside the page: {coordinates}")
        found.append(box)
    return found


@dataclass(slots=True)
class _Fit:
    """How the boxes seen so far lie in their pages, in one unit."""

    seen: int = 0
    outside: int = 0
    reach: float = 0.0  # how far right or down the farthest box inside the tolerance goes, 0-1

    @property
    def holds(self) -> bool:
        return self.seen > 0 and self.outside <= MAX_BAD_SHARE * self.seen


class BoxSurvey:
    """Looks at all boxes of a split, row by row, then names their unit."""

    def __init__(self) -> None:
        self._boxes = 0
        self._unusable = 0
        self._empty = 0
        self._largest = 0.0
        self._fits = {unit: _Fit() for unit in _UNITS}

    def add(self, boxes: Sequence[Sequence[float]], page_size: Callable[[], Size | None]) -> None:
        """Takes one row into account.

        Args:
            boxes: as the dataset has them.
            page_size: called only if the boxes do not lie within 0-1; None for a broken image.
        """
        array = _as_array(boxes)
        self._boxes += len(boxes)
        usable = array[(array[:, 0] <= array[:, 2]) & (array[:, 1] <= array[:, 3])]
        self._unusable += len(boxes) - len(usable)
        if len(usable) == 0:
            return
        self._empty += int(np.sum((usable[:, 0] == usable[:, 2]) | (usable[:, 1] == usable[:, 3])))
        self._largest = max(self._largest, float(usable.max()))
        small = bool(usable.max() <= 1 + TOLERANCE)
        size = None if small else page_size()
        for unit, fit in self._fits.items():
            if unit == "pixels" and size is None:
                continue
            _extend(fit, usable / np.array(_extent(unit, size or (1, 1)) * 2))

    def decide(self, override: BoxUnit | None, where: str) -> BoxUnit | None:
        """The unit of all boxes; None where there is not one box.

        Args:
            override: the unit that the configuration asserts; it is verified.
            where: names the split in error messages.

        Raises:
            DataError: boxes are damaged, mixed, or fit two units equally well.
        """
        if self._boxes == 0:
            return None
        if self._unusable > MAX_BAD_SHARE * self._boxes:
            raise DataError(
                f"{where}: {self._unusable} of {self._boxes} boxes are reversed or are not"
                " four numbers x0 y0 x1 y1; if they are x y width height, set box_format: xywh"
            )
        candidates = [unit for unit in _UNITS if self._fits[unit].holds]
        if override:
            if override not in candidates:
                raise DataError(f"{where}: boxes are not in box_unit {override}; {self._seen}")
            return override
        unit = _choose(candidates, self._fits)
        if unit is None:
            raise DataError(
                f"{where}: the unit of the boxes is not clear (possible:"
                f" {', '.join(candidates) or 'none'}); {self._seen}; if you know it, set box_unit"
            )
        return unit

    def counts(self) -> dict[str, Any]:
        """What the decision rests on, for the record."""
        return {
            "boxes": self._boxes,
            "unusable": self._unusable,
            "empty": self._empty,
            "largest_coordinate": self._largest,
            "outside_page": {unit: fit.outside for unit, fit in self._fits.items() if fit.seen},
            "reach": {unit: round(fit.reach, 4) for unit, fit in self._fits.items() if fit.seen},
        }

    @property
    def _seen(self) -> str:
        outside = (
            f"{fit.outside} of {fit.seen} outside the page as {unit}"
            for unit, fit in self._fits.items()
            if fit.seen
        )
        return f"largest coordinate {self._largest:g}, {', '.join(outside)}"


def _choose(candidates: Sequence[BoxUnit], fits: dict[BoxUnit, _Fit]) -> BoxUnit | None:
    # Coordinates within 0-1 lie inside the page in every unit, but fill it only in this one.
    if "unit" in candidates:
        return "unit"
    if len(candidates) == 1:
        return candidates[0]
    by_reach = sorted(candidates, key=lambda unit: fits[unit].reach, reverse=True)
    match [fits[unit].reach for unit in by_reach]:
        case [best, other] if best >= _REACH and other <= _CLEARLY_LESS * best:
            return by_reach[0]
    return None


def _extent(unit: BoxUnit, size: Size) -> tuple[float, float]:
    """Coordinates of the lower right corner of a page."""
    match unit:
        case "unit":
            return 1.0, 1.0
        case "thousand":
            return 1000.0, 1000.0
        case "pixels":
            return size


def _extend(fit: _Fit, boxes: np.ndarray) -> None:
    inside = (boxes.min(axis=1) >= -TOLERANCE) & (boxes.max(axis=1) <= 1 + TOLERANCE)
    fit.seen += len(boxes)
    fit.outside += int(np.sum(~inside))
    fit.reach = max(fit.reach, float(boxes[inside].max(initial=0.0)))


def _as_array(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Shape (n, 4); whatever is not four finite numbers is left out."""
    rows = [b for b in boxes if isinstance(b, Sequence) and len(b) == 4 and None not in b]
    array = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return array[np.isfinite(array).all(axis=1)]
