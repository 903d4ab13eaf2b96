"""A page is known to be sound, and its size, as if it had been decoded in full."""

from __future__ import annotations

import random

import pytest
from PIL import ExifTags, Image

from active_perception_r1.data.boxes import Size
from active_perception_r1.data.pages import checked_size, size_by_head
from active_perception_r1.envs.zoom_simulator import open_page
from active_perception_r1.errors import DataError
from tests.docvqa_files import ROTATED, bomb, encoded

NOISE = Image.frombytes("RGB", (20, 12), random.Random(0).randbytes(720))
TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = ROTATED

PAGES = {
    "PNG": encoded(NOISE, "PNG"),
    "PNG of a palette": encoded(NOISE.convert("P"), "PNG"),
    "turned PNG": encoded(NOISE, "PNG", exif=TURNED),
    "JPEG": encoded(NOISE, "JPEG"),
    "progressive JPEG": encoded(NOISE, "JPEG", progressive=True),
    "JPEG for print": encoded(NOISE.convert("CMYK"), "JPEG"),
    "turned JPEG": encoded(NOISE, "JPEG", exif=TURNED),
    "WebP": encoded(NOISE, "WEBP"),
}


def size(page: bytes) -> Size | None:
    try:
        return checked_size(page)
    except DataError:
        return None


def decoded_size(page: bytes) -> Size | None:
    try:
        return open_page(page).size
    except DataError:
        return None


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> bytes:
    return PAGES[request.param]


def test_the_size_is_that_of_the_displayed_page(page: bytes) -> None:
    assert checked_size(page) == size_by_head(page) == open_page(page).size


def test_a_page_that_is_turned_by_what_stands_behind_its_pixels_is_seen_so() -> None:
    page, turned = PAGES["PNG"], PAGES["turned PNG"]
    start, end = turned.index(b"eXIf") - 4, turned.index(b"IDAT") - 4
    behind = page[:-12] + turned[start:end] + page[-12:]
    assert checked_size(behind) == size_by_head(behind) == open_page(behind).size == (12, 20)


@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged metadata
def test_a_page_cut_off_anywhere_is_refused_exactly_if_it_cannot_be_decoded(page: bytes) -> None:
    verdicts = [size(page[:length]) for length in range(len(page))]
    assert verdicts == [decoded_size(page[:length]) for length in range(len(page))]
    assert None in verdicts[-40:]  # amid the pixels, not only in the head


@pytest.mark.filterwarnings("ignore")
def test_a_page_with_any_byte_damaged_is_refused_exactly_if_it_cannot_be_decoded(
    page: bytes,
) -> None:
    for place in range(len(page)):
        damaged = page[:place] + bytes([page[place] ^ 0xFF]) + page[place + 1 :]
        assert size(damaged) == decoded_size(damaged), place


@pytest.mark.filterwarnings("ignore")  # Pillow's, about its size
def test_a_page_with_too_many_pixels_is_refused_by_its_head() -> None:
    with pytest.raises(DataError, match="larger than the limit"):
        checked_size(bomb(side=9_500))
