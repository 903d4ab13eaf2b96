"""What is said about a page: questions, demonstrations, and tasks that tie letters to places.

Demonstrations are almost without judgement on purpose. Half of the totals are in large print, which
the model is taught to read without a zoom where it is told to answer directly, and to tell from
small print where it is asked for a value's place. Where it may zoom, though, nearly all
demonstrations about small print do so, and more than half of those about large, so that the
likelier choice is a zoom for both: when to look is left to reinforcement learning, which has
samples of either. Direct answers about small print are trained as well, though nobody could know
them: what can be learned there is that the large number in sight is not the answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from active_perception_r1.data.synthetic import PageQuestion, RenderedPage, value_phrase
from active_perception_r1.geometry import Box
from recipes.tiny_zoom_vlm.packing import ASSISTANT_TURN, USER_TURN, Conversation, Kind
from recipes.tiny_zoom_vlm.squares import Aim, demonstrated_zoom, on_grid

MAY_ZOOM = " You may zoom."
ZOOM_REQUESTS = (MAY_ZOOM, " Zoom first.")
ANSWER_REQUEST = " Answer directly."
_ZOOMED = {True: 0.55, False: 0.9}  # of large, of small print: demonstrations that zoom if asked


def answer_turn(question: PageQuestion) -> Conversation:
    """A question about the crop in sight, and its answer."""
    return [
        (f"{question.text}{ANSWER_REQUEST}{ASSISTANT_TURN}", Kind.CONTEXT),
        ("<answer>", Kind.FORMAT),
        (question.answer, Kind.ANSWER),
        ("</answer><|im_end|>", Kind.FORMAT),
    ]


def direct_answer(question: PageQuestion, request: str = ANSWER_REQUEST) -> Conversation:
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
        return direct_answer(question, request)
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


def episode(question: PageQuestion, box: Box, rng: random.Random) -> Conversation:
    """Both turns; the coordinates are given, not trained, being better than demonstrated."""
    return [
        (f"{question.text}{rng.choice(ZOOM_REQUESTS)}{ASSISTANT_TURN}", Kind.CONTEXT),
        *_zoom_call(_rounded(box), Kind.CONTEXT, Kind.CONTEXT),
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


def where_is(phrase: str, word_index: int, page: RenderedPage) -> Conversation:
    """Auxiliary: a letter's place."""
    return [(f"Where is{phrase}?", Kind.CONTEXT), *_place(page.words[word_index].box)]


def where_is_value(page: RenderedPage, question: PageQuestion, with_print: bool) -> Conversation:
    """Auxiliary: a value's place, and its print."""
    asked = f"Where is the value of{value_phrase(question.text)}?"
    place = _place(page.words[question.word_index].box)
    seen = [(" large" if question.large_print else " small", Kind.PRINT)] if with_print else []
    return [(asked, Kind.CONTEXT), *place, *seen]


def _place(box: Box) -> Iterable[tuple[str, Kind]]:
    for coordinate in box.centre:
        yield f"{on_grid(coordinate):.2f}", Kind.PLACE


def what_is_at(page: RenderedPage, word_index: int) -> Conversation:
    """Auxiliary: the letter at a place."""
    word = page.words[word_index]
    x, y = (f"{on_grid(coordinate):.2f}" for coordinate in word.box.centre)
    return [(f"What is at {x} {y}?", Kind.CONTEXT), (f" {word.text}", Kind.NAME)]


def _rounded(box: Box) -> Box:
    return Box(*(round(coordinate, 2) for coordinate in box.as_tuple()))
