"""What the tiny VLM is shown: crops to read, pages to find things on, and whole two-turn episodes.

Everything is learned together from the first step, each part from easy to hard: crops start tight
around the value and widen, pages start with one entry and fill up. Two auxiliary tasks ("Where is
B?" and "What is at 0.20 0.35?") tie letters to places; without them a model of this size learns to
find some entry, never the one that was asked for.

The demonstrated zooms are imprecise on purpose. They aim at a point between the value and its label
with a wide uniform error, so that the supervised model has all the knowledge it needs to zoom well
and still often misses: reinforcement learning has something to find, and samples that find it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image
from transformers import PreTrainedTokenizerFast

from active_perception_r1.data.synthetic import (
    LAYOUTS,
    PageQuestion,
    RenderedPage,
    render_page,
    value_phrase,
)
from active_perception_r1.envs.zoom_simulator import CropRules, ViewRules, evidence_view
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

ZOOM_REQUESTS = (" You may zoom.", " Zoom first.")
ANSWER_REQUEST = " Answer directly."
_GRID = 20  # demonstrated boxes and places lie on a grid of 0.05: few classes are learned sooner
_TIGHT = 0.075  # side of the tightest crop to read: a little less than the oracle's
_CROPS_OF_A_PAGE = 4
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
    """

    reading_side: float
    fullness: tuple[float, ...]


BATCHES = ("crops", "pages", "episodes")


@dataclass(frozen=True, slots=True)
class Mix:
    """Rows of each batch in one step."""

    crops: int
    pages: int
    episodes: int


def view(page: Image.Image, box: Box = _WHOLE_PAGE) -> Image.Image:
    """What the product shows a model of a page: `box`, made square, at the model's size."""
    return evidence_view(page, box, 0.0, _VIEW_RULES).image


def reading_box(page: RenderedPage, question: PageQuestion, side: float, rng: random.Random) -> Box:
    """A random square that shows the asked value whole and cannot be mistaken for another one.

    Another value may be in sight only if the label of the asked one is, too; if no such square of
    the wished side is found, smaller ones are tried.
    """
    evidence = page.words[question.word_index].box
    label = page.words[question.labels[0][1]].box
    others = [page.words[q.word_index].box for q in page.questions if q is not question]
    while True:
        x = _cover(evidence.x0, evidence.x1, side, rng)
        y = _cover(evidence.y0, evidence.y1, side, rng)
        box = Box(x, y, x + side, y + side)
        alone = all(coverage(box, other) < 0.5 for other in others)
        named = len(question.labels) == 1 and coverage(box, label) > 0.95
        if alone or named or side < 0.08:
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
        return batches

    def _crops(self, difficulty: Difficulty, count: int, rng: random.Random) -> Batch:
        for i in range(0, count, _CROPS_OF_A_PAGE):
            layout = i // _CROPS_OF_A_PAGE % len(LAYOUTS)
            page = render_page(rng, LAYOUTS[layout])
            asked = rng.choices(page.questions, k=min(_CROPS_OF_A_PAGE, count - i))
            for question in asked:
                side = _reading_side(difficulty.reading_side, rng)
                crop = view(page.image, reading_box(page, question, side, rng))
                self._packer.add([crop], layout, [answer_turn(question)])
        return self._packer.batch()

    def _pages(self, difficulty: Difficulty, count: int, aim: Aim, rng: random.Random) -> Batch:
        for i in range(count):
            layout = i % len(LAYOUTS)
            most = difficulty.fullness[layout]
            fullness = most if rng.random() < 0.7 else rng.uniform(0.1, most)
            page = render_page(rng, LAYOUTS[layout], fullness)
            labels = list({label for q in page.questions for label in q.labels})
            labels.sort(key=lambda label: label[1])
            named = rng.choices(labels, k=2)
            conversations = [
                *(zoom_turn(page, q, aim, rng) for q in rng.choices(page.questions, k=2)),
                *(_find_value(page, q) for q in rng.choices(page.questions, k=3)),
                *(_find(*label, page) for label in rng.choices(labels, k=7)),
                *(_name(page, index) for _, index in named),
            ]
            self._packer.add([view(page.image)], layout, conversations)
        return self._packer.batch()

    def _episodes(self, difficulty: Difficulty, count: int, rng: random.Random) -> Batch:
        for i in range(count):
            layout = i % len(LAYOUTS)
            page = render_page(rng, LAYOUTS[layout])
            images, conversations = [view(page.image)], []
            for question in rng.choices(page.questions, k=3):
                side = rng.uniform(0.12, max(0.13, difficulty.reading_side))
                box = reading_box(page, question, side, rng)
                images.append(view(page.image, box))
                conversations.append(_episode(question, _rounded(box), rng))
            self._packer.add(images, layout, conversations)
        return self._packer.batch()


def _reading_side(most: float, rng: random.Random) -> float:
    """Half of the crops are as wide as allowed, the others anything down to tight."""
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


def zoom_turn(
    page: RenderedPage, question: PageQuestion, aim: Aim, rng: random.Random
) -> Conversation:
    """A question about the page in sight, and a demonstrated zoom."""
    box = demonstrated_zoom(page, question, aim, rng)
    return [_zoom_request(question, rng), *_zoom_call(box, Kind.ZOOM)]


def _episode(question: PageQuestion, box: Box, rng: random.Random) -> Conversation:
    """Both turns; the coordinates are given, not trained, being better than demonstrated."""
    return [
        _zoom_request(question, rng),
        *_zoom_call(box, Kind.CONTEXT),
        (f"\n{USER_TURN}", Kind.CONTEXT),
        *answer_turn(question),
    ]


def _zoom_request(question: PageQuestion, rng: random.Random) -> tuple[str, Kind]:
    return f"{question.text}{rng.choice(ZOOM_REQUESTS)}{ASSISTANT_TURN}", Kind.CONTEXT


def _zoom_call(box: Box, kind: Kind) -> Iterable[tuple[str, Kind]]:
    pieces = ('<zoom_roi x0="', '" y0="', '" x1="', '" y1="')
    for piece, coordinate in zip(pieces, box.as_tuple(), strict=True):
        yield piece, Kind.FORMAT
        yield f"{coordinate:.2f}", kind
    yield '"/><|im_end|>', Kind.FORMAT


def _find(phrase: str, word_index: int, page: RenderedPage) -> Conversation:
    """Auxiliary: a letter's place."""
    return [(f"Where is{phrase}?", Kind.CONTEXT), *_place(page.words[word_index].box)]


def _find_value(page: RenderedPage, question: PageQuestion) -> Conversation:
    """Auxiliary: a value's place."""
    asked = f"Where is the value of{value_phrase(question.text)}?"
    return [(asked, Kind.CONTEXT), *_place(page.words[question.word_index].box)]


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
    margin = 0.008
    first, last = max(0.0, high + margin - side), min(1.0 - side, low - margin)
    return rng.uniform(first, last) if first < last else max(0.0, min(1 - side, (first + last) / 2))
