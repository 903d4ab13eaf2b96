"""Boxes in page coordinates: 0-1 of the original page, x to the right, y down."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

REDUNDANT_IOU = 0.8
"""A crop this similar to an earlier one shows nothing new (as in InSight-doc)."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box `x0 y0 x1 y1` in page coordinates; finite, with x0 <= x1 and y0 <= y1.

    A box may reach outside the page (see `inside_page`); a box without area is allowed, since the
    intersection of two boxes that do not meet is one.

    Raises:
        ValueError: a coordinate is not finite, or a side is reversed.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.as_tuple())):
            raise ValueError(f"box has a coordinate that is not finite: {self.as_tuple()}")
        if self.x0 > self.x1 or self.y0 > self.y1:
            raise ValueError(f"box is reversed: {self.as_tuple()}")

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Share of the page, in [0, 1] for a box inside the page."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def inside_page(self) -> bool:
        return self.x0 >= 0 and self.y0 >= 0 and self.x1 <= 1 and self.y1 <= 1

    def as_tuple(self) -> tuple[float, float, float, float]:
        return self.x0, self.y0, self.x1, self.y1

    def intersection(self, other: Box) -> Box:
        """The common part; a box of area 0 where there is none.

        >>> Box(0.0, 0.0, 0.5, 0.5).intersection(Box(0.25, 0.25, 1.0, 1.0))
        Box(x0=0.25, y0=0.25, x1=0.5, y1=0.5)
        """
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))

    def union(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    def inside(self, outer: Box) -> Box:
        """This box, whose coordinates are 0-1 of `outer`, in the coordinates of `outer`.

        >>> Box(0.0, 0.5, 0.5, 1.0).inside(Box(0.5, 0.5, 1.0, 1.0))
        Box(x0=0.5, y0=0.75, x1=0.75, y1=1.0)
        """
        return Box(
            outer.x0 + self.x0 * outer.width,
            outer.y0 + self.y0 * outer.height,
            outer.x0 + self.x1 * outer.width,
            outer.y0 + self.y1 * outer.height,
        )

    def expanded(self, margin: float) -> Box:
        """Grown by `margin` (page units) on every side and cut at the edge of the page."""
        return Box(
            max(0.0, self.x0 - margin),
            max(0.0, self.y0 - margin),
            min(1.0, self.x1 + margin),
            min(1.0, self.y1 + margin),
        )


WHOLE_PAGE = Box(0.0, 0.0, 1.0, 1.0)


def coverage(crop: Box, evidence: Box) -> float:
    """Share of `evidence` that `crop` shows, in [0, 1].

    Evidence without area (a single point) is covered when it lies in the crop.

    >>> coverage(Box(0.0, 0.0, 0.5, 1.0), Box(0.25, 0.0, 0.75, 1.0))
    0.5
    """
    if evidence.area == 0:
        x, y = evidence.centre
        return float(crop.x0 <= x <= crop.x1 and crop.y0 <= y <= crop.y1)
    return min(1.0, _overlap(crop, evidence) / evidence.area)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]; 1 for two equal boxes without area.

    >>> iou(Box(0.0, 0.0, 1.0, 0.5), Box(0.0, 0.0, 1.0, 1.0))
    0.5
    """
    common = _overlap(a, b)
    union = a.area + b.area - common
    return min(1.0, common / union) if union > 0 else float(a == b)


def is_redundant(box: Box, earlier: Iterable[Box]) -> bool:
    """Whether a crop of `box` shows what one of the earlier boxes has shown."""
    return any(iou(box, other) >= REDUNDANT_IOU for other in earlier)


def equal_tiles(size: tuple[int, int], count: int) -> tuple[Box, ...]:
    """A page cut into `count` tiles of one shape, as near to a square as can be, row by row.

    Together they are the page, and none overlaps another. Of two grids with tiles equally near to
    a square, the one with more rows is taken, since lines of text stay whole in it.

    Args:
        size: width and height of the page, in any unit.
        count: at least 1.

    >>> equal_tiles((600, 600), 2)
    (Box(x0=0.0, y0=0.0, x1=1.0, y1=0.5), Box(x0=0.0, y0=0.5, x1=1.0, y1=1.0))
    >>> [tile.as_tuple() for tile in equal_tiles((900, 300), 3)][1]
    (0.3333333333333333, 0.0, 0.6666666666666666, 1.0)
    """
    width, height = size

    def flatness(columns: int) -> float:
        aspect = (width / columns) / (height / (count // columns))
        return max(aspect, 1 / aspect)

    columns = min((n for n in range(1, count + 1) if count % n == 0), key=flatness)
    rows = count // columns
    return tuple(
        Box(x / columns, y / rows, (x + 1) / columns, (y + 1) / rows)
        for y in range(rows)
        for x in range(columns)
    )


def _overlap(a: Box, b: Box) -> float:
    """Area of the intersection, without making a box: the reward spends its time here."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0
