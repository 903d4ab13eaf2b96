"""Crops show exactly the region they say they show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from active_perception_r1.envs.zoom_simulator import (
    Crop,
    CropRules,
    Refusal,
    ViewRules,
    evidence_view,
    first_view,
    zoom,
)
from active_perception_r1.errors import DataError
from active_perception_r1.geometry import Box, coverage, is_redundant
from active_perception_r1.records import ToolStatus
from tests.strategies import boxes

PAGE = Image.effect_noise((640, 480), 80).convert("RGB")


def rules(
    max_pixels: int = 12544,
    multiple: int = 1,
    max_aspect: float = 8.0,
    min_area: float = 0.0,
    max_area: float = 1.0,
) -> CropRules:
    return CropRules(ViewRules(max_pixels, multiple), max_aspect, min_area, max_area)


sizes = st.integers(1, 700)


@given(boxes(), sizes, sizes, st.sampled_from([100, 12544, 60000]), st.sampled_from([1, 14, 28]))
def test_a_crop_shows_what_was_asked_for_within_its_budget(
    box: Box, width: int, height: int, max_pixels: int, multiple: int
) -> None:
    page = Image.new("RGB", (width, height))
    crop = zoom(page, box, rules(max_pixels, multiple))
    assert isinstance(crop, Crop)
    assert crop.box.inside_page
    assert coverage(crop.box, box) > 0.999
    assert crop.image.width % multiple == 0 == crop.image.height % multiple
    assert crop.image.width * crop.image.height <= max(max_pixels, multiple**2)
    # Whole pixels: the edges of the executed box are pixel edges of the page.
    for edge, side in zip(crop.box.as_tuple(), (width, height) * 2, strict=True):
        assert edge * side == pytest.approx(round(edge * side), abs=1e-6)


@given(boxes(), sizes, sizes, st.floats(1, 4))
def test_a_flat_box_is_grown_to_the_allowed_aspect_where_the_page_has_room(
    box: Box, width: int, height: int, max_aspect: float
) -> None:
    crop = zoom(Image.new("RGB", (width, height)), box, rules(max_aspect=max_aspect))
    assert isinstance(crop, Crop)
    wide, high = crop.box.width * width, crop.box.height * height
    assert max(wide, high) / max_aspect <= min(wide, high) + 1e-6 or min(wide, high) == (
        pytest.approx(min(width, height))
    )


def official(min_pixels: int = 256, min_side: int = 32) -> CropRules:
    """As Qwen's own tool has it, but for the pixels."""
    return CropRules(
        ViewRules(65_536), 8.0, 0.0, 1.0, min_pixels=min_pixels, clamp=True, min_side=min_side
    )


@given(boxes(), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_box_across_the_edge_may_be_cut_there(box: Box, right: float, down: float) -> None:
    moved = Box(box.x0 + right, box.y0 + down, box.x1 + right, box.y1 + down)
    found = zoom(PAGE, moved, official(min_side=1))
    inside = moved.intersection(Box(0, 0, 1, 1))
    if inside.area == 0:
        assert isinstance(found, Refusal)
        assert found.status is ToolStatus.OUT_OF_BOUNDS
    else:
        assert isinstance(found, Crop)
        assert coverage(found.box, inside) > 0.999


def test_a_short_side_is_grown_around_its_centre() -> None:
    crop = zoom(PAGE, Box(0.5, 0.5, 0.51, 0.51), official())
    assert isinstance(crop, Crop)
    assert crop.box.width * 640 == pytest.approx(32)
    assert crop.box.height * 480 == pytest.approx(32)
    assert coverage(crop.box, Box(0.5, 0.5, 0.51, 0.51)) == 1


@pytest.mark.parametrize(
    ("side", "shown"), [(32, 64), (64, 64), (128, 128), (256, 256), (400, 256)]
)
def test_a_crop_keeps_its_own_pixels_between_the_least_and_the_budget(
    side: int, shown: int
) -> None:
    page = Image.new("RGB", (1000, 1000))
    crop = zoom(page, Box(0, 0, side / 1000, side / 1000), official(min_pixels=64 * 64))
    assert isinstance(crop, Crop)
    assert crop.image.size == (shown, shown)


def test_regression_crops_are_cut_from_original_pixels_and_enlarged() -> None:
    page = Image.new("RGB", (1000, 1000), "white")
    page.paste("black", (500, 500, 510, 510))
    crop = zoom(page, Box(0.495, 0.495, 0.515, 0.515), rules(max_pixels=10_000))
    assert isinstance(crop, Crop)
    assert crop.image.size == (100, 100)
    dark = np.asarray(crop.image.convert("L")) < 128
    assert dark.mean() == pytest.approx(0.25, abs=0.02)  # 10 x 10 of 20 x 20 pixels
    assert dark[30:70, 30:70].all()


@pytest.mark.parametrize(
    ("box", "status"),
    [
        (Box(-0.01, 0, 0.5, 0.5), ToolStatus.OUT_OF_BOUNDS),
        (Box(0.5, 0.5, 1.01, 0.9), ToolStatus.OUT_OF_BOUNDS),
        (Box(2, 2, 3, 3), ToolStatus.OUT_OF_BOUNDS),
        (Box(0.5, 0.5, 0.51, 0.51), ToolStatus.TOO_SMALL),
        (Box(0, 0, 1, 0.95), ToolStatus.INVALID_BBOX),
    ],
)
def test_a_box_outside_the_rules_is_refused_with_a_reason(box: Box, status: ToolStatus) -> None:
    outcome = zoom(PAGE, box, rules(min_area=0.001, max_area=0.9))
    assert isinstance(outcome, Refusal)
    assert outcome.status is status
    assert outcome.reason


@given(sizes, sizes, st.integers(50, 20_000))
def test_the_first_view_keeps_the_page_whole_and_never_enlarges_it(
    width: int, height: int, max_pixels: int
) -> None:
    view = first_view(Image.new("RGB", (width, height)), ViewRules(max_pixels))
    assert view.width <= width
    assert view.height <= height
    assert view.width * view.height <= max_pixels


flat = st.tuples(st.integers(1, 60), st.integers(1, 12_000)).flatmap(st.permutations)


@given(
    flat,
    boxes(),
    st.sampled_from([12_544, 401_408, 10**7]),
    st.sampled_from([1, 28, 32]),
    st.sampled_from([2.0, 7.5, 200.0]),
)
def test_no_image_is_flatter_than_the_processor_takes(
    size: Sequence[int], box: Box, max_pixels: int, multiple: int, max_aspect: float
) -> None:
    page = Image.new("L", (size[0], size[1]))
    view = ViewRules(max_pixels, multiple, max_aspect)
    crops = CropRules(view, max_aspect, 0.0, 1.0)
    if max(size) > max_aspect * min(size):
        with pytest.raises(DataError, match=f"{size[0]} x {size[1]} pixels is flatter than"):
            first_view(page, view)
        return
    crop = zoom(page, box, crops)
    assert isinstance(crop, Crop)
    for image in (first_view(page, view), crop.image, evidence_view(page, box, 0.02, crops).image):
        assert max(image.size) <= max_aspect * min(image.size)
        assert image.width % multiple == 0 == image.height % multiple
        assert image.width * image.height <= max(max_pixels, multiple**2)


def test_regression_rounding_does_not_make_a_page_too_flat() -> None:
    page = Image.new("RGB", (40, 5900))  # 147:1; 28 x 5908 pixels would be 211:1
    assert first_view(page, ViewRules(401_408, 28, 200.0)).size == (28, 5600)
    assert first_view(page, ViewRules(401_408, 28)).size == (28, 5908)


def test_the_evidence_view_adds_a_margin_and_stops_at_the_edge() -> None:
    crop = evidence_view(PAGE, Box(0.0, 0.4, 0.1, 0.5), 0.05, rules())
    assert crop.box.as_tuple() == pytest.approx((0, 0.35, 0.15, 0.55), abs=0.003)


def test_repeats_are_recognised_by_overlap() -> None:
    box = Box(0.2, 0.2, 0.4, 0.4)
    assert is_redundant(box, [Box(0.7, 0.7, 0.9, 0.9), Box(0.2, 0.2, 0.4, 0.41)])
    assert not is_redundant(box, [Box(0.25, 0.25, 0.45, 0.45)])
    assert not is_redundant(box, [])
