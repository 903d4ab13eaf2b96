"""From the words and boxes of a page to the evidence of an answer: where the answer can be read.

Texts are compared by their pieces (`data.text_pieces`): numbers, words, and symbols that make a
short answer another one. A span of pieces is compared as one string, so that a word which OCR split
in two, or two words which it merged, cost nothing. The search has three steps, and the first that
finds something decides:

1. spans equal to an answer;
2. spans equal to an answer with digits once look-alikes are unified (`O` and `0`, `l` and `1`);
3. the spans most similar to an answer, by normalised edit similarity (1 - distance / longer
   length), if that reaches `TEXT_THRESHOLD`, or for numbers `NUMBER_THRESHOLD`.

Spans that are equally good are all kept as alternatives. That holds also where the dataset names
one of them: its span is a textual match, made by searching as we do, and not a reading of the page.
A receipt's total often stands first as the price of an item, and a zoom onto the real total must
count. Only a span that is known to be exact (pages that we drew ourselves) excludes the same text
elsewhere, since there a repeated number is a coincidence and no evidence.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from active_perception_r1.data.text_pieces import pieces, unified
from active_perception_r1.geometry import Box
from active_perception_r1.records import Evidence

TEXT_THRESHOLD = 0.75
"""Least similarity of evidence for an answer of mostly letters.

Measured on receipts: with one character in ten garbled, .75 finds 95 % of company names and all
addresses (.6: 98 %, all); of phrases that are not on the page it takes another for 5 % (.6: 15 %).
"""
NUMBER_THRESHOLD = 0.9
"""The same for mostly digits: one digit more or less is usually another number."""
MAX_ALTERNATIVES = 8
"""Text that stands in more places does not tell where the answer was read: no evidence."""

_LABEL = "answer"
# A shorter answer is not looked for inside a word: "4" is not to be found in "A4".
_MIN_LENGTH_INSIDE_WORD = 3


@dataclass(frozen=True, slots=True)
class GivenSpan:
    """The evidence as a dataset states it: `text` is what the words from index `start` on say.

    Attributes:
        exact: the span is known to be where the answer stands, not merely where its text was found.
    """

    start: int
    text: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class _Span:
    """Words `start` to `stop` (exclusive), and how similar the text found in them is."""

    start: int
    stop: int
    similarity: float = 1.0

    def overlaps(self, other: _Span) -> bool:
        return self.start < other.stop and other.start < self.stop


def locate_evidence(
    words: Sequence[str],
    boxes: Sequence[Box],
    answers: Sequence[str],
    given: GivenSpan | None = None,
) -> tuple[Evidence, ...]:
    """Finds where on a page an answer stands.

    Args:
        words: in reading order, as OCR read them.
        boxes: of the words, page coordinates.
        answers: all accepted forms of the answer; their order does not matter.
        given: what the dataset says about the place. It is used if the words there are its text
            and nothing on the page resembles an answer more; it is then the first alternative.

    Returns:
        Alternatives (one label), boxes inside the page; empty when no place is known.

    Raises:
        ValueError: there is not one box for each word.

    >>> words = ["Name:", "John", "Srnith"]
    >>> boxes = [Box(0.25 * i, 0.0, 0.25 * i + 0.25, 0.125) for i in range(3)]
    >>> [region.box.as_tuple() for region in locate_evidence(words, boxes, ["John Smith"])]
    [(0.25, 0.0, 0.75, 0.125)]
    """
    if len(words) != len(boxes):
        raise ValueError(f"{len(words)} words but {len(boxes)} boxes")
    named = _verified(words, answers, given) if given else None
    if given and given.exact and named:
        return _as_evidence([named], boxes)
    spans = _search(words, answers)
    if named and all(named.similarity >= span.similarity for span in spans):
        spans = [named, *(span for span in spans if not span.overlaps(named))]
    return _as_evidence(spans, boxes) if len(spans) <= MAX_ALTERNATIVES else ()


def best_similarity(words: Sequence[str], answers: Sequence[str]) -> float:
    """How similar the words are to an answer where they are most similar, by the three steps.

    In [0, 1]; 0 where no similarity reaches the threshold of its answer, or there is no answer.

    >>> best_similarity(["Name:", "John", "Srnith"], ["John Smith"]), best_similarity(["9"], ["8"])
    (0.8, 0.0)
    """
    return max((span.similarity for span in _search(words, answers)), default=0.0)


def is_number(answer: str) -> bool:
    """Whether an answer is of mostly digits.

    >>> is_number("12 Jan 2024"), is_number("Room 7")
    (True, False)
    """
    return _is_number(_normalised(answer))


def _as_evidence(spans: Iterable[_Span], boxes: Sequence[Box]) -> tuple[Evidence, ...]:
    regions = (reduce(Box.union, boxes[span.start : span.stop]) for span in spans)
    return tuple(Evidence(_LABEL, inside_page(region)) for region in regions)


def inside_page(box: Box) -> Box:
    """The part of a box that is on the page."""
    x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in box.as_tuple())
    return Box(x0, y0, x1, y1)


def _verified(words: Sequence[str], answers: Sequence[str], given: GivenSpan) -> _Span | None:
    """The given span, if its words say what it claims and that is an answer."""
    stop = given.start + len(given.text.split())
    if not 0 <= given.start < stop <= len(words):
        return None
    text = _normalised(" ".join(words[given.start : stop]))
    if not text or text != _normalised(given.text):
        return None
    similarity = max((_similarity(alias, text) for alias in _aliases(answers)), default=0.0)
    return _Span(given.start, stop, similarity) if given.exact or similarity > 0 else None


def _search(words: Sequence[str], answers: Sequence[str]) -> list[_Span]:
    """The best spans, none overlapping another, in reading order."""
    page, aliases = _Page(words), _aliases(answers)
    if spans := _equal_spans(page, aliases):
        return spans
    numbers = _aliases(unified(answer) for answer in answers if any(map(str.isdigit, answer)))
    if numbers and (spans := _equal_spans(_Page(map(unified, words)), numbers)):
        return spans
    return _similar_spans(page, aliases)


class _Page:
    """The pieces of a page's words, joined to one text, and the way back from text to words."""

    def __init__(self, words: Iterable[str]) -> None:
        found: list[str] = []
        self._word_of: list[int] = []  # of each piece
        self._word_start: list[int] = []  # offset in `text` where each word starts
        self._begins: list[int] = []  # offset of each piece, and the end of the last
        offset = 0
        for index, word in enumerate(words):
            self._word_start.append(offset)
            for piece in pieces(word):
                found.append(piece)
                self._word_of.append(index)
                self._begins.append(offset)
                offset += len(piece)
        self._begins.append(offset)
        self._word_start.append(offset)
        self._piece_at = {begin: index for index, begin in enumerate(self._begins)}
        self.text = "".join(found)

    def span(self, begin: int, end: int, similarity: float = 1.0) -> _Span | None:
        """The words around `text[begin:end]`; None where that is not a run of whole pieces.

        None also for a short text that is only a part of a word: "4" is not found in "A4".
        """
        first, after = self._piece_at.get(begin), self._piece_at.get(end)
        if first is None or after is None:
            return None
        start, stop = self._word_of[first], self._word_of[after - 1] + 1
        whole_words = begin == self._word_start[start] and end == self._word_start[stop]
        if end - begin < _MIN_LENGTH_INSIDE_WORD and not whole_words:
            return None
        return _Span(start, stop, similarity)

    def runs(self, shortest: int, longest: int) -> Iterator[tuple[int, int]]:
        """All (begin, end) of runs of pieces whose length in characters is within the bounds."""
        for begin in self._begins:
            low = bisect.bisect_left(self._begins, begin + shortest)
            high = bisect.bisect_right(self._begins, begin + longest)
            for end in self._begins[low:high]:
                yield begin, end


def _equal_spans(page: _Page, aliases: Iterable[str]) -> list[_Span]:
    """Spans equal to an alias.

    An alias within another one that was found is passed over: where "5 million" stands on the page,
    another "5" is not evidence.
    """
    spans: list[_Span] = []
    found: list[str] = []
    for alias in sorted(aliases, key=len, reverse=True):
        if any(alias in longer for longer in found):
            continue
        hits = [
            span
            for begin in _occurrences(alias, page.text)
            if (span := page.span(begin, begin + len(alias)))
        ]
        spans += hits
        found += [alias] if hits else []
    return _without_overlaps(spans)


def _similar_spans(page: _Page, aliases: Iterable[str]) -> list[_Span]:
    """The spans most similar to any alias; of overlapping ones, that nearest to it in length."""
    best = 0.0
    spans: list[tuple[int, _Span]] = []
    for alias in aliases:
        threshold = max(best, _threshold(alias))
        # Similarity is at most shorter length / longer length, so other lengths cannot reach it.
        runs = list(
            page.runs(math.ceil(len(alias) * threshold), math.floor(len(alias) / threshold))
        )
        texts = [page.text[begin:end] for begin, end in runs]
        matches = process.extract(
            alias,
            texts,
            scorer=Levenshtein.normalized_similarity,
            processor=None,
            score_cutoff=threshold,
            limit=None,
        )
        for text, similarity, index in matches:
            if similarity < best:
                break
            span = page.span(*runs[index], similarity)
            if span is None:
                continue
            if similarity > best:
                best, spans = similarity, []
            spans.append((abs(len(text) - len(alias)), span))
    spans.sort(key=lambda ranked: ranked[0])
    return _without_overlaps([span for _, span in spans])


def _without_overlaps(spans: Iterable[_Span]) -> list[_Span]:
    """The first of every group of overlapping spans, in reading order."""
    kept: list[_Span] = []
    for span in spans:
        if not any(span.overlaps(other) for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def _occurrences(part: str, text: str) -> Iterator[int]:
    """Offsets of `part` in `text`, overlapping ones included."""
    offset = text.find(part)
    while offset >= 0:
        yield offset
        offset = text.find(part, offset + 1)


def _similarity(alias: str, text: str) -> float:
    """Normalised edit similarity in [0, 1]; 0 where it is below the alias's threshold."""
    return Levenshtein.normalized_similarity(alias, text, score_cutoff=_threshold(alias))


def _threshold(alias: str) -> float:
    return NUMBER_THRESHOLD if _is_number(alias) else TEXT_THRESHOLD


def _is_number(alias: str) -> bool:
    return 2 * sum(map(str.isdigit, alias)) >= len(alias)


def _aliases(answers: Iterable[str]) -> list[str]:
    """Distinct normalised answers in an order that does not depend on the given one."""
    return sorted({normalised for answer in answers if (normalised := _normalised(answer))})


def _normalised(text: str) -> str:
    return "".join(pieces(text))
