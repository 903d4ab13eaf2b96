"""Rendered pages: deterministic, exactly boxed, and answerable only from the digits themselves.

Small print is gone in a first view of 112 x 112 pixels, large print is legible there.
"""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from active_perception_r1.data.synthetic import (
    LAYOUTS,
    PAGE_SIDE,
    TOTAL,
    RenderedPage,
    render_page,
)
from active_perception_r1.geometry import Box, coverage

FIRST_VIEW = 112


def pages(layout: str, count: int, seed: int = 0, large_print: bool = False) -> list[RenderedPage]:
    rng = random.Random(seed)
    return [render_page(rng, layout, large_print=large_print) for _ in range(count)]


def dark(page: RenderedPage, box: Box, margin: int = 0) -> int:
    """Number of dark pixels in the box grown by `margin` pixels."""
    x0, y0, x1, y1 = (round(value * PAGE_SIDE) for value in box.as_tuple())
    grey = np.asarray(page.image.convert("L"))
    return int((grey[y0 - margin : y1 + margin, x0 - margin : x1 + margin] < 100).sum())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_page_follows_from_the_seed(layout: str) -> None:
    first, again = (render_page(random.Random(5), layout) for _ in range(2))
    other = render_page(random.Random(6), layout)
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.words, first.questions) == (again.words, again.questions)
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("large_print", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_evidence_box_holds_the_answer_and_all_its_ink(layout: str, large_print: bool) -> None:
    for page in pages(layout, 20, large_print=large_print):
        assert page.image.size == (PAGE_SIDE, PAGE_SIDE)
        for question in page.questions:
            word = page.words[question.word_index]
            assert word.text == question.answer
            assert word.box.inside_page
            assert dark(page, word.box) > 30
            assert dark(page, word.box, margin=1) == dark(page, word.box)


@pytest.mark.parametrize("large_print", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_name_the_value(layout: str, large_print: bool) -> None:
    for page in pages(layout, 20, large_print=large_print):
        assert len({question.text for question in page.questions}) == len(page.questions)
        for question in page.questions:
            for phrase, index in question.labels:
                assert phrase in question.text
                assert page.words[index].text in phrase.split()
        values = {question.word_index for question in page.questions}
        tiles = {index for question in page.questions for _, index in question.labels}
        assert values | tiles == set(range(len(page.words)))


@pytest.mark.parametrize("large_print", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_crop_of_a_fifth_of_the_page_can_show_one_value_alone(
    layout: str, large_print: bool
) -> None:
    for page in pages(layout, 50, large_print=large_print):
        centres = [page.words[question.word_index].box.centre for question in page.questions]
        for i, (x, y) in enumerate(centres):
            for other_x, other_y in centres[:i]:
                assert max(abs(x - other_x), abs(y - other_y)) > 0.17


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_vanish_in_the_first_view(layout: str) -> None:
    """A digit is left with 2 x 3 pixels; pages that differ in digits only differ hardly at all."""
    for page in pages(layout, 20):
        for question in page.questions:
            box = page.words[question.word_index].box
            assert not question.large_print
            assert box.height * FIRST_VIEW <= 3.34
            assert box.width / 2 * FIRST_VIEW <= 2.34


@pytest.mark.parametrize("large_print", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_page_has_a_total_which_alone_may_be_in_large_print(
    layout: str, large_print: bool
) -> None:
    """Four times as large as the others."""
    for page in pages(layout, 100, large_print=large_print):
        totals = [question for question in page.questions if TOTAL in question.text]
        assert len(totals) == 1
        for question in page.questions:
            assert question.large_print == (large_print and question is totals[0])
            height = page.words[question.word_index].box.height * FIRST_VIEW
            assert height == pytest.approx((79 if question.large_print else 20) / 6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_print_of_the_total_changes_nothing_else_on_the_page(layout: str) -> None:
    for small, large in zip(pages(layout, 1), pages(layout, 1, large_print=True), strict=True):
        assert [w.text for w in small.words] == [w.text for w in large.words]
        changed = ImageChops.difference(small.image, large.image).getbbox()
        (total,) = (q for q in large.questions if q.large_print)
        assert changed is not None
        assert (
            coverage(large.words[total.word_index].box, Box(*(v / PAGE_SIDE for v in changed))) == 1
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_print_is_legible_in_the_first_view(layout: str) -> None:
    """By the plainest of readers: the nearest of the digits of other pages, pixel by pixel."""
    known, unknown = _large_digits(layout, 100, seed=1), _large_digits(layout, 60, seed=2)
    templates = {digit: np.mean([d for c, d in known if c == digit], axis=0) for digit in DIGITS}
    read = [
        min(DIGITS, key=lambda digit: float(((templates[digit] - seen) ** 2).sum()))
        for _, seen in unknown
    ]
    assert np.mean([was == digit for was, (digit, _) in zip(read, unknown, strict=True)]) > 0.95


DIGITS = "0123456789"


def _large_digits(layout: str, count: int, seed: int) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """Digits in large print with what the first view shows of them."""
    found = []
    for page in pages(layout, count, seed, large_print=True):
        seen = page.image.convert("L").resize((FIRST_VIEW, FIRST_VIEW), Image.Resampling.LANCZOS)
        (asked,) = (question for question in page.questions if question.large_print)
        x0, y0, x1, y1 = (v * FIRST_VIEW for v in page.words[asked.word_index].box.as_tuple())
        halves = ((x0, (x0 + x1) / 2), ((x0 + x1) / 2, x1))
        for digit, (left, right) in zip(asked.answer, halves, strict=True):
            shape = seen.resize((14, 20), Image.Resampling.BILINEAR, box=(left, y0, right, y1))
            found.append((digit, np.asarray(shape, dtype=float)))
    return found


def test_a_value_is_independent_of_the_height_of_its_bar() -> None:
    found = [
        (page.words[question.word_index].box.y0, int(question.answer))
        for page in pages("chart", 400)
        for question in page.questions
        if " bar " in question.text
    ]
    heights, values = np.array(found).T
    assert abs(np.corrcoef(heights, values)[0, 1]) < 0.1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_values_are_equally_likely(layout: str) -> None:
    answers = [int(q.answer) for page in pages(layout, 300) for q in page.questions]
    assert set(answers) <= set(range(10, 100))
    assert abs(float(np.mean(answers)) - 54.5) < 2.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pages_are_small_files(layout: str) -> None:
    for page in pages(layout, 5):
        file = io.BytesIO()
        page.image.save(file, "PNG")
        assert len(file.getvalue()) < 25_000
        restored = Image.open(file)
        assert restored.tobytes() == page.image.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_emptier_page_asks_less(layout: str) -> None:
    rng = random.Random(1)
    easy = [len(render_page(rng, layout, fullness=0.17).questions) for _ in range(20)]
    full = [len(render_page(rng, layout).questions) for _ in range(20)]
    assert max(easy) < min(full)
