"""Is an answer legible in an image? A probe: what another reader, which is no model, makes of it.

An answer is legible where the words that are read say it. Only those words are asked that touch the
evidence, where that is known. They are compared as evidence is located (`data.evidence`), but with
less tolerance: an answer of mostly digits has to be read to the last character, look-alikes aside
(`O` for `0`); of any other, one character in ten may be wrong.

The views are what models are shown: the first view of the page, and the crop of the evidence as
mode `oracle` shows it. To a reader of lines, three words enlarged to the size of a page are harder
than the same words in their page, which is not so for most models. And an answer that stands
nowhere as a text (a count, a colour, the letter of an option) is legible to it nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from active_perception_r1.data.evidence import best_similarity, is_number
from active_perception_r1.data.reader import Word
from active_perception_r1.data.readings import Readings
from active_perception_r1.envs.encoded_page import open_page
from active_perception_r1.envs.evidence_crop import evidence_crop
from active_perception_r1.envs.zoom_simulator import CropRules, ViewRules, opening_view
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence, Sample

TEXT_SIMILARITY = 0.9
"""Least similarity of what is read to an answer of mostly letters."""

MAX_ASPECT = 8.0
"""Of a crop: what a model's entry has by default (`crop.max_aspect`)."""


def says_answer(
    words: Sequence[Word], answers: Sequence[str], evidence: Sequence[Evidence] = ()
) -> bool:
    """Whether words, with boxes in page coordinates, say one of the answers at its evidence.

    >>> total = Word("9.00", Box(0.5, 0.5, 0.6, 0.55))
    >>> says_answer([total], ["9.00"]), says_answer([total], ["9.10"])
    (True, False)
    >>> says_answer([total], ["9.00"], [Evidence("answer", Box(0.5, 0.8, 0.6, 0.85))])
    False
    """
    places = [region.box for region in evidence]
    read = [w for w in words if not places or any(w.box.intersection(p).area for p in places)]
    texts = [word.text for word in in_reading_order(read)]
    numbers = [answer for answer in answers if is_number(answer)]
    others = [answer for answer in answers if not is_number(answer)]
    return (
        best_similarity(texts, numbers) == 1.0 or best_similarity(texts, others) >= TEXT_SIMILARITY
    )


def in_reading_order(words: Sequence[Word]) -> list[Word]:
    """The reader's lines from top to bottom.

    A reader gives words line by line; only in which order the lines come cannot be relied on.
    (RapidOCR puts those nearer than 10 pixels side by side, as all are in a small view.) A word
    goes on a line if it is right of the word before, at most half of its height up or down.

    >>> rows = [("c", 0.0, 0.2), ("d", 0.5, 0.21), ("a", 0.0, 0.1), ("b", 0.5, 0.11)]
    >>> words = [Word(text, Box(x, y, x + 0.4, y + 0.05)) for text, x, y in rows]
    >>> [word.text for word in in_reading_order(words)]
    ['a', 'b', 'c', 'd']
    """
    lines: list[list[Word]] = []
    for word in words:
        if lines and _goes_on(lines[-1][-1].box, word.box):
            lines[-1].append(word)
        else:
            lines.append([word])
    lines.sort(key=lambda line: sum(word.box.centre[1] for word in line) / len(line))
    return [word for line in lines for word in line]


def _goes_on(before: Box, box: Box) -> bool:
    drop = abs(box.centre[1] - before.centre[1])
    return box.x0 >= before.x0 and drop < box.height / 2


def legible_in_view(readings: Readings, sample: Sample, max_pixels: int) -> bool:
    """Whether the answer can be read in the first view of so many pixels.

    Raises:
        DataError: the page cannot be decoded.
    """
    words = readings.words(opening_view(sample.image, ViewRules(max_pixels)))
    return says_answer(words, sample.answers, sample.evidence)


def legible_in_crop(readings: Readings, sample: Sample, max_pixels: int) -> bool:
    """Whether the answer can be read in the crop of its evidence, enlarged to so many pixels.

    Raises:
        DataError: as `legible_in_view`.
    """
    rules = CropRules(ViewRules(max_pixels), MAX_ASPECT, min_area=0.0, max_area=1.0)
    crop = evidence_crop(open_page(sample.image), sample.evidence, rules)
    read = readings.words(crop.image)
    words = [word._replace(box=word.box.inside(crop.box)) for word in read]
    return says_answer(words, sample.answers, sample.evidence)
