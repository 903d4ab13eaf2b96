"""Rendered pages: deterministic, exactly boxed, and answerable only from the digits themselves."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from active_perception_r1.data.synthetic import LAYOUTS, PAGE_SIDE, RenderedPage, render_page
from active_perception_r1.geometry import Box


def pages(layout: str, count: int, seed: int = 0) -> list[RenderedPage]:
    rng = random.Random(seed)
    return [render_page(rng, layout) for _ in range(count)]


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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_evidence_box_holds_the_answer_and_all_its_ink(layout: str) -> None:
    for page in pages(layout, 20):
        assert page.image.size == (PAGE_SIDE, PAGE_SIDE)
        for question in page.questions:
            word = page.words[question.word_index]
            assert word.text == question.answer
            assert word.box.inside_page
            assert dark(page, word.box) > 30
            assert dark(page, word.box, margin=1) == dark(page, word.box)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_name_the_value(layout: str) -> None:
    for page in pages(layout, 20):
        assert len({question.text for question in page.questions}) == len(page.questions)
        for question in page.questions:
            for phrase, index in question.labels:
                assert phrase in question.text
                assert page.words[index].text in phrase.split()
        values = {question.word_index for question in page.questions}
        tiles = {index for question in page.questions for _, index in question.labels}
        assert values | tiles == set(range(len(page.words)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_crop_of_a_fifth_of_the_page_can_show_one_value_alone(layout: str) -> None:
    for page in pages(layout, 50):
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
            assert box.height * 112 <= 3.001
            assert box.width / 2 * 112 <= 2.2


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
