"""What the tiny VLM is shown: crops to read, pages to find things on, tiles, two-turn episodes.

Everything is learned together from the first step, each part from easy to hard: crops start tight
around the value and widen, pages start with one entry and fill up. Two auxiliary tasks ("Where is
B?" and "What is at 0.20 0.35?") tie letters to places; without them a model of this size learns to
find some entry, never the one that was asked for. What can be read in a page is asked only when all
places are known: before, it is noise that keeps them from being learned.

The demonstrated zooms are imprecise on purpose. They aim at a point between the value and its label
with a uniform error, so that the supervised model has all the knowledge it needs to zoom well and
still misses: reinforcement learning has something to find, and samples that find it.

They are almost without judgement on purpose, too. Half of the totals are in large print, which the
model is taught to read without a zoom where it is told to answer directly, and to tell from small
print where it is asked for a value's place. Where it may zoom, though, nearly all demonstrations
about small print do so, and more than half of those about large, so that the likelier choice is a
zoom for both: when to look is left to reinforcement learning, which has samples of either.
Direct answers about small print are trained as well, though nobody could know them: what can be
learned there is that the large number in sight is not the answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image
from transformers import PreTrainedTokenizerFast

from active_perception_r1.data.synthetic import (
    LARGE_PRINT,
    LAYOUTS,
    TOTAL,
    PageQuestion,
    RenderedPage,
    render_page,
    value_phrase,
)
from active_perception_r1.envs.zoom_simulator import (
    CropRules,
    ViewRules,
    evidence_view,
    tile_views,
)
from active_perception_r1.geometry import Box, coverage
from recipes.tiny_zoom_vlm.packing import (
    ASSISTANT_TURN,
    USER_TURN,
    Batch,
    Conversation,
    Kind,
    Packer,
)
from recipes.tiny_zoom_vlm.tokenizer import IMAGE_SIDE

MAY_ZOOM = " You may zoom."
ZOOM_REQUESTS = (MAY_ZOOM, " Zoom first.")
ANSWER_REQUEST = " Answer directly."
_GRID = 20  # demonstrated boxes and places lie on a grid of 0.05: few classes are learned sooner
_TIGHT = 0.075  # side of the tightest crop to read: a little less than the oracle's
_TIGHTEST = 0.085  # and hardly wider, where crops are tight
_MARGIN = 0.008  # around the value in a crop to read
_ILLEGIBLE = 0.5  # side of a crop in which small print cannot be read any more
_CROPS_OF_A_PAGE = 4
_ZOOMED = {True: 0.55, False: 0.9}  # of large, of small print: demonstrations that zoom if asked
_LARGE_PRINT = 0.5  # share of the totals
_TILES = 2  # into which a page is cut: as many as a page and one crop
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


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard the samples are now.

    Attributes:
        reading_side: largest side of a crop to read (page units).
        fullness: share of a full page's entries, for each of `LAYOUTS`.
        settled: all places are known; only then it is of use to ask what can be read in a page.
        tight: crops are no wider than the value needs, half of them of large print: the end of a
            training, since among crops of all widths such are rare.
        turns: places in `LAYOUTS`, which the rows of a batch have by turns; charts, which take
            longest to find one's way on, twice.
    """

    reading_side: float
    fullness: tuple[float, ...]
    settled: bool = False
    tight: bool = False
    turns: tuple[int, ...] = (0, 2, 1, 2)


BATCHES = ("crops", "pages", "episodes", "tiles")


@dataclass(frozen=True, slots=True)
class Mix:
    """Rows of each batch in one step."""

    crops: int
    pages: int
    episodes: int = 0
    tiles: int = 0


def view(page: Image.Image, box: Box = _WHOLE_PAGE) -> Image.Image:
    """What the product shows a model of a page: `box`, made square, at the model's size."""
    return evidence_view(page, box, 0.0, _VIEW_RULES).image


def tiles(page: Image.Image) -> list[Image.Image]:
    """What mode `matched_view` shows of a page, one crop having been shown."""
    return list(tile_views(page, _TILES, _VIEW_RULES.view))


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
        corner.append(_on_grid(min(max(centre - side / 2, 0.0), 1.0 - side)))
    return Box(corner[0], corner[1], _on_grid(corner[0] + side), _on_grid(corner[1] + side))


class Sampler:
    """Draws the training data of one step after another."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._packer = Packer(tokenizer)

    def step(
        self, difficulty: Difficulty, mix: Mix, aim: Aim, rng: random.Random
    ) -> dict[str, Batch]:
        """The batches of one optimiser step, by name (see `BATCHES`); none without rows."""
        batches = {}
        if mix.crops:
            batches["crops"] = self._crops(difficulty, mix.crops, rng)
        if mix.pages:
            batches["pages"] = self._pages(difficulty, mix.pages, aim, rng)
        if mix.episodes:
            batches["episodes"] = self._episodes(difficulty, mix.episodes, rng)
        if mix.tiles:
            batches["tiles"] = self._tiles(difficulty, mix.tiles, rng)
        return batches

    def _crops(self, difficulty: Difficulty, count: int, rng: random.Random) -> Batch:
        of_a_page = 2 if difficulty.tight else _CROPS_OF_A_PAGE
        for i in range(0, count, of_a_page):
            layout = _layout(difficulty, i // of_a_page)
            page = _page(rng, layout, large_print=difficulty.tight or None)
            for question in _asked(page, min(of_a_page, count - i), rng):
                most = _TIGHTEST if difficulty.tight else difficulty.reading_side
                side = _reading_side(question, most, rng)
                crop = view(page.image, reading_box(page, question, side, rng))
                self._packer.add([crop], layout, [answer_turn(question)])
        return self._packer.batch()

    def _pages(self, difficulty: Difficulty, count: int, aim: Aim, rng: random.Random) -> Batch:
        for i in range(count):
            layout = _layout(difficulty, i)
            most = difficulty.fullness[layout]
            fullness = most if rng.random() < 0.7 else rng.uniform(0.1, most)
            page = _page(rng, layout, fullness)
            labels = list({label for q in page.questions for label in q.labels})
            labels.sort(key=lambda label: label[1])
            named = rng.choices(labels, k=2)
            conversations = [
                *(_find_value(page, q, difficulty.settled) for q in _asked(page, 4, rng)),
                *(_find(*label, page) for label in rng.choices(labels, k=7)),
                *(_name(page, index) for _, index in named),
            ]
            asked = _asked(page, 3, rng)
            if difficulty.settled:
                conversations += [demonstration(page, q, aim, rng) for q in asked]
                conversations += [_direct_answer(q) for q in asked]
            else:
                requests = (rng.choice(ZOOM_REQUESTS) for _ in asked)
                conversations += [
                    zoom_turn(page, q, aim, rng, request)
                    for q, request in zip(asked, requests, strict=True)
                ]
            self._packer.add([view(page.image)], layout, conversations)
        return self._packer.batch()

    def _episodes(self, difficulty: Difficulty, count: int, rng: random.Random) -> Batch:
        for i in range(count):
            layout = _layout(difficulty, i)
            page = _page(rng, layout)
            images, conversations = [view(page.image)], []
            for question in _asked(page, 3, rng):
                side = rng.uniform(0.12, max(0.13, difficulty.reading_side))
                box = reading_box(page, question, side, rng)
                images.append(view(page.image, box))
                conversations.append(_episode(question, _rounded(box), rng))
            self._packer.add(images, layout, conversations)
        return self._packer.batch()

    def _tiles(self, difficulty: Difficulty, count: int, rng: random.Random) -> Batch:
        for _ in range(count):
            layout = _layout(difficulty, rng.randrange(4))
            page = _page(rng, layout)
            conversations = [_direct_answer(question) for question in _asked(page, 6, rng)]
            self._packer.add(tiles(page.image), layout, conversations, opening=_TILES)
        return self._packer.batch()


def _layout(difficulty: Difficulty, row: int) -> int:
    """Which of `LAYOUTS` a row has."""
    return difficulty.turns[row % len(difficulty.turns)]


def _page(
    rng: random.Random, layout: int, fullness: float = 1.0, large_print: bool | None = None
) -> RenderedPage:
    if large_print is None:
        large_print = rng.random() < _LARGE_PRINT
    return render_page(rng, LAYOUTS[layout], fullness, large_print)


def _asked(page: RenderedPage, count: int, rng: random.Random) -> list[PageQuestion]:
    """Questions of a page: about its total, if it has one, and others, drawn with replacement."""
    totals = [question for question in page.questions if TOTAL in question.text]
    others = [question for question in page.questions if TOTAL not in question.text]
    return totals + rng.choices(others, k=count - len(totals))


def _reading_side(question: PageQuestion, most: float, rng: random.Random) -> float:
    """Half of the crops are as wide as allowed, the others anything down to tight.

    Large print is read from so much wider ones that its digits look as large as those of small
    print: in the end from the whole page.
    """
    if question.large_print:
        most = min(1.0, LARGE_PRINT * most)
    if rng.random() < 0.5:
        return most
    return math.exp(rng.uniform(math.log(_TIGHT), math.log(most)))


def answer_turn(question: PageQuestion) -> Conversation:
    """A question about the crop in sight, and its answer."""
    return [
        (f"{question.text}{ANSWER_REQUEST}{ASSISTANT_TURN}", Kind.CONTEXT),
        ("<answer>", Kind.FORMAT),
        (question.answer, Kind.ANSWER),
        ("</answer><|im_end|>", Kind.FORMAT),
    ]


def _direct_answer(question: PageQuestion, request: str = ANSWER_REQUEST) -> Conversation:
    """From a page or tiles, where small print cannot be read."""
    return [
        (f"{question.text}{request}{ASSISTANT_TURN}", Kind.CONTEXT),
        ("<answer>", Kind.CHOICE),
        (question.answer, Kind.ANSWER if question.large_print else Kind.GUESS),
        ("</answer><|im_end|>", Kind.FORMAT),
    ]


def demonstration(
    page: RenderedPage, question: PageQuestion, aim: Aim, rng: random.Random
) -> Conversation:
    """A question about the page in sight: a zoom, or an answer where the model may choose."""
    request = rng.choice(ZOOM_REQUESTS)
    if request == MAY_ZOOM and rng.random() > _ZOOMED[question.large_print]:
        return _direct_answer(question, request)
    return zoom_turn(page, question, aim, rng, request)


def zoom_turn(
    page: RenderedPage, question: PageQuestion, aim: Aim, rng: random.Random, request: str
) -> Conversation:
    """A question about the page in sight, and a demonstrated zoom."""
    box = demonstrated_zoom(page, question, aim, rng)
    return [
        (f"{question.text}{request}{ASSISTANT_TURN}", Kind.CONTEXT),
        *_zoom_call(box, Kind.CHOICE, Kind.ZOOM),
    ]


def _episode(question: PageQuestion, box: Box, rng: random.Random) -> Conversation:
    """Both turns; the coordinates are given, not trained, being better than demonstrated."""
    return [
        (f"{question.text}{rng.choice(ZOOM_REQUESTS)}{ASSISTANT_TURN}", Kind.CONTEXT),
        *_zoom_call(box, Kind.CONTEXT, Kind.CONTEXT),
        (f"\n{USER_TURN}", Kind.CONTEXT),
        *answer_turn(question),
    ]


def _zoom_call(box: Box, first: Kind, coordinate: Kind) -> Iterable[tuple[str, Kind]]:
    pieces = (
        ('<zoom_roi x0="', first),
        *((f'" {name}="', Kind.FORMAT) for name in ("y0", "x1", "y1")),
    )
    for piece, value in zip(pieces, box.as_tuple(), strict=True):
        yield piece
        yield f"{value:.2f}", coordinate
    yield '"/><|im_end|>', Kind.FORMAT


def _find(phrase: str, word_index: int, page: RenderedPage) -> Conversation:
    """Auxiliary: a letter's place."""
    return [(f"Where is{phrase}?", Kind.CONTEXT), *_place(page.words[word_index].box)]


def _find_value(page: RenderedPage, question: PageQuestion, with_print: bool) -> Conversation:
    """Auxiliary: a value's place, and its print."""
    asked = f"Where is the value of{value_phrase(question.text)}?"
    place = _place(page.words[question.word_index].box)
    seen = [(" large" if question.large_print else " small", Kind.PRINT)] if with_print else []
    return [(asked, Kind.CONTEXT), *place, *seen]


def _place(box: Box) -> Iterable[tuple[str, Kind]]:
    for coordinate in box.centre:
        yield f"{_on_grid(coordinate):.2f}", Kind.PLACE


def _name(page: RenderedPage, word_index: int) -> Conversation:
    """Auxiliary: the letter at a place."""
    word = page.words[word_index]
    x, y = (f"{_on_grid(coordinate):.2f}" for coordinate in word.box.centre)
    return [(f"What is at {x} {y}?", Kind.CONTEXT), (f" {word.text}", Kind.NAME)]


def _on_grid(coordinate: float) -> float:
    return round(coordinate * _GRID) / _GRID


def _rounded(box: Box) -> Box:
    return Box(*(round(coordinate, 2) for coordinate in box.as_tuple()))


def _cover(low: float, high: float, side: float, rng: random.Random) -> float:
    """A random start of an interval of length `side` in [0, 1] that covers [low, high] well."""
    first, last = max(0.0, high + _MARGIN - side), min(1.0 - side, low - _MARGIN)
    return rng.uniform(first, last) if first < last else max(0.0, min(1 - side, (first + last) / 2))
