"""Boxes on a page."""

from __future__ import annotations

import math

import pytest
from hypothesis import given

from active_perception_r1.geometry import Box, coverage, iou
from active_perception_r1.records import Evidence, evidence_coverage
from tests.strategies import boxes


@pytest.mark.parametrize(
    "values", [(0, 0, math.nan, 1), (0, -math.inf, 1, 1), (1, 0, 0, 1), (0, 1, 1, 0)]
)
def test_a_box_that_is_not_one_cannot_be_made(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box"):
        Box(*values)


@given(boxes(), boxes())
def test_intersection_lies_in_both_and_union_around_both(a: Box, b: Box) -> None:
    common, hull = a.intersection(b), a.union(b)
    assert common.area <= min(a.area, b.area) + 1e-12
    assert hull.area >= max(a.area, b.area) - 1e-12
    assert common == b.intersection(a) or common.area == 0 == b.intersection(a).area
    assert hull == b.union(a)


@given(boxes(), boxes())
def test_coverage_and_iou_stay_in_range_and_agree_on_the_extremes(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) <= min(1, coverage(a, b) + 1e-9, coverage(b, a) + 1e-9)
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert iou(a, a) == coverage(a, a) == 1
    assert coverage(Box(0, 0, 1, 1), a) == pytest.approx(1)


@given(boxes(), boxes(), boxes())
def test_a_larger_crop_covers_no_less(a: Box, b: Box, evidence: Box) -> None:
    assert coverage(a.union(b), evidence) >= coverage(a, evidence) - 1e-9


def test_alternatives_count_by_the_best_and_parts_by_their_weight() -> None:
    left, right = Box(0, 0, 0.1, 0.1), Box(0.9, 0.9, 1, 1)
    crop = Box(0, 0, 0.2, 0.2)
    assert evidence_coverage(crop, [Evidence("answer", left), Evidence("answer", right)]) == 1
    assert evidence_coverage(crop, [Evidence("a", left, 3.0), Evidence("b", right, 1.0)]) == 0.75
    assert evidence_coverage(crop, []) == 0
    assert evidence_coverage(crop, [Evidence("a", left, 0.0)]) == 0
