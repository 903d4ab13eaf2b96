"""Squares of a page: to read a value in, and to zoom into.

The demonstrated zooms are imprecise on purpose. They aim at a point between the value and its label
with a uniform error, so that the supervised model has all the knowledge it needs to zoom well and
still misses: reinforcement learning has something to find, and samples that find it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from active_perception_r1.data.synthetic import PageQuestion, RenderedPage
from active_perception_r1.envs.zoom_simulator import (
    CropRules,
    ViewRules,
    evidence_view,
    tile_views,
)
from active_perception_r1.geometry import Box, coverage
from recipes.tiny_zoom_vlm.tokenizer import IMAGE_SIDE

TIGHT = 0.075
"""Side of the tightest crop to read: a little less than the oracle's."""
TILES = 2
"""Into which a page is cut: as many as a page and one crop."""
_GRID = 20  # demonstrated boxes and places lie on a grid of 0.05: few classes are learned sooner
_MARGIN = 0.008  # around the value in a crop to read
_ILLEGIBLE = 0.5  # side of a crop in which small print cannot be read any more
_WHOLE_PAGE = Box(0.0, 0.0, 1.0, 1.0)
_VIEW_RULES = CropRules(ViewRules(IMAGE_SIDE**2), max_aspect=1.0, min_area=0.0, max_area=1.0)


@dataclass(frozen=True, slots=True)
class Aim:
    """How the demonstrator misses (page units).

    Attributes:
        pull: how far the aim is drawn from the value towards its labels, along each axis.
        error: half-width of the uniform error on top.
        sides: sides of the demonstrated squares.
    """

    pull: float
    error: float
    sides: tuple[float, ...]


def view(page: Image.Image, box: Box = _WHOLE_PAGE) -> Image.Image:
    """What the product shows a model of a page: `box`, made square, at the model's size."""
    return evidence_view(page, box, 0.0, _VIEW_RULES).image


def tiles(page: Image.Image) -> list[Image.Image]:
    """What mode `matched_view` shows of a page, one crop having been shown."""
    return list(tile_views(page, TILES, _VIEW_RULES.view))


def reading_box(page: RenderedPage, question: PageQuestion, side: float, rng: random.Random) -> Box:
    """A random square that shows the asked value whole and cannot be mistaken for another one.

    Another legible value may be in sight only if the label of the asked one is, too; if no such
    square of the wished side is found, smaller ones are tried.
    """
    evidence = page.words[question.word_index].box
    label = page.words[question.labels[0][1]].box
    others = [page.words[q.word_index].box for q in page.questions if q is not question]
    least = max(0.08, max(evidence.width, evidence.height) + 2 * _MARGIN)
    while True:
        side = max(side, least)
        x = _cover(evidence.x0, evidence.x1, side, rng)
        y = _cover(evidence.y0, evidence.y1, side, rng)
        box = Box(x, y, x + side, y + side)
        alone = all(coverage(box, other) < 0.5 for other in others)
        named = len(question.labels) == 1 and coverage(box, label) > 0.95
        only_legible = question.large_print and side > _ILLEGIBLE
        if alone or named or only_legible or side == least:
            return box
        side *= 0.93


def demonstrated_zoom(
    page: RenderedPage, question: PageQuestion, aim: Aim, rng: random.Random
) -> Box:
    """A square near the value, drawn towards its labels and off by a uniform error."""
    value = page.words[question.word_index].box.centre
    labels = [page.words[index].box.centre for _, index in question.labels]
    side = rng.choice(aim.sides)
    corner = []
    for axis in (0, 1):
        pull = sum(max(-aim.pull, min(aim.pull, label[axis] - value[axis])) for label in labels)
        centre = value[axis] + pull + rng.uniform(-aim.error, aim.error)
        corner.append(on_grid(min(max(centre - side / 2, 0.0), 1.0 - side)))
    return Box(corner[0], corner[1], on_grid(corner[0] + side), on_grid(corner[1] + side))


def on_grid(coordinate: float) -> float:
    """The nearest of the places that are written."""
    return round(coordinate * _GRID) / _GRID


def _cover(low: float, high: float, side: float, rng: random.Random) -> float:
    """A random start of an interval of length `side` in [0, 1] that covers [low, high] well."""
    first, last = max(0.0, high + _MARGIN - side), min(1.0 - side, low - _MARGIN)
    return rng.uniform(first, last) if first < last else max(0.0, min(1 - side, (first + last) / 2))
