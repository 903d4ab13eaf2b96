"""What the tiny VLM is shown: crops to read, pages to find things on, tiles, two-turn episodes.

Everything is learned together from the first step, each part from easy to hard: crops start tight
around the value and widen, pages start with one entry and fill up. Two auxiliary tasks ("Where is
B?" and "What is at 0.20 0.35?") tie letters to places; without them a model of this size learns to
find some entry, never the one that was asked for. What can be read in a page is asked only when all
places are known: before, it is noise that keeps them from being learned.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from active_perception_r1.data.synthetic import (
    LARGE_PRINT,
    LAYOUTS,
    TOTAL,
    PageQuestion,
    RenderedPage,
    render_page,
)
from recipes.tiny_zoom_vlm.conversations import (
    ZOOM_REQUESTS,
    answer_turn,
    demonstration,
    direct_answer,
    episode,
    what_is_at,
    where_is,
    where_is_value,
    zoom_turn,
)
from recipes.tiny_zoom_vlm.packing import Batch, Packer
from recipes.tiny_zoom_vlm.squares import TIGHT, TILES, Aim, reading_box, tiles, view

_TIGHTEST = 0.085  # side of a crop to read, where crops are tight: hardly wider than `TIGHT`
_CROPS_OF_A_PAGE = 4
_LARGE_PRINT = 0.5  # share of the totals


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
                *(where_is_value(page, q, difficulty.settled) for q in _asked(page, 4, rng)),
                *(where_is(*label, page) for label in rng.choices(labels, k=7)),
                *(what_is_at(page, index) for _, index in named),
            ]
            asked = _asked(page, 3, rng)
            if difficulty.settled:
                conversations += [demonstration(page, q, aim, rng) for q in asked]
                conversations += [direct_answer(q) for q in asked]
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
                conversations.append(episode(question, box, rng))
            self._packer.add(images, layout, conversations)
        return self._packer.batch()

    def _tiles(self, difficulty: Difficulty, count: int, rng: random.Random) -> Batch:
        for _ in range(count):
            layout = _layout(difficulty, rng.randrange(4))
            page = _page(rng, layout)
            conversations = [direct_answer(question) for question in _asked(page, 6, rng)]
            self._packer.add(tiles(page.image), layout, conversations, opening=TILES)
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
    return math.exp(rng.uniform(math.log(TIGHT), math.log(most)))
